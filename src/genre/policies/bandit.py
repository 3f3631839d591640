"""What linear bandits share: the features of a candidate, learning from each event, merging replicas, saved state."""

# K candidates, n places of a slate, F features, D dimensions of the item vectors, d of their projection, H heads

from __future__ import annotations

import difflib
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from genre.component import Arrays
from genre.policies.placewise import PlacewisePolicy, Turn, standardised
from genre.policies.posterior import LinearPosterior
from genre.types import Bools, Candidates, Floats, Ints, Slate
from genre.vocabulary import EVENTS

REWARDS = {
    "click": 1.0, "open": 1.0, "like": 1.0, "save": 1.0, "cart": 1.0, "purchase": 1.0, "share": 1.0,
    "hide": -1.0, "dislike": -1.0, "report": -1.0,
}  # fmt: skip
"""What a bandit takes for success, unless told otherwise."""
PLAIN = 3
"""Features before those of vectors: 1, the ranker's score within its list, the cosine of user and item."""


class BanditPolicy(PlacewisePolicy):
    """Predicts what a candidate will earn, linearly, and learns from every event; begins as the ranker it is given the scores of.

    Features: 1, the ranker's score in units of its list's spread, the cosine of user and item, and of their vectors, projected at random
    to `dim` dimensions, the item's and its product with the user's. With `per_item` each item learns its own weights (of 1, score, cosine
    and the user's vector), as in disjoint LinUCB; else all share one set, and what is learnt of one item helps those like it.
    """

    learns: ClassVar[bool] = True

    class Config(PlacewisePolicy.Config):
        dim: PositiveInt = 8
        """Dimensions of user and item vectors that are looked at."""
        per_item: bool = False
        """Weights for each item, or one set for all."""
        ridge: PositiveFloat = 1.0
        """Strength of the prior: as if so many observations of unit length had been made in each direction."""
        prior: float = 0.05
        """What one standard deviation of the ranker's score is believed to add to the reward before anything is learnt."""
        seed: NonNegativeInt = 0
        """Of the projection."""
        rewards: dict[str, float] = Field(default_factory=lambda: dict(REWARDS))
        """While serving: what an event of each type is worth, `custom:...` too; what was shown and has none earned 0. Events of several
        types on the same item of a list add up, several of one type count once."""
        looked_at: PositiveInt | None = None
        """While serving: places of a list that people look at; what is below teaches nothing. None: all of them."""

        @field_validator("rewards")
        @classmethod
        def _types_exist(cls, rewards: dict[str, float]) -> dict[str, float]:
            for kind in rewards:
                if kind not in EVENTS and not kind.startswith("custom:"):
                    near = difflib.get_close_matches(kind, EVENTS, 1)
                    hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(EVENTS)}, and custom:anything"
                    raise ValueError(f"there is no event of type {kind!r}; {hint}")
            return rewards

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.projection_Dd: Floats | None = None
        prior_F = np.zeros(PLAIN + config.dim * (1 if config.per_item else 2))
        prior_F[1] = config.prior
        self.posterior = LinearPosterior(prior_F, config.ridge)
        self.head_N = np.zeros(0, np.int64)  # the head of each item; 0, which never learns here, of items that earned nothing yet

    @abstractmethod
    def begin(self, heads_K: Ints, features_KF: Floats, score_K: Floats, rng: np.random.Generator) -> Turn:
        """The turn, from what the posterior says of each candidate."""

    def open(self, candidates: Candidates, score_K: Floats, rng: np.random.Generator) -> Turn:
        """See PlacewisePolicy.open."""
        features_KF = self.features(candidates)
        turn = self.begin(self.heads(candidates.item_idx_K), features_KF, score_K, rng)
        turn.features_KF = features_KF
        return turn

    def features(self, candidates: Candidates) -> Floats:
        """What is known of each candidate, shape (K, F), as exact as float32 can hold it; without vectors, those features are 0."""
        # In 32 bits, so that what is logged is what was chosen by, bit for bit.
        return self._features(candidates).astype(np.float32).astype(np.float64)

    def _features(self, candidates: Candidates) -> Floats:
        dim = self.config.dim
        found_KF = np.zeros((len(candidates), len(self.posterior.prior_F)))
        found_KF[:, 0] = 1.0
        found_KF[:, 1] = standardised(np.asarray(candidates.scores_K, np.float64))
        vectors_KD, user_D = candidates.vectors_KD, candidates.user_D
        if vectors_KD is None:
            return found_KF
        if self.projection_Dd is None:
            shape = (vectors_KD.shape[1], dim)
            self.projection_Dd = np.random.default_rng(self.config.seed).normal(size=shape) / np.sqrt(dim)
        if len(self.projection_Dd) != vectors_KD.shape[1]:
            raise ValueError(
                f"{self.config.use} learnt from item vectors of {len(self.projection_Dd)} dimensions, and these have "
                f"{vectors_KD.shape[1]}: the encoder was changed; begin anew, with a policy that has no saved state"
            )
        user_d = np.zeros(dim) if user_D is None else user_D @ self.projection_Dd
        if user_D is not None:
            found_KF[:, 2] = vectors_KD @ user_D
        if self.config.per_item:
            found_KF[:, PLAIN:] = user_d
        else:
            item_Kd = vectors_KD @ self.projection_Dd
            found_KF[:, PLAIN : PLAIN + dim] = item_Kd
            found_KF[:, PLAIN + dim :] = np.sqrt(dim) * item_Kd * user_d
        return found_KF

    def heads(self, item_idx_K: Ints) -> Ints:
        """Which regression each item reads."""
        if not self.config.per_item or not len(self.head_N):
            return np.zeros(len(item_idx_K), np.int64)
        inside_K = item_idx_K < len(self.head_N)
        return np.where(inside_K, self.head_N[np.where(inside_K, item_idx_K, 0)], 0)

    def update(self, slate: Slate, reward_n: Floats) -> None:
        """Learn what each place earned; NaN where it is not known, as for places nobody looked at.

        Raises:
            ValueError: rewards do not fit the slate, or the slate is not this policy's.
        """
        if slate.features_nF is None or slate.features_nF.shape != (len(slate.item_idx), len(self.posterior.prior_F)):
            raise ValueError(f"{self.config.use} learns from slates that it made: this one lacks the features it chose by")
        if np.shape(reward_n) != slate.item_idx.shape or np.isinf(reward_n).any():
            raise ValueError(f"one finite reward (or NaN) a place is needed: {len(slate.item_idx)} places, rewards {reward_n}")
        known_n = np.flatnonzero(~np.isnan(reward_n))
        self.learn(slate.item_idx[known_n], slate.features_nF[known_n], reward_n[known_n])

    def learn(self, item_idx_E: Ints, features_EF: Floats, reward_E: Floats, shown_E: Bools | None = None) -> None:
        """Learn of places of any slates; see LinearPosterior.learn."""
        if self.config.per_item:
            self._own_heads(item_idx_E)
        self.posterior.learn(self.heads(item_idx_E), features_EF, reward_E, shown_E)

    def merge(self, replicas: Sequence[Self]) -> None:
        """Add what replicas learnt since each was loaded from this policy's saved state; the order does not matter.

        Raises:
            ValueError: a replica was configured otherwise, or was not loaded from this state.
        """
        for replica in replicas:
            if replica.config != self.config:
                raise ValueError(f"only replicas with the same settings can be merged: {replica.config} differs from {self.config}")
            self._own_heads(replica.items())
            if self.projection_Dd is None:
                self.projection_Dd = replica.projection_Dd
        self.posterior.absorb(self.posterior, [self._aligned(replica) for replica in replicas])

    def items(self) -> Ints:
        """Items that have weights of their own."""
        return np.flatnonzero(self.head_N)

    def state(self) -> Arrays:
        """See Component.state."""
        projection = {} if self.projection_Dd is None else {"projection_Dd": self.projection_Dd}
        return {**self.posterior.state(), "head_N": self.head_N, **projection}

    def restore(self, state: Arrays) -> None:
        """See Component.restore."""
        self.posterior.restore(state)
        self.head_N = np.array(state["head_N"])
        self.projection_Dd = np.array(state["projection_Dd"]) if "projection_Dd" in state else None

    def _own_heads(self, item_idx: Ints) -> None:
        """Give items without one a head."""
        if len(item_idx) and item_idx.max() >= len(self.head_N):
            self.head_N = np.pad(self.head_N, (0, int(item_idx.max()) + 1 - len(self.head_N)))
        new = np.unique(item_idx[self.head_N[item_idx] == 0]) if len(item_idx) else item_idx
        if len(new):
            self.head_N[new] = len(self.posterior) + np.arange(len(new))
            self.posterior.add_heads(len(new))

    def _aligned(self, replica: Self) -> LinearPosterior:
        """The replica's regressions in the order of this policy's heads; untouched where the replica has none."""
        aligned = LinearPosterior(self.posterior.prior_F, self.config.ridge)
        aligned.add_heads(len(self.posterior) - 1)
        items = replica.items()
        ours, theirs = np.append(self.head_N[items], 0), np.append(replica.head_N[items], 0)
        for name, array in replica.posterior.state().items():
            getattr(aligned, name)[ours] = array[theirs]
        return aligned
