"""RecBole in the contest: SASRec with cross-entropy over all items, its own defaults, its own trainer."""

# B queries, L window, N items

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contest import Contest, Rows

# RecBole names two things that numpy and torch have since renamed or changed.
np.bool8 = np.bool_  # type: ignore
torch.load = __import__("functools").partial(torch.load, weights_only=False)

import recbole  # type: ignore # noqa: E402
from recbole.config import Config  # type: ignore # noqa: E402
from recbole.data import create_dataset  # type: ignore # noqa: E402
from recbole.data.dataloader import TrainDataLoader  # type: ignore # noqa: E402
from recbole.model.sequential_recommender import SASRec  # type: ignore # noqa: E402
from recbole.trainer import Trainer  # type: ignore # noqa: E402
from recbole.utils import init_seed  # type: ignore # noqa: E402

contest = Contest.from_arguments(
    length=(50, "newest events that are learnt from and seen"),
    dropout=(0.5, "of states and of attention"),
    batch=(2048, "prefixes a step"),
    rate=(1e-3, "of learning"),
    seed=(2020, "of every random choice"),
)
options = contest.options


def configuration(folder: Path) -> Config:
    """Write the one file it wants, and its settings; what is not named is RecBole's default."""
    (folder / "shop").mkdir()
    with (folder / "shop" / "shop.inter").open("w") as handle:
        handle.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for user, item, order in zip(contest.user_E, contest.item_E, contest.order_E, strict=True):
            handle.write(f"{user}\t{item}\t{order}\n")
    return Config(
        model="SASRec",
        dataset="shop",
        config_dict={
            "data_path": str(folder), "checkpoint_dir": str(folder / "saved"), "use_gpu": False, "show_progress": False,
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]}, "MAX_ITEM_LIST_LENGTH": options.length,
            "eval_args": {"split": {"RS": [1, 0, 0]}, "group_by": "user", "order": "TO", "mode": "full"},
            "loss_type": "CE", "train_neg_sample_args": None, "train_batch_size": options.batch, "learning_rate": options.rate,
            "hidden_dropout_prob": options.dropout, "attn_dropout_prob": options.dropout, "seed": options.seed, "state": "WARNING",
        },
    )  # fmt: skip


class Offered:
    """The training batches, with a look at the model between them."""

    def __init__(self, loader: TrainDataLoader) -> None:
        self.loader = loader
        self.epoch = 0
        self.going_on = True

    def __iter__(self) -> Iterator[Any]:
        for batch in self.loader:
            self.offer(at_once=False)
            if not self.going_on:
                return
            yield batch
        self.epoch += 1
        self.offer(at_once=True)

    def offer(self, at_once: bool) -> None:
        """Show the model to the judge."""
        self.going_on = contest.offer(self.epoch, score, lambda: copy.deepcopy(model.state_dict()), at_once=at_once)
        model.train()


@torch.no_grad()
def score(histories: Rows, user_B: Any) -> Any:
    """Scores of the whole catalogue by the model as it is now; an item it has not seen scores below all others."""
    model.eval()
    seen_BL = np.zeros((len(histories), options.length), np.int64)
    lengths = np.ones(len(histories), np.int64)
    for b, history in enumerate(histories):
        row = index[history]
        row = row[row > 0][-options.length :]
        seen_BL[b, : len(row)] = row
        lengths[b] = max(len(row), 1)
    user_BD = model.forward(torch.from_numpy(seen_BL), torch.from_numpy(lengths))
    found = (user_BD @ model.item_embedding.weight[1:].T).numpy()
    scores_BN = np.tile(found.min(1, keepdims=True) - 1, (1, contest.n_items))
    scores_BN[:, known] = found
    return scores_BN


def restore(state: Any) -> Any:
    """The scorer of an earlier moment of training."""
    model.load_state_dict(state)
    return score


with tempfile.TemporaryDirectory() as scratch:
    torch.set_num_threads(1)
    config = configuration(Path(scratch))
    init_seed(config["seed"], config["reproducibility"])
    reported = "n_layers n_heads hidden_size inner_size hidden_dropout_prob attn_dropout_prob learning_rate train_batch_size loss_type"
    settings = {name: config[name] for name in [*reported.split(), "MAX_ITEM_LIST_LENGTH"]}
    if contest.refits:
        raise SystemExit("this script does not learn anew before the test, so it has no entry where that is done")
    contest.begin(recbole.__version__, settings)
    data = create_dataset(config)
    tokens = data.field2id_token[data.iid_field][1:]
    known = tokens.astype(np.int64)
    index = np.zeros(contest.n_items, np.int64)
    index[known] = np.arange(1, len(known) + 1)
    data._change_feat_format()
    loader = TrainDataLoader(config, data, None, shuffle=True)
    model = SASRec(config, data)
    trainer = Trainer(config, model)
    batches = Offered(loader)
    while batches.going_on:
        trainer._train_epoch(batches, batches.epoch)
    contest.finish(restore)
