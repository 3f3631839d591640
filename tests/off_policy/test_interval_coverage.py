"""Intervals against synthetic worlds, whose truth is known: of 95 % intervals, at least 93 % must hold it, whichever the estimator."""

# R requests, S places, U users, N items, P all slates there are, L different logits (of users, or of requests)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import pytest

from genre.data.synthetic import World, WorldConfig
from genre.evaluation.off_policy import estimators
from genre.evaluation.off_policy.estimators import ESTIMATORS, Contributions, general_pseudo_inverse, possible
from genre.evaluation.off_policy.intervals import empirical_bernstein, interval, resampled
from genre.evaluation.off_policy.logged import Logged, Predicted
from genre.types import Floats, Ints

USERS, ITEMS, REQUESTS, RESAMPLES = 40, 10, 3000, 400
RIGHT, GENERAL, BERNSTEIN = "dm, right model", "pseudo_inverse, all slates listed", ", Bernstein"


@dataclass(frozen=True)
class Slates:
    """How slates are made: one item after another (Plackett-Luce), or each place from a shelf of its own, whatever is above it."""

    places: int
    shelves: bool = False

    @cached_property
    def allowed_SN(self) -> Floats:
        """1 where an item may stand."""
        if not self.shelves:
            return np.ones((self.places, ITEMS))
        return np.asarray(np.arange(ITEMS) % self.places == np.arange(self.places)[:, None], np.float64)

    @cached_property
    def all_PS(self) -> Ints:
        """Every slate that can be."""
        every = [slate for slate in product(range(ITEMS), repeat=self.places) if len(set(slate)) == self.places]
        return np.array([slate for slate in every if self.allowed_SN[np.arange(self.places), slate].all()])

    def draw(self, logit_RN: Floats, rng: np.random.Generator) -> Ints:
        """A slate a row: the best noisy logit of what may stand at each place."""
        noisy_RN, rows = logit_RN + rng.gumbel(size=logit_RN.shape), np.arange(len(logit_RN))
        item_RS = np.empty((len(logit_RN), self.places), np.int64)
        for place in range(self.places):
            item_RS[:, place] = np.where(self.allowed_SN[place] > 0, noisy_RN, -np.inf).argmax(1)
            noisy_RN[rows, item_RS[:, place]] = -np.inf
        return item_RS

    def chances(self, logit_LN: Floats, item_LS: Ints) -> Floats:
        """Of each item at each place given those above, shape (L, S, N)."""
        left_LN, rows = np.exp(logit_LN), np.arange(len(logit_LN))
        found_LSN = np.empty((*item_LS.shape, ITEMS))
        for place in range(self.places):
            weight_LN = left_LN * self.allowed_SN[place]
            found_LSN[:, place] = weight_LN / weight_LN.sum(1, keepdims=True)
            left_LN[rows, item_LS[:, place]] = 0.0
        return found_LSN

    def joint(self, logit_UN: Floats) -> Floats:
        """How likely every slate is, shape (U, P)."""
        n_slates = len(self.all_PS)
        item_LS = np.tile(self.all_PS, (len(logit_UN), 1))
        chance_LSN = self.chances(np.repeat(logit_UN, n_slates, axis=0), item_LS)
        return np.asarray(_of(chance_LSN, item_LS).prod(1).reshape(-1, n_slates))


