"""Learning by trying: an actor-critic serves simulated visitors, and learns from what came of each slate in the long run."""

# B visitors, H slates of a visit, S places, F features of a state, E slates that were shown

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from genre.checkpoint import Progress
from genre.policies.actor_critic import ActorCritic, targets
from genre.simulation.memory import Memory, Remembered
from genre.simulation.rounds import Rounds, a_few, by_slate, decide, in_batches, judge, serve
from genre.simulation.states import UserStates
from genre.simulation.users import Users
from genre.training import train


class Learning(Rounds):
    """How an actor-critic learns."""

    trace: Annotated[float, Field(ge=0, le=1)] = 0.5
    """How far what was earned after a slate is believed, rather than the critic."""
    conservative: NonNegativeFloat = 0.05
    """The price in clicks, place by place, of one nat of divergence from the ranker's own policy."""
    entropy: NonNegativeFloat = 0.05
    """The worth in clicks of one nat of entropy, so that something is tried."""
    memory: PositiveInt = 1
    """The newest rounds that are learnt from, in as many steps as one: what a slate is worth in the long run is judged anew each time."""


class Tried(NamedTuple):
    """Slates that were shown, and what came of them from each place on."""

    state_EF: Tensor
    item_ES: Tensor
    target_ES: Tensor


def learn(users: Users, states: UserStates, settings: Learning, folder: Path, seed: int = 0) -> tuple[ActorCritic, Progress]:
    """An actor that earns long-term reward from these users; `folder` gets checkpoints and TensorBoard's curves, and is resumed from.

    `validation` in the curves is the mean reward of a visit when the best slates are shown.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        items_ND = torch.from_numpy(states.items_ND.copy())
        model = ActorCritic(items_ND, states.features, settings.hidden, settings.slate, settings.conservative, settings.entropy)

    def batches(epoch: int, rng: np.random.Generator) -> list[Tried]:
        rounds = memory.joined_by(epoch, served(users, states, model, settings, rng))
        tried = [looked_back_on(model, each, settings) for each in rounds]
        together = Tried(*(torch.cat(parts) for parts in zip(*tried, strict=True)))
        return in_batches(together, settings.batch_size, rng, settings.passes, len(tried[-1].state_EF))

    def loss(batch: Tried) -> Tensor:
        return functional.mse_loss(model.worth_of(batch.state_EF, batch.item_ES), batch.target_ES)

    memory = Memory(folder / "tried", settings.memory)
    progress = train(
        model, batches, loss, folder, settings, judge(users, decide(model, states, settings.slate), settings, seed), seed, "reward"
    )
    memory.clear()
    return model, progress


def served(users: Users, states: UserStates, model: ActorCritic, settings: Learning, rng: np.random.Generator) -> Remembered:
    """One round of visitors under the policy as it stands."""
    episodes, state_EF = serve(users, states, model, settings, rng)
    there_BH, item_BHS = torch.from_numpy(episodes.there_BH), torch.from_numpy(episodes.item_BHS)
    return Remembered(state_EF, there_BH, item_BHS, torch.from_numpy(episodes.clicked_BHS))


def looked_back_on(model: ActorCritic, round_: Remembered, settings: Learning) -> Tried:
    """What came of a round's slates, as far as the critic knows today."""
    there_BH = round_.there_BH
    value_BH = torch.zeros(there_BH.shape)
    # States stand slate after slate.
    parts = a_few(len(round_.state_EF), len(model.items_ND))
    value_BH.T[there_BH.T] = torch.cat([model.value(round_.state_EF[part]) for part in parts])
    target_BHS = targets(round_.clicked_BHS.float(), value_BH, there_BH.float(), settings.discount, settings.trace)
    return Tried(round_.state_EF, by_slate(there_BH, round_.item_BHS), by_slate(there_BH, target_BHS))
