"""REINFORCE with the top-K correction: a policy learns from the slates that another one, or an earlier self, has shown."""

# B visitors, H slates of a visit, S places, F features of a state, E slates that were shown

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional

from genre.checkpoint import Progress
from genre.policies.actor import Actor
from genre.policies.actor_critic import targets
from genre.policies.reinforce import divergence, off_policy_loss
from genre.simulation.rounds import Rounds, a_few, by_slate, decide, in_batches, judge, serve
from genre.simulation.states import UserStates
from genre.simulation.users import Users
from genre.training import train


class Reinforcing(Rounds):
    """How REINFORCE learns: each round is a log of visitors served by the policy as it then stood, the first by the ranker's own."""

    learning_rate: PositiveFloat = 1e-3
    temperature: PositiveFloat = 1.0
    """What the ranker's scores are divided by: the policy begins as Plackett-Luce at this temperature."""
    weight_cap: PositiveFloat = 3.0
    """Largest importance weight: less variance, more bias."""
    conservative: NonNegativeFloat = 0.02
    """Weight of the divergence from the ranker's own policy."""


class Logged(NamedTuple):
    """Slates that were shown, how likely one draw of the policy that showed them had each item, and the clicks from each place on."""

    state_EF: Tensor
    item_ES: Tensor
    log_logging_ES: Tensor
    return_ES: Tensor


class WithBaseline(nn.Module):
    """An actor, and what is to be expected of a state anyway: returns are judged against it, which takes away variance and no more."""

    def __init__(self, actor: Actor, features: int, hidden: int, places: int) -> None:
        super().__init__()
        self.actor = actor
        self.expected = nn.Sequential(nn.Linear(features, hidden), nn.SiLU(), nn.Linear(hidden, places))


def reinforce(users: Users, states: UserStates, settings: Reinforcing, folder: Path, seed: int = 0) -> tuple[Actor, Progress]:
    """An actor learnt by REINFORCE from these users' visits; see `learning.learn` for the folder and the curves."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        actor = Actor(torch.from_numpy(states.items_ND.copy()), states.features, settings.hidden, settings.temperature)
        model = WithBaseline(actor, states.features, settings.hidden, settings.slate)

    def batches(epoch: int, rng: np.random.Generator) -> list[Logged]:
        return in_batches(serve_and_log(users, states, actor, settings, rng), settings.batch_size, rng, settings.passes)

    def loss(batch: Logged) -> Tensor:
        logit_EN = actor(batch.state_EF)
        log_chance_ES = logit_EN.log_softmax(1).gather(1, batch.item_ES)
        expected_ES = model.expected(batch.state_EF)
        better_ES = batch.return_ES - expected_ES.detach()
        total = off_policy_loss(
            log_chance_ES.flatten(),
            batch.log_logging_ES.flatten(),
            (better_ES / (better_ES.std() + 1e-6)).flatten(),
            settings.slate,
            settings.weight_cap,
        )
        total = total + settings.conservative * divergence(logit_EN, actor.prior(batch.state_EF))
        return total + functional.mse_loss(expected_ES, batch.return_ES) / 10

    progress = train(
        model, batches, loss, folder, settings, judge(users, decide(actor, states, settings.slate), settings, seed), seed, "reward"
    )
    return actor, progress


def serve_and_log(users: Users, states: UserStates, actor: Actor, settings: Rounds, rng: np.random.Generator) -> Logged:
    """One round of visitors under the policy as it stands."""
    episodes, state_EF = serve(users, states, actor, settings, rng)
    there_BH = torch.from_numpy(episodes.there_BH)
    reward_BHS = torch.from_numpy(episodes.clicked_BHS).float()
    return_BHS = targets(reward_BHS, torch.zeros(there_BH.shape), there_BH.float(), settings.discount, 1.0)
    item_ES = by_slate(there_BH, torch.from_numpy(episodes.item_BHS))
    with torch.no_grad():
        parts = a_few(len(state_EF), len(actor.items_ND))
        log_logging = [actor(state_EF[part]).log_softmax(1).gather(1, item_ES[part]) for part in parts]
    return Logged(state_EF, item_ES, torch.cat(log_logging), by_slate(there_BH, return_BHS))
