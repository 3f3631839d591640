"""Choices: what a user took from a slate, or that nothing was taken, with what is known of the user and of each item."""

# E choices, S places of a slate, N items, D dimensions of item vectors, X numbers about a user and an item, P a user's profile

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genre.rankers.neighbours import recency_BN
from genre.simulation.users import PAD
from genre.types import Floats, Histories, Impressions, Ints

DECAYS = (0.3, 0.8, 1.0)
"""How fast a history fades in each of its three readings: what was just taken, what was taken lately, and all of it."""
NEWEST = 50


@dataclass(frozen=True)
class Choices:
    """Choice sets.

    Attributes:
        histories: E, before each choice.
        item_ES: what was shown, -1 at the end of shorter slates.
        taken_E: the place taken; S where nothing was.
    """

    histories: Histories
    item_ES: Ints
    taken_E: Ints

    def __post_init__(self) -> None:
        if not len(self.histories) == len(self.item_ES) == len(self.taken_E):
            raise ValueError(f"{len(self.histories)} histories, {len(self.item_ES)} slates, {len(self.taken_E)} choices")
        shown_E = (self.item_ES != PAD).sum(axis=1)
        if ((self.taken_E < self.item_ES.shape[1]) & (self.taken_E >= shown_E)).any():
            raise ValueError("a place was taken at which nothing stood")

    def __len__(self) -> int:
        return len(self.taken_E)

    @classmethod
    def of(cls, shown: Impressions, places: int, task: str = "click") -> Choices:
        """The first entry of each list that something came of, by place, or nothing; places beyond are cut off."""
        owner_E = shown.owner_E()
        place_E = np.where(shown.position_E >= 0, shown.position_E, np.arange(len(owner_E)) - shown.offsets[owner_E])
        order = np.lexsort((place_E, owner_E))
        rank_E = np.arange(len(order)) - np.repeat(shown.offsets[:-1], np.diff(shown.offsets))
        keep = rank_E < places
        owner, rank, entry = owner_E[order][keep], rank_E[keep], order[keep]
        item_ES = np.full((len(shown), places), PAD)
        item_ES[owner, rank] = shown.item_idx_E[entry]
        taken_E = np.full(len(shown), places)
        yes = np.nan_to_num(shown.labels[task][entry]) > 0
        np.minimum.at(taken_E, owner[yes], rank[yes])
        return cls(shown.queries, item_ES, taken_E)

    def take(self, rows: Ints) -> Choices:
        """Some of them."""
        return Choices(self.histories.take(rows), self.item_ES[rows], self.taken_E[rows])


@dataclass(frozen=True)
class Known:
    """What a user model knows of the catalogue.

    Attributes:
        vector_ND: of the items, unit length.
        popular_N: how popular each is, standardised.
    """

    vector_ND: Floats
    popular_N: Floats

    def profiles(self, histories: Histories) -> npt.NDArray[np.float32]:
        """Users as their histories' vectors under each decay, and the logarithm of their lengths, shape (E, P)."""
        recent, n_items = histories.newest(NEWEST), len(self.vector_ND)
        faded = [recency_BN(recent, n_items, decay) @ self.vector_ND for decay in DECAYS]
        faded[-1] = faded[-1] / np.maximum(recent.lengths, 1)[:, None]
        return np.concatenate([*faded, np.log1p(histories.lengths)[:, None]], axis=1).astype(np.float32)

    def items(self, profile_EP: Floats, item_ES: Ints) -> npt.NDArray[np.float32]:
        """Numbers about each shown item and its user, shape (E, S, X): likeness under each decay, popularity, place, the item's vector."""
        size = self.vector_ND.shape[1]
        vector_ESD = self.vector_ND[item_ES]
        alike = [np.einsum("esd,ed->es", vector_ESD, profile_EP[:, i * size : (i + 1) * size]) for i in range(len(DECAYS))]
        place_ES = np.broadcast_to(np.log1p(np.arange(item_ES.shape[1])), item_ES.shape)
        plain = np.stack([*alike, self.popular_N[item_ES], place_ES], axis=2)
        return np.concatenate([plain, vector_ESD], axis=2).astype(np.float32)


PLAIN = len(DECAYS) + 2
"""How many of those numbers come before the vector: all that a multinomial logit is given."""
