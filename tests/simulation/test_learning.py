"""Learning by trying: it runs, is reproducible and resumed, and begins as the ranker it stands on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lovers import Lovers

from genre.data.synthetic import World, WorldConfig
from genre.policies.actor import Actor
from genre.policies.actor_critic import ActorCritic
from genre.rankers.sequential import SequentialRanker
from genre.simulation.learning import Learning, learn
from genre.simulation.reinforcing import Reinforcing, reinforce
from genre.simulation.rounds import decide
from genre.simulation.states import UserStates
from genre.simulation.world_users import WorldUsers, WorldVisit
from genre.types import Histories, Training

SMALL = {"epochs": 2, "visitors": 24, "judged": 8, "horizon": 4, "slate": 2, "hidden": 8, "batch_size": 32}


@pytest.fixture(scope="module")
def users() -> WorldUsers:
    return WorldUsers(World(WorldConfig(users=30, items=20, topics=3, repeats=True, new_items=0.0)))


@pytest.fixture(scope="module")
def states(users: WorldUsers, tmp_path_factory: pytest.TempPathFactory) -> UserStates:
    ranker = SequentialRanker(SequentialRanker.Config(embedding_dim=8, epochs=1, max_history=10))
    ranker.fit(Training(users.past, 20, repeats=True), tmp_path_factory.mktemp("ranker"))
    return UserStates(ranker)


def test_a_state_begins_with_the_rankers_own_vector(users: WorldUsers, states: UserStates) -> None:
    histories = users.visit(np.arange(12)).histories()
    state_BF = states.of(histories)
    assert state_BF.shape == (12, states.features)
    assert np.allclose(state_BF[:, :8] @ states.ranker.item_vectors().T, states.ranker.score(histories), atol=1e-4)


def test_choices_are_counted_by_category(users: WorldUsers, states: UserStates) -> None:
    category_NC = np.eye(3)[users.world.topic_N]
    told = UserStates(states.ranker, category_NC)
    histories = Histories.of([[0, 1, 2], []])
    state_BF = told.of(histories)
    assert state_BF.shape == (2, told.features) and told.items_ND.shape == (20, 8 + 3)
    assert np.allclose(state_BF[:, :11] @ told.items_ND.T, states.ranker.score(histories), atol=1e-4), "the ranker's own policy is the same"
    first, second, third = category_NC[:3]
    assert state_BF[0, 19:22] == pytest.approx(0.3**2 * first + 0.3 * second + third), "the newest choice counts whole"
    assert state_BF[0, 28:31] == pytest.approx(np.log(3 * (first + second + third + 1) / 6))
    assert state_BF[1, 19:] == pytest.approx(0.0), "of nobody's choices each category has its share"
    with pytest.raises(ValueError, match="categories of 3 items, but the ranker knows 20"):
        UserStates(states.ranker, np.eye(3))


def test_a_broken_ranker_and_a_slate_that_cannot_be_filled_are_refused(states: UserStates) -> None:
    whole = Actor(torch.from_numpy(states.items_ND.copy()), states.features, 8, temperature=1.0)
    histories, rng = Histories.of([[0, 1], []]), np.random.default_rng(0)
    assert decide(whole, states, 20)(histories, rng)[0].shape == (2, 20), "all there is, in order"
    with pytest.raises(ValueError, match="a slate of 21, but the catalogue has 20 items"):
        decide(whole, states, 21)(histories, rng)
    broken = SequentialRanker(states.ranker.config)
    broken.restore(
        {name: np.full_like(array, np.nan) if array.dtype == np.float32 else array for name, array in states.ranker.state().items()}
    )
    with pytest.raises(ValueError, match="not finite: it is broken"):
        decide(whole, UserStates(broken), 2)(histories, rng)


def test_rounds_are_reproducible_resumed_and_change_the_actor(users: WorldUsers, states: UserStates, tmp_path: Path) -> None:
    settings = Learning.model_validate(SMALL)
    histories = users.visit(np.arange(12)).histories()
    state = torch.from_numpy(states.of(histories))

    def worths(model: ActorCritic) -> torch.Tensor:
        return model.worth(state, torch.zeros(12, 0, dtype=torch.int64), 0)

    first, progress = learn(users, states, settings, tmp_path / "one")
    again, _ = learn(users, states, settings, tmp_path / "one")
    other, _ = learn(users, states, settings, tmp_path / "two")
    assert torch.equal(worths(first), worths(again)), "a finished folder is gone on from, not done again"
    assert torch.equal(worths(first), worths(other))
    assert (worths(first) != 0).all(), "something was learnt"
    assert len(progress.history) == 2
    assert list((tmp_path / "one" / "tensorboard").iterdir()), "curves are there"
    slate_BS, chance_BS = decide(first, states, 2, explore=True)(histories, np.random.default_rng(0))
    assert slate_BS.shape == chance_BS.shape == (12, 2)
    assert ((chance_BS > 0) & (chance_BS <= 1)).all()


@pytest.mark.parametrize("memory", [1, 2])
def test_a_killed_run_ends_as_if_it_had_not_been(users: WorldUsers, states: UserStates, tmp_path: Path, memory: int) -> None:
    settings = Learning.model_validate({**SMALL, "schedule": "constant", "memory": memory, "epochs": 3})
    visits = [0]

    class Interrupted(WorldUsers):
        def arrive(self, n: int, rng: np.random.Generator) -> WorldVisit:
            visits[0] += 1
            if visits[0] == 6:  # two rounds with their judging are kept, the third is lost
                raise KeyboardInterrupt
            return super().arrive(n, rng)

    with pytest.raises(KeyboardInterrupt):
        learn(Interrupted(users.world), states, settings, tmp_path / "killed")
    gone_on, _ = learn(users, states, settings, tmp_path / "killed")
    straight, _ = learn(users, states, settings, tmp_path / "straight")
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(gone_on.parameters(), straight.parameters(), strict=True))
    assert not (tmp_path / "killed" / "tried").exists(), "what was tried is kept no longer than it is learnt from"
    again, _ = learn(users, states, settings, tmp_path / "killed")
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(again.parameters(), straight.parameters(), strict=True))


def test_memory_learns_from_the_rounds_before(users: WorldUsers, states: UserStates, tmp_path: Path) -> None:
    """The first round is the same; what the second teaches is not."""
    found = [learn(users, states, Learning.model_validate({**SMALL, "memory": rounds}), tmp_path / str(rounds))[1] for rounds in (1, 2)]
    first, second = ([each.history[epoch]["loss"] for each in found] for epoch in (0, 1))
    assert first[0] == first[1] and second[0] != second[1]


def test_reinforce_is_reproducible_and_begins_as_the_ranker(users: WorldUsers, states: UserStates, tmp_path: Path) -> None:
    settings = Reinforcing.model_validate(SMALL)
    histories = users.visit(np.arange(12)).histories()
    state = torch.from_numpy(states.of(histories))
    first, progress = reinforce(users, states, settings, tmp_path / "one")
    other, _ = reinforce(users, states, settings, tmp_path / "two")
    assert torch.equal(first(state), other(state))
    assert not torch.allclose(first(state), first.prior(state)), "something was learnt"
    assert len(progress.history) == 2
    slate_BS, chance_BS = decide(first, states, 2, explore=True)(histories, np.random.default_rng(0))
    assert slate_BS.shape == chance_BS.shape == (12, 2)


def test_both_learn_what_the_ranker_does_not_know(states: UserStates, tmp_path: Path) -> None:
    """The ranker has never heard of the one item that is clicked."""
    rounds = {**SMALL, "epochs": 12, "visitors": 60, "horizon": 3, "learning_rate": 0.02}
    _, critics = learn(Lovers(), states, Learning.model_validate(rounds), tmp_path / "critic")
    _, reinforced = reinforce(Lovers(), states, Reinforcing.model_validate(rounds), tmp_path / "reinforce")
    for progress in (critics, reinforced):
        assert progress.best == 3.0, "a click on every slate"
