"""What fine-tuning learns above item vectors: a tower that reads a history, and how its answer is compared with items."""

# B rows, L entries of a row, T places, N items, S items seen in training, R some items, K vector size

from __future__ import annotations

import torch
from torch import Tensor, nn

from genre.tower import Tower, read_last
from genre.types import Histories


class UserNetwork(nn.Module):
    """A tower, a scale for its products with item vectors, and one bias an item."""

    def __init__(self, size: int, layers: int, heads: int, longest: int, dropout: float, item_mask: float, n_seen: int) -> None:
        super().__init__()
        self.tower = Tower(size, layers, heads, longest, dropout, dropout, item_mask)
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.bias_S = nn.Parameter(torch.zeros(n_seen))

    def states(self, vectors_BLK: Tensor, known_BL: Tensor) -> Tensor:
        """What stands at each place of a history, (B, L, K)."""
        hidden_BLK: Tensor = self.tower(vectors_BLK * vectors_BLK.shape[-1] ** 0.5, known_BL)
        return hidden_BLK

    def asking(self, hidden_TK: Tensor) -> Tensor:
        """Hidden states such that their product with `answering` is the logit, (T, K + 1)."""
        return torch.cat([hidden_TK.float() * self.log_scale.exp(), torch.ones_like(hidden_TK[:, :1], dtype=torch.float32)], dim=1)

    def answering(self, vectors_RK: Tensor, seen_R: Tensor | None = None) -> Tensor:
        """Item vectors with their biases, (R, K + 1)."""
        bias_R = self.bias_S if seen_R is None else self.bias_S[seen_R]
        return torch.cat([vectors_RK, bias_R[:, None]], dim=1)

    def scores(self, vectors_NK: Tensor, known_N: Tensor, queries: Histories) -> Tensor:
        """Products of every item's vector with the reading of each history, (B, N), without biases."""
        hidden_BK = read_last(self.tower, vectors_NK * vectors_NK.shape[-1] ** 0.5, known_N, queries)
        return hidden_BK * self.log_scale.exp() @ vectors_NK.T

    def bias_of(self, seen_S: Tensor, n: int) -> Tensor:
        """Biases of all items, (N,); an item that was never seen gets the mean."""
        bias_N = self.bias_S.mean().detach().expand(n).clone()
        bias_N[seen_S.to(bias_N.device)] = self.bias_S.detach()
        return bias_N