class Place:
    """A world of its own, a logging policy that knows no tastes, and a candidate that knows a little of them."""

    def __init__(self, seed: int, slates: Slates) -> None:
        world = World(WorldConfig(users=USERS, items=ITEMS, seed=seed, new_items=0.0, reluctance=0.5, position_bias=0.5))
        users, self.seed, self.slates = np.arange(USERS), seed, slates
        state = world.fresh(USERS)
        utility_UN = world.utility(users, state)
        self.logging_N = 0.5 * world.quality_N
        self.target_UN = 0.6 * self.logging_N + 0.4 * utility_UN
        click_UN = world.click_probability(users, state, np.tile(np.arange(ITEMS), (USERS, 1))) / world.examination(ITEMS)
        self.click_SUN = world.examination(slates.places)[:, None, None] * click_UN
        self.target_UP = slates.joint(self.target_UN)

    @cached_property
    def value(self) -> float:
        """What the candidate earns a request."""
        places = np.arange(self.slates.places)
        return float((self.target_UP * self.click_SUN[places, :, self.slates.all_PS].sum(1).T).sum(1).mean())

    def log(self) -> tuple[Logged, Logged, Contributions]:
        """Requests of random users, with a reward model that is wrong (it knows no tastes, and is 20 % too low) and with the right one.

        The third is the pseudo-inverse for places that may depend on each other.
        """
        # numpy takes [seed, 0] and seed for one: neither world nor resamples may share the stream that visitors are drawn from.
        rng, at_S, rows = np.random.default_rng([self.seed, 7]), np.arange(self.slates.places), np.arange(REQUESTS)
        user_R = rng.integers(USERS, size=REQUESTS)
        logging_RN = np.tile(self.logging_N, (REQUESTS, 1))
        item_RS = self.slates.draw(logging_RN, rng)
        reward_RS = (rng.random(item_RS.shape) < self.click_SUN[at_S, user_R[:, None], item_RS]).astype(np.float64)
        target_RSN = self.slates.chances(self.target_UN[user_R], item_RS)
        logging_RS, target_RS = (_of(chance_RSN, item_RS) for chance_RSN in (self.slates.chances(logging_RN, item_RS), target_RSN))
        drawn_DRS = [self.slates.draw(self.target_UN[user_R], rng) for _ in range(4)]
        models_RSN = {
            "wrong": np.broadcast_to(0.8 * self.click_SUN.mean(1), target_RSN.shape),
            "right": self.click_SUN[:, user_R].transpose(1, 0, 2),
        }
        marginals = {"logging_marginal_RS": logging_RS, "target_marginal_RS": target_RS} if self.slates.shelves else {}
        logs = []
        for model_RSN in models_RSN.values():
            drawn_RS = np.mean([_of(model_RSN, drawn_RS) for drawn_RS in drawn_DRS], axis=0)
            predicted = Predicted(_of(model_RSN, item_RS), (target_RSN * model_RSN).sum(2), drawn_RS)
            logs.append(Logged(reward_RS, logging_RS, target_RS, np.ones(item_RS.shape, bool), rows, predicted, **marginals))
        return logs[0], logs[1], Contributions(self._weights()[self._slate_of(item_RS), user_R] * reward_RS.sum(1), np.ones(REQUESTS))

    def _weights(self) -> Floats:
        """Of each slate for each user under the general pseudo-inverse, shape (P, U)."""
        slate_PSN = np.eye(ITEMS)[self.slates.all_PS]
        logging_P = self.slates.joint(self.logging_N[None])[0]
        return general_pseudo_inverse(slate_PSN.reshape(len(slate_PSN), -1), logging_P, self.target_UP.T)

    def _slate_of(self, item_RS: Ints) -> Ints:
        digits_S = ITEMS ** np.arange(self.slates.places)
        return np.searchsorted(self.slates.all_PS[:, ::-1] @ digits_S, item_RS[:, ::-1] @ digits_S)


def _of(value_LSN: Floats, item_LS: Ints) -> Floats:
    """Of the items at their places."""
    return np.asarray(np.take_along_axis(value_LSN, item_LS[:, :, None], 2)[:, :, 0])


def covered(slates: Slates, worlds: int) -> dict[str, float]:
    """Share of worlds whose interval holds the truth, an estimator."""
    hits: dict[str, list[bool]] = {}
    for seed in range(worlds):
        place = Place(seed, slates)
        wrong, right, general = place.log()
        found: dict[str, Contributions] = {name: estimator(wrong) for name, estimator in possible(wrong).items()}
        found |= {RIGHT: estimators.dm(right), GENERAL: general}
        estimate_ZP = resampled(list(found.values()), wrong.cluster_R, RESAMPLES, worlds + seed)
        for estimate_Z, (name, one) in zip(estimate_ZP.T, found.items(), strict=True):
            intervals = {name: interval(one.estimate, estimate_Z)}
            if name != "snips":
                low, high = float(one.value_R.min()), float(one.value_R.max())
                intervals[name + BERNSTEIN] = empirical_bernstein(one, wrong.cluster_R, low, high)
            for what, span in intervals.items():
                hits.setdefault(what, []).append(span.low <= place.value <= span.high)
    return {name: float(np.mean(hit)) for name, hit in hits.items()}


ONE, AFTER_ANOTHER, SHELVES = Slates(1), Slates(3), Slates(3, shelves=True)
EVERY = pytest.mark.parametrize("slates", [ONE, AFTER_ANOTHER, SHELVES], ids=["one place", "one after another", "shelves"])


@EVERY
def test_intervals_hold_the_truth_in_a_few_worlds(slates: Slates) -> None:
    found = covered(slates, 20)
    wrong = found.pop("dm"), found.pop("dm" + BERNSTEIN)
    assert all(share >= 0.8 for share in found.values()), found
    assert max(wrong) < 0.2, "the direct method is as wrong as its model, and its interval does not know"


@pytest.mark.slow
@EVERY
def test_intervals_hold_the_truth_in_300_worlds(slates: Slates, record_property: Callable[[str, object], None]) -> None:
    found = covered(slates, 300)
    for name, share in found.items():
        record_property(name, share)
    assert all(share >= 0.93 for name, share in found.items() if name.removesuffix(BERNSTEIN) != "dm"), found


def test_no_estimator_is_left_out() -> None:
    run = {name for slates in (ONE, SHELVES) for name in possible(Place(0, slates).log()[0])}
    assert run == set(ESTIMATORS)
