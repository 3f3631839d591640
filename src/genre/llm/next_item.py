"""Next item: the vectors of what was read predict the vector of what comes next, through a light causal tower or as they are."""

# B rows, L entries of a row, T real places, N items, S items seen in training, K vector size

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import PositiveInt

from genre.llm.objectives import Objective, TuningData
from genre.llm.tower_settings import Share, TowerSettings
from genre.successors import Successors
from genre.types import Histories, Ints
from genre.validation import ndcg, sample
from genre.windows import Batch, Windows, cut

if TYPE_CHECKING:  # configs are read without torch
    from torch import Tensor, nn

    from genre.llm.bank import View

FULL_UP_TO = 50_000


class NextItemObjective(Objective):
    """Cross-entropy of the next item over the catalogue (or over negatives drawn by popularity, with logQ correction)."""

    class Config(Objective.Config, TowerSettings):
        use: str = "next_item"
        batch_size: PositiveInt = 2048
        """History entries a step."""
        item_mask: Share = 0.1
        """Share of the entries hidden from the tower while it learns."""
        loss: Literal["auto", "full", "sampled"] = "auto"
        """Softmax over the whole catalogue or over sampled negatives; auto: full up to 50,000 items."""
        negatives: PositiveInt = 2048
        """Draws of shared negatives a step, for the sampled loss."""
        validation_users: PositiveInt = 2000
        """Validation queries at most."""

    config: Config

    def prepare(self, data: TuningData) -> list[str]:
        """See Objective.prepare."""
        training = data.training
        if not (training.histories.lengths > 1).any():
            raise ValueError("finetune.objective: next_item needs users with two or more training interactions, and there is none")
        self._training, self._count_N = training, training.counts_N()
        self._successors = Successors(training.histories, training.histories.item_idx_E, 0.0, "entry", repeats=True)
        self._seen_S = np.flatnonzero(self._count_N)
        self._compact_N = np.zeros(training.n_items, np.int64)
        self._compact_N[self._seen_S] = np.arange(len(self._seen_S))
        truth, most = training.validation, self.config.validation_users
        self._truth = None if truth is None else sample(truth, most, np.random.default_rng(training.seed))
        return []

    def network(self, size: int) -> nn.Module:
        """The tower, a scale, and a bias an item that takes up what is mere popularity."""
        import torch

        from genre.llm.user_network import UserNetwork

        c = self.config
        if c.layers and size % c.heads:
            raise ValueError(f"finetune.objective.heads: {c.heads} does not divide the vectors' size {size}")
        chance_S = self._count_N[self._seen_S] / self._count_N.sum()
        bias_S = torch.from_numpy(np.log(chance_S).astype(np.float32)) if c.layers == 0 else torch.zeros(len(self._seen_S))
        self._network = UserNetwork(size, c.layers, c.heads, c.max_history, c.dropout, c.item_mask, bias_S)
        return self._network

    def counts(self) -> Ints:
        """See Objective.counts."""
        return self._count_N

    def batches(self, epoch: int, rng: np.random.Generator) -> Sequence[Batch]:
        """Windows over every entry that has a successor."""
        course = self._successors.draw(rng)
        return Windows(course, *cut(self._training.histories, self.config.max_history, rng), self.config.batch_size, rng)

    def fresh(self, batch: Batch) -> Ints:
        """Some of the items of the batch, alike likely."""
        import torch

        item_U = np.unique(np.concatenate([batch.input_BL[batch.real_BL], batch.target_BL[batch.real_BL]]))
        return np.sort(item_U[torch.randperm(len(item_U))[: self.config.fresh].numpy()])

    def loss(self, batch: Batch, view: View) -> Tensor:
        """See Objective.loss."""
        import torch

        from genre.losses import draw_negatives, full_softmax, sampled_softmax

        network, device = self._network, view.bank.vectors_NK.device
        input_BL, real_BL = torch.from_numpy(batch.input_BL).to(device), torch.from_numpy(batch.real_BL).to(device)
        target_T = torch.from_numpy(self._compact_N[batch.target_BL[batch.real_BL]]).to(device)
        seen_S = torch.from_numpy(self._seen_S).to(device)
        hidden_TK = network.states(view.at(input_BL), view.known(input_BL))[real_BL]
        full = self.config.loss == "full" or (self.config.loss == "auto" and len(seen_S) <= FULL_UP_TO)
        if full:
            return full_softmax(network.asking(hidden_TK), network.answering(view.at(seen_S)), target_T)
        chance_S = torch.from_numpy(self._count_N[self._seen_S] / self._count_N.sum()).to(device)
        negative_M, hit_T, inclusion_M = draw_negatives(target_T, chance_S, self.config.negatives)
        right_TK = network.answering(view.at(seen_S[target_T]), target_T)
        return sampled_softmax(
            network.asking(hidden_TK), right_TK, network.answering(view.at(seen_S[negative_M]), negative_M), hit_T, inclusion_M
        )

    def validate(self, view: View) -> float | None:
        """NDCG@10 over the whole catalogue on validation queries."""
        import torch

        if self._truth is None:
            return None
        network, n = self._network, self._training.n_items
        rows_N = torch.arange(n, device=view.bank.vectors_NK.device)
        bias_N = network.bias_of(torch.from_numpy(self._seen_S), n)

        def score(queries: Histories) -> np.ndarray[Any, np.dtype[np.float32]]:
            with torch.inference_mode():
                scores_BN = network.scores(view.at(rows_N), view.known(rows_N), queries) + bias_N
            return np.asarray(scores_BN.cpu().numpy(), np.float32)

        return ndcg(score, self._truth, n, self._training.repeats)
