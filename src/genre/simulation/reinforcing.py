"""REINFORCE with the top-K correction: a policy learns from the slates that another one, or an earlier self, has shown."""

# B visitors, H slates of a visit, S places, F features of a state, E slates that were shown

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional

from genre.checkpoint import Progress
from genre.policies.actor import Actor
from genre.policies.actor_critic import targets
from genre.policies.reinforce import divergence, off_policy_loss
from genre.simulation.learning import Rounds, judge, seeded
from genre.simulation.rollout import Decide, play
from genre.simulation.states import UserStates
from genre.simulation.users import Users
from genre.training import train
from genre.types import Floats, Histories, Ints


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
        logged = serve_and_log(users, states, actor, settings, rng)
        rows = [torch.from_numpy(rng.permutation(len(logged.item_ES))) for _ in range(settings.passes)]
        size = settings.batch_size
        return [Logged(*(part[order[start : start + size]] for part in logged)) for order in rows for start in range(0, len(order), size)]

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
        model, batches, loss, folder, settings, judge(users, act(actor, states, settings.slate), settings, seed), seed, "reward"
    )
    return actor, progress


def serve_and_log(users: Users, states: UserStates, actor: Actor, settings: Rounds, rng: np.random.Generator) -> Logged:
    """One round of visitors under the policy as it stands."""
    seen: list[npt.NDArray[np.float32]] = []

    def remember(histories: Histories, rng: np.random.Generator) -> tuple[Ints, Floats]:
        seen.append(states.of(histories))
        item_BS, log_chance_BS = actor.show(torch.from_numpy(seen[-1]), settings.slate, True, seeded(rng))
        return item_BS.numpy(), np.exp(log_chance_BS.numpy().astype(np.float64))

    episodes = play(users, remember, settings.visitors, settings.horizon, rng)
    there_BH = torch.from_numpy(episodes.there_BH)
    reward_BHS = torch.from_numpy(episodes.clicked_BHS).float()
    return_BHS = targets(reward_BHS, torch.zeros(there_BH.shape), there_BH.float(), settings.discount, 1.0)
    # Slate after slate, as the states were seen.
    item_BHS = torch.from_numpy(episodes.item_BHS)
    by_slate = [(item_BHS[there_BH[:, h], h], return_BHS[there_BH[:, h], h]) for h in range(len(seen))]
    item_ES, return_ES = (torch.cat(part) for part in zip(*by_slate, strict=True))
    state_EF = torch.from_numpy(np.concatenate(seen))
    with torch.no_grad():
        log_logging_ES = actor(state_EF).log_softmax(1).gather(1, item_ES)
    return Logged(state_EF, item_ES, log_logging_ES, return_ES)


def act(actor: Actor, states: UserStates, slate: int, explore: bool = False) -> Decide:
    """Serves by an actor: the best slate, or one drawn with exact chances."""

    def deciding(histories: Histories, rng: np.random.Generator) -> tuple[Ints, Floats]:
        item_BS, log_chance_BS = actor.show(torch.from_numpy(states.of(histories)), slate, explore, seeded(rng))
        return item_BS.numpy(), np.exp(log_chance_BS.numpy().astype(np.float64))

    return deciding
