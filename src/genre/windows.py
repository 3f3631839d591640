"""Training windows: long histories cut into pieces, pieces of like length gathered into batches that hold little padding."""

# B rows of a batch, L entries of a row, W windows of an epoch, E entries of all histories, U users

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

from genre.successors import Course
from genre.types import Bools, Histories, Ints


class Batch(NamedTuple):
    """At each real place, `target` is to be predicted from `input` and what stands to its left; elsewhere nothing is asked.

    Padding is on the right and never real.
    """

    input_BL: npt.NDArray[np.int64]
    target_BL: npt.NDArray[np.int64]
    real_BL: Bools


class Windows(Sequence[Batch]):
    """The batches of one epoch, each built when it is asked for."""

    def __init__(self, course: Course, start_W: Ints, length_W: Ints, places: int, rng: np.random.Generator) -> None:
        """Windows of equal or nearly equal length share a batch of at most `places` places (one window at least).

        Windows in which nothing is asked are left out.
        """
        asked_E = np.concatenate([[0], np.cumsum(course.target_E >= 0)])
        useful_W = asked_E[start_W + length_W] > asked_E[start_W]
        start_W, length_W = start_W[useful_W], length_W[useful_W]
        order_W = np.lexsort((rng.random(len(start_W)), length_W))
        self._course, self._start_W, self._length_W = course, start_W[order_W], length_W[order_W]
        cuts = [0]
        while cuts[-1] < len(order_W):
            cuts.append(self._end(cuts[-1], places))
        self._slices = [slice(a, b) for a, b in pairwise(cuts)]
        self._order = rng.permutation(len(self._slices))

    def _end(self, start: int, places: int) -> int:
        """How far a batch from `start` reaches: rows times the longest row grow with the end, so halving finds it."""
        low, high = start + 1, min(len(self._length_W), start + places)
        while low < high:
            middle = (low + high + 1) // 2
            if (middle - start) * int(self._length_W[middle - 1]) <= places:
                low = middle
            else:
                high = middle - 1
        return low

    def __len__(self) -> int:
        return len(self._slices)

    @overload
    def __getitem__(self, place: int) -> Batch: ...
    @overload
    def __getitem__(self, place: slice) -> list[Batch]: ...
    def __getitem__(self, place: int | slice) -> Batch | list[Batch]:
        if isinstance(place, slice):
            return [self[p] for p in range(*place.indices(len(self)))]
        rows = self._slices[self._order[place]]
        length_B = self._length_W[rows]
        along_L = np.arange(length_B[-1])
        entry_BL = self._start_W[rows, None] + np.minimum(along_L, length_B[:, None] - 1)
        target_BL = self._course.target_E[entry_BL].astype(np.int64)
        real_BL = (along_L < length_B[:, None]) & (target_BL >= 0)
        return Batch(self._course.item_E[entry_BL].astype(np.int64), target_BL, real_BL)


def cut(histories: Histories, longest: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Starts and lengths of windows over every entry that has a successor.

    A history with more than `longest` such entries is cut at a place drawn anew each time, then every `longest` entries, so that over the
    epochs each entry is seen with much context and with little. The generator is drawn from once a user, whatever the lengths.
    """
    places_U = np.maximum(histories.lengths - 1, 0)
    first_U = np.where(places_U > longest, rng.integers(1, longest + 1, len(places_U)), places_U)
    pieces_U = (places_U > 0) + -(-(places_U - first_U) // longest)
    owner_W = np.repeat(np.arange(len(places_U)), pieces_U)
    piece_W = np.arange(len(owner_W)) - np.repeat(np.cumsum(pieces_U) - pieces_U, pieces_U)
    end_W = np.minimum(first_U[owner_W] + piece_W * longest, places_U[owner_W])
    begin_W = np.where(piece_W > 0, first_U[owner_W] + (piece_W - 1) * longest, 0)
    return histories.offsets[:-1][owner_W] + begin_W, end_W - begin_W
