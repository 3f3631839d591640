"""Interleaving: two rankings in one list, credit by clicks; finds the better ranking with far fewer units than two arms."""

# U units

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from genre.experiments.confidence import Interval, anytime_half, anytime_p, fixed_half, fixed_p
from genre.types import Floats, Ints

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class Interleaved(Generic[T]):
    """A list drawn by two teams: `teams[i]` is 0 or 1, the ranking that `items[i]` was picked by. Log both with the exposure."""

    items: tuple[T, ...]
    teams: tuple[int, ...]


def team_draft(first: Sequence[T], second: Sequence[T], n: int, rng: np.random.Generator) -> Interleaved[T]:
    """Each round a coin decides who picks first; each picks its best item not in the list yet (Radlinski, Kurup and Joachims, 2008).

    When one ranking has nothing left, the other goes on alone.
    """
    rankings = (first, second)
    at, items, teams, taken = [0, 0], list[T](), list[int](), set[T]()
    while len(items) < n:
        picked = False
        for team in (0, 1) if rng.random() < 0.5 else (1, 0):
            while at[team] < len(rankings[team]) and rankings[team][at[team]] in taken:
                at[team] += 1
            if at[team] < len(rankings[team]) and len(items) < n:
                items.append(rankings[team][at[team]])
                teams.append(team)
                taken.add(rankings[team][at[team]])
                picked = True
        if not picked:
            break
    return Interleaved(tuple(items), tuple(teams))


@dataclass(frozen=True)
class Preference:
    """Which ranking units prefer.

    Attributes:
        share: of the units that prefer one at all, how many prefer the second; 0.5 is no preference.
        fixed, anytime: intervals of the mean over all units of the second's share of a unit's credit less the first's, from −1 to 1.
        decided: units with more credit for one than for the other.
    """

    share: float
    fixed: Interval
    anytime: Interval
    p: float
    p_anytime: float
    units: int
    decided: int

    @property
    def sentence(self) -> str:
        """In words."""
        if self.anytime.above_zero or self.anytime.below_zero:
            which = "second" if self.anytime.above_zero else "first"
            return (
                f"the {which} ranking is preferred: {max(self.share, 1 - self.share):.1%} of the {self.decided:,} units with a preference"
            )
        return f"no preference is shown among {self.units:,} units, {self.decided:,} with a preference"


def preference(first_U: Floats | Ints, second_U: Floats | Ints, planned: float = 1000, alpha: float = 0.05) -> Preference:
    """From each unit's credit (clicks, or their value) for items of either team.

    A unit counts once, however much it clicks, so the interval is over units and one busy unit decides nothing.

    Raises:
        ValueError: the two do not match, a credit is negative or not a number, or fewer than two units have any.
    """
    first_U, second_U = np.asarray(first_U, np.float64), np.asarray(second_U, np.float64)
    if first_U.shape != second_U.shape or first_U.ndim != 1:
        raise ValueError(f"one credit a unit and team is needed, got {first_U.shape} and {second_U.shape}")
    if not (np.isfinite(first_U) & np.isfinite(second_U) & (first_U >= 0) & (second_U >= 0)).all():
        raise ValueError("credits must be numbers from 0 up: count the clicks on each team's items")
    all_U = first_U + second_U
    if (all_U > 0).sum() < 2:
        raise ValueError(f"{int((all_U > 0).sum())} units clicked anything; at least two are needed")
    lead_U = np.divide(second_U - first_U, all_U, out=np.zeros_like(all_U), where=all_U > 0)
    mean, se = np.asarray(lead_U.mean()), np.asarray(lead_U.std(ddof=1) / np.sqrt(len(lead_U)))
    n, dof = np.asarray(float(len(lead_U))), np.asarray(len(lead_U) - 1.0)
    fixed, anytime = float(fixed_half(se, dof, alpha)), float(anytime_half(se, n, planned, alpha))
    value, decided = float(mean), int((lead_U != 0).sum())
    return Preference(
        share=float((lead_U > 0).sum() / decided) if decided else 0.5,
        fixed=Interval(value, value - fixed, value + fixed),
        anytime=Interval(value, value - anytime, value + anytime),
        p=float(fixed_p(mean, se, dof)),
        p_anytime=float(anytime_p(mean, se, n, planned, alpha)),
        units=len(lead_U),
        decided=decided,
    )
