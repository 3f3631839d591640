"""Texts as token ids, and which of the tokens count as what the text says."""

# N texts, B texts of a batch, T tokens

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from genre.llm.backbone import Backbone
from genre.types import Bools

CHARACTERS_A_TOKEN = 64
"""A text is cut to so many characters a token before it is tokenized: more is never read, and book-length texts cost nothing."""


@dataclass(frozen=True)
class Tokens:
    """N texts.

    Attributes:
        ids: token ids of each text, what a model puts around it included.
        counted: for each text, which of its tokens a pooling counts: not those of a prefix; none where the text has none of its own and
            says nothing.
    """

    ids: list[list[int]]
    counted: list[Bools]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens a text; 0 for one that says nothing."""
        return [len(ids) if counted.any() else 0 for ids, counted in zip(self.ids, self.counted, strict=True)]

    def batches(self, rows: Sequence[int], size: int, places: int) -> list[list[int]]:
        """The rows that say something, those of like length together: at most `size` texts and, padded, `places` tokens a batch."""
        lengths = self.lengths
        found: list[list[int]] = []
        for row in sorted((row for row in rows if lengths[row]), key=lambda row: -lengths[row]):
            # Longest first: a batch is as wide as its first text, and what does not fit in memory shows at once.
            if not found or len(found[-1]) >= size or lengths[found[-1][0]] * (len(found[-1]) + 1) > places:
                found.append([])
            found[-1].append(row)
        return found


def tokenize(backbone: Backbone, texts: Sequence[str], prefix: str, max_tokens: int) -> Tokens:
    """Token ids of texts, each after the prefix; of long texts the beginning.

    Decoders need a prefix (`Item:`): they park attention on what comes first, which would drown the rest of a mean.

    Raises:
        ValueError: there is a prefix and the tokenizer cannot say which tokens are its own.
    """
    tokenizer, start = backbone.tokenizer, len(prefix.rstrip())
    if start and not tokenizer.is_fast:
        raise ValueError(f"prefix: {backbone.name} has no tokenizer.json to find the prefix's tokens by")
    if not len(texts):
        return Tokens([], [])
    longest = min(max_tokens, backbone.limit)
    cut = [text[: longest * CHARACTERS_A_TOKEN].strip() for text in texts]
    found = tokenizer(
        [f"{prefix.rstrip()} {text}".rstrip() for text in cut] if start else cut,
        truncation=True,
        max_length=longest,
        return_attention_mask=False,
        return_special_tokens_mask=True,
        return_offsets_mapping=bool(start),
    )
    own = [np.array(special) == 0 for special in found["special_tokens_mask"]]
    if not start:  # as sentence-transformers do, what the model puts around a text is averaged with it
        return Tokens(found["input_ids"], [np.full(len(mine), mine.any()) for mine in own])
    ends = [np.array(spans).reshape(-1, 2)[:, 1] for spans in found["offset_mapping"]]
    return Tokens(found["input_ids"], [mine & (end > start) for mine, end in zip(own, ends, strict=True)])


def padded(ids: Sequence[Sequence[int]], counted: Sequence[Bools], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of a batch: token ids, the mask of what is no padding, and which tokens count, each (B, T), padded on the right."""
    longest = max(len(one) for one in ids)
    ids_BT = torch.full((len(ids), longest), pad)
    mask_BT, counted_BT = torch.zeros(ids_BT.shape, dtype=torch.long), torch.zeros(ids_BT.shape, dtype=torch.bool)
    for row, (one, mine) in enumerate(zip(ids, counted, strict=True)):
        ids_BT[row, : len(one)] = torch.as_tensor(one)
        mask_BT[row, : len(one)] = 1
        counted_BT[row, : len(one)] = torch.from_numpy(mine)
    return ids_BT, mask_BT, counted_BT
