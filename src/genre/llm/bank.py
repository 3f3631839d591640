"""The bank: the newest known vector of every text; those of a step's fresh texts carry gradients, the others stand still."""

# N texts, R rows asked for, U fresh rows, K vector size

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


class Bank(nn.Module):
    """Vectors (N, K) that are kept with the weights, so that a resumed training sees the same ones (after MoCo: He et al., 2020)."""

    vectors_NK: Tensor
    known_N: Tensor

    def __init__(self, n: int, size: int) -> None:
        super().__init__()
        self.register_buffer("vectors_NK", torch.zeros(n, size))
        self.register_buffer("known_N", torch.zeros(n, dtype=torch.bool))

    @torch.no_grad()
    def put(self, rows: Tensor, vectors_UK: Tensor) -> None:
        """Newer vectors of some texts."""
        self.vectors_NK[rows] = vectors_UK.detach().to(self.vectors_NK.dtype)
        self.known_N[rows] = True


@dataclass(frozen=True)
class View:
    """A bank as one step sees it: what an objective computes its loss from.

    Attributes:
        fresh_U: rows of the bank that the step encoded anew, each once; `vectors_UK`: with gradients.
    """

    bank: Bank
    fresh_U: Tensor
    vectors_UK: Tensor

    @classmethod
    def still(cls, bank: Bank) -> View:
        """Nothing is fresh."""
        device = bank.vectors_NK.device
        return cls(bank, torch.empty(0, dtype=torch.long, device=device), torch.empty(0, bank.vectors_NK.shape[1], device=device))

    def at(self, rows: Tensor) -> Tensor:
        """Vectors of some texts, of shape rows.shape + (K,)."""
        flat_R = rows.flatten()
        found_RK = self.bank.vectors_NK[flat_R]
        if len(self.fresh_U):
            place_N = torch.full((len(self.bank.vectors_NK),), -1, device=flat_R.device)
            place_N[self.fresh_U] = torch.arange(len(self.fresh_U), device=flat_R.device)
            place_R = place_N[flat_R]
            fresh_RK = self.vectors_UK.index_select(0, place_R.clamp(min=0))
            found_RK = torch.where((place_R >= 0)[:, None], fresh_RK, found_RK)
        return found_RK.view(*rows.shape, -1)

    def known(self, rows: Tensor) -> Tensor:
        """Which of some texts say something."""
        return self.bank.known_N[rows]
