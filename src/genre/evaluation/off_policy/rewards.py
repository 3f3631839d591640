"""A reward model for off-policy evaluation: clicks over expected clicks, by place, item and group, fitted on other requests."""

# R requests, S places, E shown items one after another, P places, I items, G groups

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from genre.types import Floats, Ints


@dataclass(frozen=True)
class Rates:
    """Expected reward = the place's mean times how much better the item is than expected, times the same of the group.

    Attributes:
        place_P: mean reward a place; item_I and group_G: factors around 1, pulled towards it where little was seen.
    """

    place_P: Floats
    item_I: Floats
    group_G: Floats

    @classmethod
    def fit(cls, reward_E: Floats, place_E: Ints, item_E: Ints, group_E: Ints, sizes: tuple[int, int, int], prior: float) -> Self:
        """Place, then item, then group, each over what those before expect; `prior` is in showings of an average item."""
        places, items, groups = sizes
        mean = float(reward_E.mean()) if len(reward_E) else 0.0
        showings_P = np.bincount(place_E, minlength=places)
        place_P = (np.bincount(place_E, reward_E, places) + prior * mean) / (showings_P + prior)
        expected_E = place_P[place_E]
        pull = prior * max(mean, 1e-12)
        item_I = (np.bincount(item_E, reward_E, items) + pull) / (np.bincount(item_E, expected_E, items) + pull)
        expected_E = expected_E * item_I[item_E]
        group_G = (np.bincount(group_E, reward_E, groups) + pull) / (np.bincount(group_E, expected_E, groups) + pull)
        return cls(place_P, item_I, group_G)

    def predict(self, place: Ints, item: Ints, group: Ints) -> Floats:
        """Expected reward, for arrays of any one shape."""
        return np.asarray(self.place_P[place] * self.item_I[item] * self.group_G[group])


@dataclass(frozen=True)
class RewardModel:
    """Rates of what is gained and of what is lost (a hidden item may count below 0), one fit for each fold of the requests."""

    gained: tuple[Rates, ...]
    lost: tuple[Rates, ...]

    @classmethod
    def cross_fitted(
        cls,
        reward_E: Floats,
        place_E: Ints,
        item_E: Ints,
        group_E: Ints,
        fold_E: Ints,
        sizes: tuple[int, int, int],
        prior: float = 30.0,
    ) -> Self:
        """Fit once a fold, on the other folds: a request is never predicted by a model that knows what it earned.

        Args:
            fold_E: the fold of each showing; those of one unit share it.
            sizes: numbers of places, items and groups.
        """
        fits: dict[bool, list[Rates]] = {True: [], False: []}
        for fold in range(int(fold_E.max(initial=0)) + 1):
            others = fold_E != fold
            for gained, part_E in ((True, np.maximum(reward_E, 0.0)), (False, np.maximum(-reward_E, 0.0))):
                fits[gained].append(Rates.fit(part_E[others], place_E[others], item_E[others], group_E[others], sizes, prior))
        return cls(tuple(fits[True]), tuple(fits[False]))

    def predict(self, fold: int, place: Ints, item: Ints, group: Ints) -> Floats:
        """Expected reward in a request of this fold."""
        return self.gained[fold].predict(place, item, group) - self.lost[fold].predict(place, item, group)


def folds(cluster_R: Ints, n: int = 5, seed: int = 0) -> Ints:
    """A fold for each request; all of a unit's share one."""
    _, unit_R = np.unique(cluster_R, return_inverse=True)
    fold_C = np.random.default_rng(seed).permutation(int(unit_R.max(initial=0)) + 1) % n
    return np.asarray(fold_C[unit_R])
