"""A token trie: after some tokens, which may come next so that the whole becomes one of the known texts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import lru_cache


class TokenTrie:
    """Known token sequences, kept as one sorted list: a node is a range of it, so a million titles cost no more than their tokens."""

    def __init__(self, sequences: Iterable[Sequence[int]]) -> None:
        self.rows = sorted({tuple(sequence) for sequence in sequences if len(sequence)})
        if not self.rows:
            raise ValueError("a token trie needs at least one text with a token")
        self.allowed = lru_cache(maxsize=4096)(self._allowed)  # the few nodes near the root are asked for most often

    def __contains__(self, sequence: Sequence[int]) -> bool:
        place = bisect_left(self.rows, tuple(sequence))
        return place < len(self.rows) and self.rows[place] == tuple(sequence)

    def _allowed(self, prefix: tuple[int, ...]) -> list[int]:
        """The tokens that may follow a prefix, ascending; none where it is a whole text, or leads to none."""
        depth = len(prefix)
        place = bisect_left(self.rows, prefix)
        tokens = []
        while place < len(self.rows) and self.rows[place][:depth] == prefix:
            if len(self.rows[place]) == depth:  # the prefix itself is a text
                place += 1
                continue
            token = self.rows[place][depth]
            tokens.append(token)
            place = bisect_left(self.rows, (*prefix, token + 1), place)
        return tokens
