"""The prefix cache: hidden states below the first block that learns, computed once a text, so that a step costs the upper blocks alone."""

# B texts of a batch, T tokens, D hidden size

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from genre.llm.blocks import Blocks
from genre.llm.content_store import ContentStore, key_of
from genre.llm.tokens import Tokens, padded
from genre.llm.vectoriser import fingerprint
from genre.progress import track

log = logging.getLogger(__name__)

SEGMENT_BYTES = 1 << 28
"""What is computed before it is made to last: a killed run loses no more."""
PLACES = 8192
"""Padded tokens in one pass through the lower blocks."""


class PrefixCache:
    """States of texts as they enter block `first`: on disk, un-padded, found by the model's lower weights and the token ids.

    A text that does not fit into `limit_bytes`, and every text where that is 0, goes through the lower blocks each time it is asked for.
    """

    def __init__(
        self, blocks: Blocks, first: int, tokens: Tokens, root: Path, limit_bytes: int, precision: Literal["float16", "float32"]
    ) -> None:
        self.blocks, self.first, self.tokens, self.limit_bytes = blocks, first, tokens, limit_bytes
        self._keys = [key_of(np.asarray(ids, np.int64).tobytes()) for ids in tokens.ids]
        self._store: ContentStore | None = None
        if limit_bytes and first:
            recipe = {"lower": fingerprint(blocks.below(first)), "block": first, "kind": blocks.backbone.kind}
            self._store = ContentStore(root, recipe, blocks.backbone.dim, precision)

    def fill(self, rows: Sequence[int]) -> int:
        """Compute what is missing of these texts, the first of them first, as far as there is room; gives how many are in the cache."""
        store = self._store
        if store is None:
            return 0
        lengths = self.tokens.lengths
        wanted = list(dict.fromkeys(row for row in rows if lengths[row]))
        row_bytes = store.dim * store.dtype.itemsize
        missing = list({self._keys[row]: row for row in wanted if self._keys[row] not in store}.values())
        taken = np.cumsum([lengths[row] * row_bytes for row in missing])
        new = missing[: int(np.searchsorted(taken, self.limit_bytes - store.bytes, "right"))]
        if new:
            size = sum(lengths[row] for row in new) * row_bytes
            log.info("prefix cache: %s texts, %.0f MB, in %s", f"{len(new):,}", size / 1e6, store.folder)
        batches = self.tokens.batches(new, len(new) or 1, PLACES)
        progress = iter(track(batches, "running the lower blocks once"))
        for part in _parts(batches, lengths, SEGMENT_BYTES // row_bytes):
            with store.segment() as writer:
                for batch in (next(progress) for _ in part):
                    for row, states in zip(batch, self._lower(batch), strict=True):
                        writer.add(self._keys[row], states[: lengths[row]].cpu().numpy())
        next(progress, None)
        inside = sum(self._keys[row] in store for row in wanted)
        if inside < len(wanted):
            log.info("prefix cache: %s of %s texts are outside its %.1f GB", len(wanted) - inside, len(wanted), self.limit_bytes / 1e9)
        return inside

    def states(self, rows: Sequence[int]) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
        """Of some texts: states (B, T, D), token ids, mask and counted, padded. The states are None where no block is below the first.

        Raises:
            ValueError: the cache's bytes are not those that were written.
        """
        ids_BT, mask_BT, counted_BT = self._padded(rows)
        if not self.first:
            return None, ids_BT, mask_BT, counted_BT
        states_BTD = torch.zeros(*ids_BT.shape, self.blocks.backbone.dim)
        outside = [place for place, row in enumerate(rows) if self._store is None or self._keys[row] not in self._store]
        for place in set(range(len(rows))) - set(outside):
            assert self._store is not None
            found = self._store.get(self._keys[rows[place]])
            states_BTD[place, : len(found)] = torch.from_numpy(found.astype(np.float32))
        if outside:
            made = self._lower([rows[place] for place in outside]).cpu()
            states_BTD[outside, : made.shape[1]] = made
        return states_BTD, ids_BT, mask_BT, counted_BT

    def _lower(self, rows: Sequence[int]) -> Tensor:
        ids_BT, mask_BT, _ = self._padded(rows)
        # In float32 also where training is not: it is done once, and is what an encoder will see.
        with torch.no_grad(), torch.autocast(self.blocks.backbone.device.type, enabled=False):
            return self.blocks.lower(self.first, ids_BT, mask_BT)

    def _padded(self, rows: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        pad = self.blocks.backbone.tokenizer.pad_token_id
        return padded([self.tokens.ids[row] for row in rows], [self.tokens.counted[row] for row in rows], pad)


def _parts(batches: list[list[int]], lengths: list[int], most: int) -> list[list[list[int]]]:
    """Batches gathered until they hold `most` tokens."""
    parts: list[list[list[int]]] = []
    held = most
    for batch in batches:
        if held >= most:
            parts.append([])
            held = 0
        parts[-1].append(batch)
        held += sum(lengths[row] for row in batch)
    return parts
