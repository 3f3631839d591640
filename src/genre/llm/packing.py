"""Packing: short documents share a row of tokens, and none of them sees another."""

# B rows, T tokens of a row

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Piece = tuple[int, int, int]
"""A document's number and the stretch of it: from, to."""


@dataclass(frozen=True)
class Packed:
    """Rows of token ids.

    Attributes:
        document_BT: which of its row's documents a token belongs to, counted from 1; 0 is padding.
        position_BT: each token's place in its document's piece.
    """

    ids_BT: Tensor
    document_BT: Tensor
    position_BT: Tensor

    def mask(self, causal: bool) -> Tensor:
        """What is added to attention's logits, (B, 1, T, T): 0 within a document, else the lowest number there is."""
        same_BTT = (self.document_BT[:, :, None] == self.document_BT[:, None, :]) & (self.document_BT > 0)[:, None, :]
        if causal:
            same_BTT = same_BTT & torch.ones(same_BTT.shape[1:], dtype=torch.bool).tril()
        lowest = torch.finfo(torch.float32).min
        return torch.where(same_BTT, 0.0, lowest)[:, None]

    def next_token(self) -> tuple[Tensor, Tensor]:
        """Which places (B, T) have a successor in their document, and these successors, one after another."""
        has_BT = torch.zeros_like(self.document_BT, dtype=torch.bool)
        has_BT[:, :-1] = (self.document_BT[:, 1:] == self.document_BT[:, :-1]) & (self.document_BT[:, 1:] > 0)
        return has_BT, self.ids_BT.roll(-1, 1)[has_BT]


def plan(lengths: Sequence[int], size: int, rng: np.random.Generator) -> list[list[Piece]]:
    """Rows of pieces that fit into `size` tokens: the longest first, each where the least room is left (best fit), rows mixed at the end.

    A document longer than a row is cut into pieces of a row's length.
    """
    if size < 2:
        raise ValueError(f"a row of {size} tokens holds nothing to predict")
    pieces = [(document, a, min(a + size, n)) for document, n in enumerate(lengths) for a in range(0, n, size)]
    pieces = [pieces[i] for i in rng.permutation(len(pieces))]
    pieces.sort(key=lambda piece: piece[1] - piece[2])
    rows: list[list[Piece]] = []
    open_rows: list[list[int]] = [[] for _ in range(size + 1)]  # by the room that is left
    for piece in pieces:
        n = piece[2] - piece[1]
        room = next((room for room in range(n, size) if open_rows[room]), None)
        if room is None:
            rows.append([])
            row, room = len(rows) - 1, size
        else:
            row = open_rows[room].pop()
        rows[row].append(piece)
        open_rows[room - n].append(row)
    return [rows[i] for i in rng.permutation(len(rows))]


def pack(rows: Sequence[Sequence[Piece]], ids: Sequence[Sequence[int]], pad: int) -> Packed:
    """Planned rows as tensors, padded on the right to the longest of them."""
    width = max(sum(stop - start for _, start, stop in row) for row in rows)
    ids_BT = torch.full((len(rows), width), pad)
    document_BT, position_BT = torch.zeros_like(ids_BT), torch.zeros_like(ids_BT)
    for b, row in enumerate(rows):
        at = 0
        for number, (document, start, stop) in enumerate(row, 1):
            end = at + stop - start
            ids_BT[b, at:end] = torch.tensor(ids[document][start:stop])
            document_BT[b, at:end] = number
            position_BT[b, at:end] = torch.arange(stop - start)
            at = end
    return Packed(ids_BT, document_BT, position_BT)
