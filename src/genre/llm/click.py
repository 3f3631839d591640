"""Click: of what was shown, what was clicked, from the vectors of the items and of what the user did before (pointwise)."""

# R requests of a batch, S shown items of all of them, E entries of all histories, L entries of a history, U users, N items

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import polars as pl
from pydantic import Field, PositiveInt

from genre.llm.objectives import Objective, TuningData
from genre.llm.tower_settings import TowerSettings
from genre.types import Bools, Floats, Histories, Ints

if TYPE_CHECKING:  # configs are read without torch
    from torch import Tensor, nn

    from genre.llm.bank import View


@dataclass(frozen=True)
class Requests:
    """What R users had done when something was shown to them, and what that was.

    Attributes:
        shown_S: items, `owner_S`: of which request each is, `clicked_S`: 1.0 if it was clicked.
    """

    histories: Histories
    shown_S: Ints
    owner_S: Ints
    clicked_S: Floats

    def take(self, rows: Ints) -> Requests:
        """Some of the requests."""
        place_R = np.full(len(self.histories), -1)
        place_R[rows] = np.arange(len(rows))
        keep_S: Bools = place_R[self.owner_S] >= 0
        return Requests(self.histories.take(rows), self.shown_S[keep_S], place_R[self.owner_S[keep_S]], self.clicked_S[keep_S])


class ClickObjective(Objective):
    """Binary cross-entropy of each shown item: its product with what the tower makes of the history, and a bias."""

    class Config(Objective.Config, TowerSettings):
        use: str = "click"
        batch_size: PositiveInt = 64
        """Requests a step."""
        valid_share: float = Field(0.1, ge=0, lt=1)
        """Share of the requests, the newest, that are held out to choose by."""

    config: Config
    figure: ClassVar[str] = "auc"

    def prepare(self, data: TuningData) -> list[str]:
        """See Objective.prepare.

        Raises:
            ValueError: nothing was shown before what is held out, or no click is in it.
        """
        if data.impressions is None:
            raise ValueError("finetune.objective: click needs impressions, and the reader gives none; use next_item")
        until_R = pl.Series("until", data.until_U)[data.impressions["user_idx"]]
        usable = data.impressions.filter(pl.col("time") < until_R).sort("time", "request", maintain_order=True)
        if not usable["clicked"].any():
            raise ValueError("finetune.objective: no click is left among the impressions before what is held out")
        self._requests = requests_of(usable, data.training.histories, self.config.max_history)
        n = len(self._requests.histories)
        held = round(self.config.valid_share * n)
        self._learnt, self._held = np.arange(n - held), np.arange(n - held, n)
        self._n_items = data.training.n_items
        return []

    def network(self, size: int) -> nn.Module:
        """A tower, a scale, and one bias for all."""
        import torch

        from genre.llm.user_network import UserNetwork

        c = self.config
        if c.layers and size % c.heads:
            raise ValueError(f"finetune.objective.heads: {c.heads} does not divide the vectors' size {size}")
        self._network = UserNetwork(size, c.layers, c.heads, c.max_history, c.dropout, 0.0, torch.zeros(1))
        return self._network

    def counts(self) -> Ints:
        """How often each item was shown."""
        return np.bincount(self._requests.take(self._learnt).shown_S, minlength=self._n_items)

    def batches(self, epoch: int, rng: np.random.Generator) -> Sequence[Requests]:
        """Requests, mixed anew."""
        mixed = rng.permutation(self._learnt)
        size = self.config.batch_size
        return [self._requests.take(np.sort(mixed[start : start + size])) for start in range(0, len(mixed), size)]

    def fresh(self, batch: Requests) -> Ints:
        """Some of the items shown."""
        import torch

        item_U = np.unique(batch.shown_S)
        return np.sort(item_U[torch.randperm(len(item_U))[: self.config.fresh].numpy()])

    def loss(self, batch: Requests, view: View) -> Tensor:
        """See Objective.loss."""
        import torch
        from torch.nn import functional

        logits_S = self._logits(batch, view)
        return functional.binary_cross_entropy_with_logits(logits_S, torch.from_numpy(batch.clicked_S).to(logits_S))

    def validate(self, view: View) -> float | None:
        """Mean over the held-out requests of the share of pairs (clicked, not clicked) that are in the right order; ties count half."""
        import torch

        if not len(self._held):
            return None
        held = self._requests.take(self._held)
        with torch.inference_mode():
            scores_S = self._logits(held, view).float().cpu().numpy()
        return mean_auc(scores_S, held.clicked_S, held.owner_S)

    def _logits(self, batch: Requests, view: View) -> Tensor:
        import torch

        network, device = self._network, view.bank.vectors_NK.device
        histories = batch.histories
        length_R = np.maximum(histories.lengths, 1)
        real_RL = np.arange(length_R.max()) < histories.lengths[:, None]
        item_RL = np.zeros(real_RL.shape, np.int64)
        item_RL[real_RL] = histories.item_idx_E
        item = torch.from_numpy(item_RL).to(device)
        hidden_RLK = network.states(view.at(item), view.known(item) & torch.from_numpy(real_RL).to(device))
        last_RK = hidden_RLK[torch.arange(len(histories)), torch.from_numpy(length_R - 1)]
        shown_SK = network.compared(view.at(torch.from_numpy(batch.shown_S).to(device)))
        owner_S = torch.from_numpy(batch.owner_S).to(device)
        return (last_RK[owner_S].float() * shown_SK).sum(1) * network.log_scale.exp() + network.bias_S


def requests_of(impressions: pl.DataFrame, histories: Histories, longest: int) -> Requests:
    """Impressions with what each user had done strictly before, of `histories` (one row a user, oldest first)."""
    first = impressions.group_by("request", maintain_order=True).agg(pl.col("user_idx").first(), pl.col("time").first())
    rows = []
    for user, moment in zip(first["user_idx"], first["time"], strict=True):
        times = histories.times(user)
        done = int(np.searchsorted(np.where(np.isnan(times), -np.inf, times), moment, "left"))
        rows.append(histories.items(user)[max(0, done - longest) : done])
    number = {request: r for r, request in enumerate(first["request"])}
    owner_S = np.array([number[request] for request in impressions["request"]], np.int64)
    clicked_S = impressions["clicked"].to_numpy().astype(np.float32)
    return Requests(Histories.of(rows), impressions["item_idx"].to_numpy().astype(np.int64), owner_S, clicked_S)


def mean_auc(scores_S: Floats, clicked_S: Floats, owner_S: Ints) -> float:
    """Area under the ROC curve of each request that has both, averaged."""
    found = []
    order = np.argsort(owner_S, kind="stable")
    cuts = np.flatnonzero(np.diff(owner_S[order])) + 1
    for part in np.split(order, cuts):
        yes, no = scores_S[part][clicked_S[part] > 0], scores_S[part][clicked_S[part] == 0]
        if len(yes) and len(no):
            found.append(float(((yes[:, None] > no).mean() + (yes[:, None] >= no).mean()) / 2))
    return float(np.mean(found)) if found else float("nan")
