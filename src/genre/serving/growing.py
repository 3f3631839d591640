"""Arrays that grow while others read them: whoever knows how many entries there were can read those without a lock."""

# N entries, M new ones, K asked for, D dimensions

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from genre.types import Floats, Ints

T = TypeVar("T", bound=np.generic)


class Growing(Generic[T]):
    """An array in memory with room behind its end; one writer at a time, any number of readers."""

    def __init__(self, values_N: npt.NDArray[T]) -> None:
        self._room: npt.NDArray[T] = np.array(values_N)
        self.n = len(values_N)

    def append(self, values_M: npt.NDArray[T]) -> None:
        """Add entries at the end; readers see them once `n` has grown."""
        m = len(values_M)
        if self.n + m > len(self._room):
            room = np.empty((max(2 * self.n, self.n + m, 64), *self._room.shape[1:]), self._room.dtype)
            room[: self.n] = self._room[: self.n]
            self._room = room
        self._room[self.n : self.n + m] = values_M
        self.n += m

    def first(self, n: int) -> npt.NDArray[T]:
        """The first n entries: a view, to be read only."""
        return self._room[:n]

    def __getitem__(self, i: int) -> T:
        value: T = self._room[i]
        return value

    def __setitem__(self, i: int | Ints, value: Any) -> None:
        self._room[i] = value


class Rows:
    """Vectors of the bundle, mapped from disk, and behind them those of items added since."""

    def __init__(self, base_ND: npt.NDArray[np.float32]) -> None:
        self.base_ND = base_ND
        self.extra = Growing(np.empty((0, base_ND.shape[1]), np.float32))
        self.changed: set[int] = set()

    @property
    def dim(self) -> int:
        """D, the length of a vector."""
        return int(self.base_ND.shape[1])

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.base_ND) + self.extra.n

    def append(self, vector_MD: npt.NDArray[np.float32]) -> None:
        """Vectors of new items."""
        self.extra.append(vector_MD)

    def replace(self, i: int, vector_D: npt.NDArray[np.float32]) -> None:
        """An item's vector changed; pages of the mapped file are copied, never written."""
        if i < len(self.base_ND):
            self.base_ND[i] = vector_D
            self.changed = self.changed | {i}
        else:
            self.extra[i - len(self.base_ND)] = vector_D

    def take(self, item_idx_K: Ints) -> npt.NDArray[np.float32]:
        """Some of the vectors, shape (K, D)."""
        base = len(self.base_ND)
        if len(item_idx_K) == 0 or int(item_idx_K.max()) < base:
            return self.base_ND.take(item_idx_K, axis=0)  # two thirds of the time of base_ND[item_idx_K]
        vector_KD = np.empty((len(item_idx_K), self.dim), np.float32)
        added = item_idx_K >= base
        vector_KD[~added] = self.base_ND[item_idx_K[~added]]
        vector_KD[added] = self.extra.first(self.extra.n)[item_idx_K[added] - base]
        return vector_KD

    def dot(self, vector_D: Floats, n: int) -> npt.NDArray[np.float32]:
        """Dot products with the first n vectors."""
        base = len(self.base_ND)
        if n <= base:
            return np.asarray(self.base_ND[:n] @ vector_D, np.float32)
        return np.concatenate([self.base_ND @ vector_D, self.extra.first(n - base) @ vector_D]).astype(np.float32, copy=False)
