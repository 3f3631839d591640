"""From a text's hidden states to its vector: pooling over tokens, then, where there is one, a projection that starts as whitening."""

# B texts, N texts of a catalogue, T tokens, D hidden size, K projected size

from __future__ import annotations

from typing import Literal, Self

import torch
from torch import Tensor, nn

How = Literal["mean", "cls", "last", "attention"]


class Pooling(nn.Module):
    """One vector a text. Only `attention` learns: a weighted mean whose weights are a softmax of each token's product with one query."""

    def __init__(self, how: How, dim: int) -> None:
        super().__init__()
        self.how = how
        # A query of zeros weighs all alike: learning starts at the mean.
        self.query_D = nn.Parameter(torch.zeros(dim)) if how == "attention" else None

    def forward(self, hidden_BTD: Tensor, mask_BT: Tensor, counted_BT: Tensor) -> Tensor:
        """Vectors (B, D).

        Args:
            mask_BT: what is no padding.
            counted_BT: which tokens a mean counts, at least one a text.
        """
        if hidden_BTD.shape[:2] != mask_BT.shape or mask_BT.shape != counted_BT.shape:
            raise ValueError(f"hidden {tuple(hidden_BTD.shape)}, mask {tuple(mask_BT.shape)}, counted {tuple(counted_BT.shape)} do not fit")
        if self.how == "cls":
            return hidden_BTD[:, 0]
        if self.how == "last":
            return hidden_BTD[torch.arange(len(mask_BT)), mask_BT.to(hidden_BTD.device).sum(dim=1) - 1]
        counted_BT = counted_BT.to(hidden_BTD.device)
        # What texts share is large beside what they differ in: in bfloat16 the difference would drown.
        with torch.autocast(hidden_BTD.device.type, enabled=False):
            return self._mean(hidden_BTD.float(), counted_BT)

    def _mean(self, hidden_BTD: Tensor, counted_BT: Tensor) -> Tensor:
        if self.query_D is None:
            weight_BT = counted_BT.to(hidden_BTD.dtype)
        else:
            logits_BT = (hidden_BTD @ self.query_D).masked_fill(~counted_BT, -torch.inf)
            weight_BT = logits_BT.softmax(dim=1)
        return torch.einsum("btd,bt->bd", hidden_BTD, weight_BT) / weight_BT.sum(dim=1, keepdim=True)


class Projection(nn.Module):
    """`(vectors - mean) @ matrix`, both learnt from where the catalogue's whitening puts them."""

    def __init__(self, dim: int, size: int) -> None:
        super().__init__()
        self.mean_D = nn.Parameter(torch.zeros(dim), requires_grad=False)
        self.matrix_DK = nn.Parameter(torch.zeros(dim, size))

    @classmethod
    def whitening(cls, vectors_ND: Tensor, size: int) -> Self:
        """The principal `size` directions of the rows, each with variance 1 / size, so that rows have a length of about 1."""
        found = cls(vectors_ND.shape[1], size)
        mean_D, matrix_DK = whitening(vectors_ND, size)
        with torch.no_grad():
            found.mean_D.copy_(mean_D)
            found.matrix_DK.copy_(matrix_DK)
        return found

    def forward(self, vectors_BD: Tensor) -> Tensor:
        """Projected vectors (B, K)."""
        with torch.autocast(vectors_BD.device.type, enabled=False):
            return (vectors_BD.float() - self.mean_D) @ self.matrix_DK


def whitening(vectors_ND: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The rows' mean (D,), and the directions (D, K) that decorrelate them; a direction in which nothing varies is zero.

    What differs between the hidden states of texts is small beside what they share, and most of it lies in few directions: whitened,
    they carry several times as much (Su et al., "Whitening sentence representations", 2021).
    """
    if vectors_ND.ndim != 2 or not 1 <= size <= vectors_ND.shape[1]:
        raise ValueError(f"vectors {tuple(vectors_ND.shape)} cannot be projected to {size} dimensions")
    rows_ND = vectors_ND.double()
    mean_D = rows_ND.mean(dim=0)
    centred_ND = rows_ND - mean_D
    variance_D, axes_DD = torch.linalg.eigh(centred_ND.T @ centred_ND / max(len(rows_ND), 1))
    variance_K, axes_DK = variance_D.flip(0)[:size], axes_DD.flip(1)[:, :size]
    real_K = variance_K > 1e-10 * variance_K[0].clamp(min=1e-30)
    scale_K = torch.where(real_K, (variance_K.clamp(min=1e-30) * size).rsqrt(), 0.0)
    return mean_D.float(), (axes_DK * scale_K).float()
