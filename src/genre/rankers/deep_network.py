"""The deep ranker's network: experts for relevance, examination for places, and one loss over both."""

# E entries, F features, T tasks

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from genre.component import Arrays
from genre.rankers.examination import Examination, clicked, list_loss, log_loss
from genre.rankers.experts import Experts
from genre.rankers.lists import ListBatch, Lists
from genre.types import Ints

ROWS_AT_ONCE = 1 << 17


class DeepNetwork(nn.Module):
    """Relevance from features; the place shown is known to the loss only, so at serving there is none to be biased by."""

    def __init__(self, experts: Experts, places: int, listwise: Sequence[float], context: int, context_dropout: float) -> None:
        """`listwise` is the weight of the order within lists, by task."""
        super().__init__()
        self.experts, self.examination = experts, Examination(places)
        self._listwise, self._context, self._context_dropout = listwise, context, context_dropout

    def start(self, lists: Lists) -> None:
        """Look at the examples before the first step: the spread of features, and how much less further places are clicked."""
        self.experts.standardise(torch.from_numpy(lists.rows_EF))
        self.examination.start(torch.from_numpy(np.asarray(lists.position_E)), torch.from_numpy(lists.label_TE[0]))

    def loss(self, batch: ListBatch) -> Tensor:
        """Cross-entropy of every task's labels under examination x relevance, plus `listwise` times the order within lists."""
        device = self.experts.mean_F.device
        rows_EF, position_E = torch.from_numpy(batch.rows_EF).to(device), torch.from_numpy(batch.position_E).to(device)
        owner_E = torch.from_numpy(batch.owner_E).to(device)
        if self._context and self._context_dropout:
            # A request that says nothing of itself must be served, too.
            kept_I1 = torch.rand(batch.lists, 1, device=device) >= self._context_dropout
            rows_EF = torch.cat([rows_EF[:, : -self._context], rows_EF[:, -self._context :] * kept_I1[owner_E]], 1)
        log_examined_E = self.examination(position_E)
        total = log_examined_E.new_zeros(())
        labels = torch.from_numpy(batch.label_TE).to(device)
        for logit_E, label_E, listwise in zip(self.experts(rows_EF), labels, self._listwise, strict=True):
            log_yes_E, log_no_E = clicked(logit_E, log_examined_E)
            total = total + log_loss(log_yes_E, log_no_E, label_E)
            if listwise:
                # Given that one entry of a list was clicked, the chance that it was this one goes with the odds.
                total = total + listwise * list_loss(log_yes_E - log_no_E, label_E, owner_E, batch.lists)
        mean: Tensor = total / len(batch.label_TE)
        return mean

    @torch.inference_mode()
    def logits(self, rows_EF: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Relevance of every task without any place, shape (T, E)."""
        device = self.experts.mean_F.device
        parts = [self.experts(torch.from_numpy(rows_EF[start : start + ROWS_AT_ONCE]).to(device)).cpu().numpy()
                 for start in range(0, max(len(rows_EF), 1), ROWS_AT_ONCE)]  # fmt: skip
        return np.concatenate(parts, axis=1).astype(np.float64)

    @torch.inference_mode()
    def held_loss(self, logit_TE: npt.NDArray[np.float64], position_E: Ints, label_TE: npt.NDArray[np.float32]) -> float:
        """Cross-entropy of labels that were not learnt from, averaged over tasks."""
        log_examined_E = self.examination(torch.from_numpy(np.asarray(position_E)).to(self.experts.mean_F.device)).cpu().double()
        losses = [log_loss(*clicked(torch.from_numpy(logit_E), log_examined_E), torch.from_numpy(label_E).double())
                  for logit_E, label_E in zip(logit_TE, label_TE, strict=True)]  # fmt: skip
        return float(torch.stack(losses).mean())

    def arrays(self) -> Arrays:
        """The weights, by name, as `Mixture` reads them."""
        return {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}
