"""RecTools in the contest: SASRec with full softmax cross-entropy, and EASE."""

# B queries, L window, N items

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd  # type: ignore
import rectools  # type: ignore
import torch
from contest import Contest, Rows, counts
from pytorch_lightning import Callback, Trainer  # type: ignore
from rectools import Columns
from rectools.dataset import Dataset  # type: ignore
from rectools.models import EASEModel, SASRecModel  # type: ignore

contest = Contest.from_arguments(
    model=("sasrec", "sasrec or ease"),
    length=(64, "newest events that are learnt from and seen"),
    dropout=(0.2, "of everything"),
    dim=(64, "of the item vectors"),
    heads=(2, "of attention"),
    blocks=(2, "of the transformer"),
    batch=(128, "users a step"),
    rate=(1e-3, "of learning"),
    seed=(0, "of every random choice"),
)
options = contest.options


def dataset() -> Dataset:
    """The training interactions; the place in the user's history is the clock."""
    when = pd.to_datetime(contest.order_E, unit="s")
    frame = pd.DataFrame({Columns.User: contest.user_E, Columns.Item: contest.item_E, Columns.Weight: 1.0, Columns.Datetime: when})
    return Dataset.construct(frame)


class Offer(Callback):  # type: ignore
    """Shows the model to the judge while it is trained."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """In the middle of a long epoch."""
        self.offer(trainer, trainer.current_epoch, at_once=False)

    def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
        """After an epoch."""
        self.offer(trainer, trainer.current_epoch + 1, at_once=True)

    def offer(self, trainer: Any, epoch: int, at_once: bool) -> None:
        """Scores, then goes on training where it was, unless it is enough."""
        if trainer.should_stop:
            return
        weights = model.lightning_model.torch_model
        if not contest.offer(epoch, scorer(), lambda: (epoch, copy.deepcopy(weights.state_dict())), at_once=at_once):
            trainer.should_stop = True
        weights.train()


def trainer(epochs: int | None = None) -> Trainer:
    """Trains until the judge says stop, or for so many epochs."""
    torch.set_num_threads(1)
    quiet = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "logger", "enable_checkpointing"), False)
    judged = [Offer()] if epochs is None else []
    return Trainer(min_epochs=1, max_epochs=epochs or 100_000, devices=1, accelerator="cpu", callbacks=judged, **quiet)


def scorer() -> Any:
    """Scores of the whole catalogue by the model as it is now; an item it has not seen scores below all others."""
    weights = model.lightning_model.torch_model
    known = model.data_preparator.item_id_map.get_external_sorted_by_internal()[1:].astype(np.int64)
    index = np.zeros(contest.n_items, np.int64)
    index[known] = np.arange(1, len(known) + 1)
    vectors: list[Any] = []

    @torch.no_grad()
    def score(histories: Rows, user_B: Any) -> Any:
        weights.eval()
        if not vectors:
            vectors.append(weights.item_model.get_all_embeddings())
        seen_BL = np.zeros((len(histories), options.length), np.int64)
        for b, history in enumerate(histories):
            row = index[history]
            row = row[row > 0][-options.length :]
            if len(row):
                seen_BL[b, -len(row) :] = row
        user_BD = weights.encode_sessions({"x": torch.from_numpy(seen_BL)}, vectors[0])[:, -1]
        found = (user_BD @ vectors[0][1:].T).numpy()
        scores_BN = np.tile(found.min(1, keepdims=True) - 1, (1, contest.n_items))
        scores_BN[:, known] = found
        return scores_BN

    return score


def restore(found: tuple[int, Any]) -> Any:
    """The scorer of an earlier moment of training; of a model learnt anew for as long, if `refits`."""
    global model
    epoch, state = found
    if contest.refits:
        model = SASRecModel(**settings, get_trainer_func=lambda: trainer(max(epoch, 1)))
        model.fit(dataset())
    else:
        model.lightning_model.torch_model.load_state_dict(state)
    return scorer()


def ease() -> None:
    """A few regularisations; weights are learnt from training, then applied to whatever history is asked about."""

    def fitted(regularization: float) -> Any:
        data = dataset()
        known = data.item_id_map.get_external_sorted_by_internal().astype(np.int64)
        weight = EASEModel(regularization=regularization).fit(data).weight.astype(np.float32)

        def score(histories: Rows, user_B: Any) -> Any:
            history_BK = counts(histories, contest.n_items)[:, known]
            history_BK.data[:] = np.minimum(history_BK.data, 1)
            scores_BN = np.full((len(histories), contest.n_items), -1e6, np.float32)
            scores_BN[:, known] = history_BK @ weight
            return scores_BN

        return score

    contest.begin(rectools.__version__, {"regularization": "one of 50, 100, 250, 500, 1000 by validation"})
    for regularization in (250.0, 100.0, 500.0, 50.0, 1000.0):
        score = fitted(regularization)
        found = (regularization, score)
        if not contest.offer(1, score, lambda found=found: found, label=f"regularization {regularization:g}"):  # type: ignore
            break
    contest.finish(lambda found: fitted(found[0]) if contest.refits else found[1])


if options.model == "ease":
    ease()
else:
    torch.manual_seed(options.seed)
    np.random.seed(options.seed)  # noqa: NPY002
    settings = {
        "n_blocks": options.blocks, "n_heads": options.heads, "n_factors": options.dim, "dropout_rate": options.dropout,
        "session_max_len": options.length, "lr": options.rate, "batch_size": options.batch, "loss": "softmax",
    }  # fmt: skip
    model = SASRecModel(**settings, get_trainer_func=trainer)
    contest.begin(rectools.__version__, settings)
    model.fit(dataset())
    contest.finish(restore)
