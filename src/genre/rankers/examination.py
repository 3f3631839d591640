"""Examination: how likely each place of a list is looked at, learnt beside relevance and left out at serving (PAL, Guo et al., 2019)."""

# E entries, S places

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from genre.rankers.mixture import QUICK


class Examination(nn.Module):
    """What is clicked was looked at and was relevant: P(click) = examination(place) x P(click | looked at).

    The first place is the measure and counts 1, and no place counts more; without that the two factors could not be told apart. Places
    beyond the last learnt one count as that one, and a place that is not known as the first.
    """

    def __init__(self, places: int) -> None:
        super().__init__()
        self.depth_S = nn.Parameter(torch.zeros(places))

    @torch.no_grad()
    def start(self, position_E: Tensor, label_E: Tensor) -> None:
        """Begin with how much less each place is clicked than the first: right if lists were in random order, near it if not."""
        known_E = ~torch.isnan(label_E) & (position_E >= 0)
        place_E = position_E[known_E].clamp(max=len(self.depth_S) - 1)
        shown_S = torch.bincount(place_E, minlength=len(self.depth_S)).float()
        clicked_S = torch.bincount(place_E, label_E[known_E].clamp(min=0.0), minlength=len(self.depth_S))
        rate_S = (clicked_S + clicked_S.sum() / shown_S.sum().clamp(min=1)) / (shown_S + 1)  # as if each place was shown once more
        share_S = (rate_S / rate_S[0].clamp(min=1e-6)).nan_to_num(1.0).clamp(1e-3, 0.999)
        self.depth_S.copy_((1 / share_S - 1).log() / QUICK)  # the inverse of exp(-softplus)

    def log_by_place(self) -> Tensor:
        """Logarithm of the examination of every place, shape (S,), 0 at the first."""
        return torch.cat([self.depth_S.new_zeros(1), -functional.softplus(QUICK * self.depth_S[1:])])

    def forward(self, position_E: Tensor) -> Tensor:
        """Logarithm of each entry's examination."""
        return self.log_by_place()[position_E.clamp(0, len(self.depth_S) - 1)]


def clicked(logit_E: Tensor, log_examined_E: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of p and of 1 - p, where p = examination x sigmoid(logit); where p is near 1 the gradient stays finite."""
    if logit_E.shape != log_examined_E.shape:
        raise ValueError(f"{tuple(logit_E.shape)} logits, {tuple(log_examined_E.shape)} places")
    log_yes_E = log_examined_E + functional.logsigmoid(logit_E)
    return log_yes_E, torch.log(-torch.expm1(log_yes_E.clamp(max=-1e-6)))


def log_loss(log_yes_E: Tensor, log_no_E: Tensor, label_E: Tensor) -> Tensor:
    """Mean cross-entropy against labels in [0, 1]; entries without a label (NaN) are left out."""
    known_E = ~torch.isnan(label_E)
    label_E = label_E[known_E]
    return -(label_E * log_yes_E[known_E] + (1 - label_E) * log_no_E[known_E]).sum() / known_E.sum().clamp(min=1)


def list_loss(logit_E: Tensor, label_E: Tensor, owner_E: Tensor, lists: int) -> Tensor:
    """Softmax cross-entropy within each list, over the lists that have both a label above 0 and one to be below it.

    It agrees with `log_loss` about the order and leaves the level of a list to it (Bai et al., Regression compatible listwise
    objectives, 2023).
    """
    known_E = ~torch.isnan(label_E)
    logit_E, label_E, owner_E = logit_E[known_E], label_E[known_E], owner_E[known_E]
    top_I = logit_E.new_full((lists,), -torch.inf).scatter_reduce(0, owner_E, logit_E.detach(), "amax")
    sum_I = logit_E.new_zeros(lists).index_add(0, owner_E, (logit_E - top_I[owner_E]).exp())
    log_share_E = logit_E - top_I[owner_E] - sum_I.clamp(min=1e-30).log()[owner_E]
    total_I = logit_E.new_zeros(lists).index_add(0, owner_E, label_E)
    useful_I = total_I > 0
    weight_E = torch.where(useful_I[owner_E], label_E / total_I[owner_E].clamp(min=1e-12), 0.0)
    return -(weight_E * log_share_E).sum() / useful_I.sum().clamp(min=1)
