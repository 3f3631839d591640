"""What fine-tuning learns above item vectors: what reads a history, and how its answer is compared with items."""

# B rows, L entries of a row, D vector size, T places, N items, S items seen in training, R some items, K vector size

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from genre.tower import Reader, Tower, read_last
from genre.types import Histories

DECAY = 0.8
"""Weight of each entry relative to the one after it, where histories are averaged: what the content ranker does by default."""
SHARPNESS = 10.0
"""What cosines are multiplied by at first."""


class Average(Reader):
    """Reads a history as the recency-weighted mean of its vectors, of length one; nothing is learnt."""

    def __init__(self, longest: int, item_mask: float) -> None:
        super().__init__()
        self.longest, self.item_mask = longest, item_mask

    def forward(self, vectors_BLD: Tensor, known_BL: Tensor) -> Tensor:
        """The mean up to each place, (B, L, D); entries that are not known say nothing."""
        if self.training and self.item_mask:
            known_BL = known_BL & (torch.rand(known_BL.shape, device=known_BL.device) >= self.item_mask)
        place_L = torch.arange(vectors_BLD.shape[1], device=vectors_BLD.device)
        age_LL = place_L[:, None] - place_L
        weight_LL = torch.where(age_LL >= 0, DECAY ** age_LL.clamp(min=0), 0.0)
        return functional.normalize(torch.einsum("lm,bmd->bld", weight_LL, vectors_BLD * known_BL[..., None]), dim=-1)


class UserNetwork(nn.Module):
    """What reads a history (a tower, or with no layers an average), a scale for its products with item vectors, and one bias an item.

    With an average the products are cosines, the vectors are compared as the content ranker does it, and biases take up popularity.
    """

    def __init__(self, size: int, layers: int, heads: int, longest: int, dropout: float, item_mask: float, bias_S: Tensor) -> None:
        super().__init__()
        self.cosines = layers == 0
        self.tower: Reader = (
            Average(longest, item_mask) if self.cosines else Tower(size, layers, heads, longest, dropout, dropout, item_mask)
        )
        self.log_scale = nn.Parameter(torch.tensor(math.log(SHARPNESS) if self.cosines else 0.0))
        self.bias_S = nn.Parameter(bias_S)

    def states(self, vectors_BLK: Tensor, known_BL: Tensor) -> Tensor:
        """What stands at each place of a history, (B, L, K)."""
        hidden_BLK: Tensor = self.tower(self._read(vectors_BLK), known_BL)
        return hidden_BLK

    def asking(self, hidden_TK: Tensor) -> Tensor:
        """Hidden states such that their product with `answering` is the logit, (T, K + 1)."""
        return torch.cat([hidden_TK.float() * self.log_scale.exp(), torch.ones_like(hidden_TK[:, :1], dtype=torch.float32)], dim=1)

    def answering(self, vectors_RK: Tensor, seen_R: Tensor | None = None) -> Tensor:
        """Item vectors with their biases, (R, K + 1)."""
        bias_R = self.bias_S if seen_R is None else self.bias_S[seen_R]
        return torch.cat([self.compared(vectors_RK), bias_R[:, None]], dim=1)

    def compared(self, vectors_RK: Tensor) -> Tensor:
        """Item vectors as they are multiplied with what was read."""
        return functional.normalize(vectors_RK, dim=-1) if self.cosines else vectors_RK

    def scores(self, vectors_NK: Tensor, known_N: Tensor, queries: Histories) -> Tensor:
        """Products of every item's vector with the reading of each history, (B, N), without biases."""
        hidden_BK = read_last(self.tower, self._read(vectors_NK), known_N, queries)
        return hidden_BK * self.log_scale.exp() @ self.compared(vectors_NK).T

    def bias_of(self, seen_S: Tensor, n: int) -> Tensor:
        """Biases of all items, (N,); an item that was never seen gets the mean. With cosines none: they alone are what is wanted."""
        if self.cosines:
            return torch.zeros(n, device=self.bias_S.device)
        bias_N = self.bias_S.mean().detach().expand(n).clone()
        bias_N[seen_S.to(bias_N.device)] = self.bias_S.detach()
        return bias_N

    def _read(self, vectors: Tensor) -> Tensor:
        return functional.normalize(vectors, dim=-1) if self.cosines else vectors * vectors.shape[-1] ** 0.5
