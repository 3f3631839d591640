"""Learning by trying: it runs, is reproducible and resumed, and begins as the ranker it stands on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from genre.data.synthetic import World, WorldConfig
from genre.rankers.sequential import SequentialRanker
from genre.simulation.learning import Learning, UserStates, decide, learn
from genre.simulation.world_users import WorldUsers
from genre.types import Training

SETTINGS = Learning(epochs=2, visitors=24, judged=8, horizon=4, slate=2, hidden=8, batch_size=32)


def test_rounds_are_reproducible_resumed_and_change_the_actor(tmp_path: Path) -> None:
    users = WorldUsers(World(WorldConfig(users=30, items=20, topics=3, repeats=True, new_items=0.0)))
    ranker = SequentialRanker(SequentialRanker.Config(embedding_dim=8, epochs=1, max_history=10))
    ranker.fit(Training(users.past, 20, repeats=True), tmp_path / "ranker")
    states = UserStates(ranker)
    histories = users.visit(np.arange(12)).histories()
    state_BF = states.of(histories)
    assert state_BF.shape == (12, states.features)
    scores = ranker.score(histories)
    assert np.allclose(state_BF[:, :8] @ ranker.item_vectors().T, scores, atol=1e-4), "the state begins with the ranker's own vector"

    first, progress = learn(users, states, SETTINGS, tmp_path / "one")
    again, _ = learn(users, states, SETTINGS, tmp_path / "one")
    other, _ = learn(users, states, SETTINGS, tmp_path / "two")
    state = torch.from_numpy(state_BF)
    assert torch.equal(first(state), again(state)), "a finished folder is gone on from, not done again"
    assert torch.equal(first(state), other(state))
    assert not torch.allclose(first(state), first.prior(state)), "something was learnt"
    assert len(progress.history) == 2
    assert list((tmp_path / "one" / "tensorboard").iterdir()), "curves are there"

    slate_BS, chance_BS = decide(first, states, 2, explore=True)(histories, np.random.default_rng(0))
    assert slate_BS.shape == chance_BS.shape == (12, 2)
    assert ((chance_BS > 0) & (chance_BS <= 1)).all()
