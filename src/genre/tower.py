"""The tower: a causal transformer that reads a history of item vectors."""

# B rows, L entries of a row, D embedding, H heads, E a head's dimensions, N items

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from genre.types import Histories


class Reader(nn.Module):
    """Reads rows of item vectors, of at most `longest` places: `forward(vectors_BLD, known_BL)` gives what stands at each, (B, L, D)."""

    longest: int


class Dropout(nn.Module):
    """Dropout that draws one random byte an element, a tenth of the cost of a random float; the share is rounded to 1/256."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.cut = round(share * 256)

    def forward(self, x: Tensor) -> Tensor:
        """Drop in training, pass on otherwise."""
        if not self.training or self.cut == 0:
            return x
        words = torch.empty(x.numel() // 8 + 1, dtype=torch.int64, device=x.device).random_(-(2**63), None)
        keep = words.view(torch.uint8)[: x.numel()].view(x.shape) >= self.cut
        return x * (keep.to(x.dtype) * (256 / (256 - self.cut)))


class Block(nn.Module):
    """Pre-norm causal self-attention and a two-layer perceptron, each added to what came in."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query_key_value, self.attention_out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.feed_in, self.feed_out = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """The states of all places, each from itself and those to its left."""
        x_BLD = x_BLD + self.dropout(self.attention_out(self._attend(self.query_key_value(self.attention_norm(x_BLD)))))
        fed_BLD: Tensor = self.dropout(self.feed_out(functional.gelu(self.feed_in(self.feed_norm(x_BLD)))))
        return x_BLD + fed_BLD

    def _attend(self, packed_BLX: Tensor) -> Tensor:
        b, length, width = packed_BLX.shape
        if packed_BLX.device.type == "cpu":  # torch's CPU kernel is faster in float32, its backward by a factor of two
            packed_BLX = packed_BLX.float()
        split = packed_BLX.view(b, length, 3, self.heads, width // 3 // self.heads)
        query_BHLE, key_BHLE, value_BHLE = split.permute(2, 0, 3, 1, 4).unbind(0)
        with torch.autocast(packed_BLX.device.type, enabled=False):
            mixed_BHLE = functional.scaled_dot_product_attention(query_BHLE, key_BHLE, value_BHLE, is_causal=True)
        return mixed_BHLE.transpose(1, 2).reshape(b, length, width // 3)


class Tower(Reader):
    """Reads a history of item vectors; what stands at each place predicts the entry after it.

    Rows are padded on the right: being causal, no real place ever sees the padding, so it needs no mask.
    """

    def __init__(
        self, dim: int, layers: int, heads: int, longest: int, dropout: float = 0.0, input_dropout: float = 0.0, item_mask: float = 0.0
    ) -> None:
        super().__init__()
        self.item_mask, self.longest = item_mask, longest
        self.position_LD = nn.Parameter(torch.randn(longest, dim) * 0.02)
        self.unknown_D = nn.Parameter(torch.randn(dim) * 0.02)
        self.input_dropout = Dropout(input_dropout)
        self.blocks = nn.ModuleList(Block(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, vectors_BLD: Tensor, known_BL: Tensor) -> Tensor:
        """Hidden states (B, L, D). An entry that is not known is read as one vector that stands for all such."""
        if self.training and self.item_mask:
            known_BL = known_BL & (torch.rand(known_BL.shape, device=known_BL.device) >= self.item_mask)
        x_BLD = torch.where(known_BL[..., None], vectors_BLD, self.unknown_D) + self.position_LD[: vectors_BLD.shape[1]]
        x_BLD = self.input_dropout(x_BLD)
        for block in self.blocks:
            x_BLD = block(x_BLD)
        hidden_BLD: Tensor = self.norm(x_BLD)
        return hidden_BLD


def read_last(tower: Reader, items_ND: Tensor, known_N: Tensor, queries: Histories) -> Tensor:
    """What the tower makes of each history, (B, D); an empty one is read as a single entry that nobody knows."""
    device = items_ND.device
    queries = queries.newest(tower.longest)
    length_B = np.maximum(queries.lengths, 1)
    real_BL = np.arange(length_B.max()) < queries.lengths[:, None]
    item_BL = np.zeros(real_BL.shape, np.int64)
    item_BL[real_BL] = queries.item_idx_E
    item = torch.from_numpy(item_BL).to(device)
    hidden_BLD: Tensor = tower(items_ND[item], known_N[item] & torch.from_numpy(real_BL).to(device))
    return hidden_BLD[torch.arange(len(queries), device=device), torch.from_numpy(length_B - 1).to(device)]
