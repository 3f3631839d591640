"""A hundred thousand items: the right slates, and rounds of learning, in bounded memory."""

# B visitors, N items, S places

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lovers import Lovers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from genre.policies.actor import Actor
from genre.policies.actor_critic import ActorCritic
from genre.rankers.sequential import SequentialRanker
from genre.simulation.learning import Learning, learn
from genre.simulation.reinforcing import Reinforcing, reinforce
from genre.simulation.rounds import AT_ONCE, decide
from genre.simulation.states import UserStates
from genre.types import Histories, Training

N, SLATE = 100_000, 5
VISITORS = AT_ONCE // N + 20
"""More than are scored at once."""
ROUNDS = {"epochs": 1, "visitors": 100, "judged": 4, "horizon": 3, "slate": 1, "hidden": 8, "batch_size": 32, "passes": 1}


@pytest.fixture(scope="module")
def histories() -> Histories:
    rng = np.random.default_rng(0)
    return Histories.of([rng.integers(N, size=length).tolist() for length in rng.integers(12, size=VISITORS)])


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> UserStates:
    ranker = SequentialRanker(SequentialRanker.Config(embedding_dim=16, epochs=1, max_history=10, negatives=256))
    everything = Histories.of(np.random.default_rng(1).permutation(N).reshape(-1, 200).tolist())
    ranker.fit(Training(everything, N, repeats=True), tmp_path_factory.mktemp("ranker"))
    return UserStates(ranker)


@pytest.fixture(scope="module", params=["REINFORCE", "actor-critic"])
def policy(request: pytest.FixtureRequest, states: UserStates) -> Actor | ActorCritic:
    """One that has learnt nothing yet, so that it is the ranker's own."""
    items_ND = torch.from_numpy(states.items_ND.copy())
    if request.param == "REINFORCE":
        return Actor(items_ND, states.features, 8, temperature=1.0)
    return ActorCritic(items_ND, states.features, 8, SLATE, conservative=0.05, entropy=0.05)


def test_the_best_slates_are_the_ones_that_a_full_sort_finds(policy: Actor | ActorCritic, states: UserStates, histories: Histories) -> None:
    item_BS, _ = decide(policy, states, SLATE)(histories, np.random.default_rng(0))
    score_BN = states.ranker.score(histories)
    assert np.take_along_axis(score_BN, item_BS, 1) == pytest.approx(-np.sort(-score_BN, axis=1)[:, :SLATE], abs=1e-5)
    assert all(len(set(item_S)) == SLATE for item_S in item_BS.tolist())


def test_what_is_drawn_has_the_chance_of_a_softmax_over_everything(
    policy: Actor | ActorCritic, states: UserStates, histories: Histories
) -> None:
    item_BS, chance_BS = decide(policy, states, SLATE, explore=True)(histories, np.random.default_rng(0))
    logit_BN = states.ranker.score(histories).astype(np.float64)
    if isinstance(policy, ActorCritic):  # of the ranker's softmax it is only so far as leaving it costs
        logit_BN *= 0.05 / (0.05 + 0.05)
    for item_S, chance_S, logit_N in zip(item_BS[::20], chance_BS[::20], logit_BN[::20], strict=True):
        weight_N = np.exp(logit_N - logit_N.max())
        for item, chance in zip(item_S, chance_S, strict=True):
            assert chance == pytest.approx(weight_N[item] / weight_N.sum(), rel=1e-3)
            weight_N[item] = 0.0
    assert len(np.unique(item_BS)) > 100, "each part of the visitors draws for itself"


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the largest tensor that was made."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.numbers = max([self.numbers, *(each.numel() for each in tree_leaves(made) if isinstance(each, torch.Tensor))])
        return made


@pytest.mark.parametrize("name", ["REINFORCE", "actor-critic"])
def test_rounds_hold_no_more_than_a_few_states_times_all_items(name: str, states: UserStates, tmp_path: Path) -> None:
    with Largest() as largest:  # type: ignore[no-untyped-call]
        if name == "REINFORCE":
            reinforce(Lovers(N), states, Reinforcing.model_validate(ROUNDS), tmp_path)
        else:
            learn(Lovers(N), states, Learning.model_validate(ROUNDS), tmp_path)
    assert 300 * N > AT_ONCE >= largest.numbers >= AT_ONCE - N, "300 states were seen, and as many scored at once as fit"
