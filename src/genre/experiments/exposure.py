"""Exposure: logged once, when a unit is first shown its variant; and users who turn out to be one keep their first variant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Exposure:
    """A unit saw its variant for the first time; `time` in unix seconds."""

    experiment: str
    unit: str
    variant: str
    time: float


class FirstShow:
    """Remembers who was shown an experiment, so that the log gets one row a unit.

    The memory is bounded: what was forgotten is logged again, which does no harm, since the analysis takes the first row.
    """

    def __init__(self, seen: Iterable[tuple[str, str]] = (), capacity: int = 1_000_000) -> None:
        """Begin with pairs of experiment and unit that are in the log already."""
        self._seen: dict[tuple[str, str], None] = dict.fromkeys(seen)
        self._capacity = capacity

    def show(self, experiment: str, unit: str, variant: str, now: float) -> Exposure | None:
        """The row to log, or None if the unit was shown it before."""
        key = (experiment, unit)
        if key in self._seen:
            return None
        if len(self._seen) >= self._capacity:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = None
        return Exposure(experiment, unit, variant, now)


class Merges:
    """Which ids are one person, and the id that the person was first assigned by: an anonymous session that logs in keeps its variant."""

    def __init__(self, roots: dict[str, str] | None = None) -> None:
        """Begin with what `roots` held before."""
        self.roots: dict[str, str] = dict(roots or {})
        self._members: dict[str, list[str]] = {}
        for unit, root in self.roots.items():
            self._members.setdefault(root, []).append(unit)

    def root(self, unit: str) -> str:
        """The id to assign by."""
        return self.roots.get(unit, unit)

    def join(self, first: str, later: str) -> str:
        """Two ids are one person, who was known as `first` first. Joining again changes nothing.

        Whoever was shown two variants before the join is in both arms of the log: the analysis says so (`crossed`).
        """
        kept, gone = self.root(first), self.root(later)
        if kept != gone:
            moved = [gone, *self._members.pop(gone, [])]
            self.roots.update(dict.fromkeys(moved, kept))
            self._members.setdefault(kept, []).extend(moved)
        return kept
