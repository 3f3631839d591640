"""Learning by trying: an actor-critic serves simulated visitors, and learns from what came of each slate in the long run."""

# B visitors, H slates of a visit, S places, F features of a state, E slates that were shown

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from genre.checkpoint import Progress
from genre.policies.actor_critic import ActorCritic, targets
from genre.simulation.rollout import Decide, play
from genre.simulation.states import UserStates
from genre.simulation.users import Users
from genre.training import Optimisation, train
from genre.types import Floats, Histories, Ints


class Rounds(Optimisation):
    """How a policy learns in a simulator; `epochs` are rounds of visitors, each learnt from in several steps."""

    epochs: PositiveInt = 60
    patience: PositiveInt = 1_000_000
    """Rounds are noisy: by default all of them are run, and the best weights are kept."""
    learning_rate: PositiveFloat = 3e-3
    warmup_steps: int = Field(0, ge=0)
    weight_decay: NonNegativeFloat = 0.0
    checkpoint_seconds: PositiveFloat = 1e9
    """Checkpoints stand between rounds only: within one, what was tried belongs to the weights it was tried with."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Chances and worths are compared to a few per cent, which bfloat16 cannot tell apart."""
    visitors: PositiveInt = 384
    """A round."""
    judged: PositiveInt = 200
    """Visitors, always the same, whom the best slates are shown to after each round."""
    slate: PositiveInt = 3
    horizon: PositiveInt = 20
    """Slates of a visit at most."""
    passes: PositiveInt = 4
    """Over each round's slates."""
    batch_size: PositiveInt = 512
    """Slates a step."""
    hidden: PositiveInt = 128
    """Width of the networks."""
    discount: Annotated[float, Field(gt=0, le=1)] = 0.97
    """What a click is worth relative to the same click a slate earlier."""


class Learning(Rounds):
    """How an actor-critic learns."""

    trace: Annotated[float, Field(ge=0, le=1)] = 0.5
    """How far what was earned after a slate is believed, rather than the critic."""
    conservative: NonNegativeFloat = 0.05
    """The price in clicks, place by place, of one nat of divergence from the ranker's own policy."""
    entropy: NonNegativeFloat = 0.05
    """The worth in clicks of one nat of entropy, so that something is tried."""


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
        return cut(try_out(users, states, model, settings, rng), settings, rng)

    def loss(batch: Tried) -> Tensor:
        return functional.mse_loss(model.worth_of(batch.state_EF, batch.item_ES), batch.target_ES)

    progress = train(
        model, batches, loss, folder, settings, judge(users, decide(model, states, settings.slate), settings, seed), seed, "reward"
    )
    return model, progress


def try_out(users: Users, states: UserStates, model: ActorCritic, settings: Learning, rng: np.random.Generator) -> Tried:
    """One round of visitors under the policy as it stands."""
    seen: list[npt.NDArray[np.float32]] = []
    expected: list[Tensor] = []

    def remember(histories: Histories, rng: np.random.Generator) -> tuple[Ints, Floats]:
        seen.append(states.of(histories))
        shown = model.show(torch.from_numpy(seen[-1]), settings.slate, True, seeded(rng))
        expected.append(shown.value_B)
        return shown.item_BS.numpy(), np.exp(shown.log_chance_BS.numpy().astype(np.float64))

    episodes = play(users, remember, settings.visitors, settings.horizon, rng)
    there_BH = torch.from_numpy(episodes.there_BH)
    value_BH = torch.zeros(there_BH.shape)
    for h, value_R in enumerate(expected):
        value_BH[there_BH[:, h], h] = value_R
    reward_BHS = torch.from_numpy(episodes.clicked_BHS).float()
    target_BHS = targets(reward_BHS, value_BH, there_BH.float(), settings.discount, settings.trace)
    # Slate after slate, as the states were seen.
    item_BHS = torch.from_numpy(episodes.item_BHS)
    by_slate = [(item_BHS[there_BH[:, h], h], target_BHS[there_BH[:, h], h]) for h in range(len(seen))]
    return Tried(torch.from_numpy(np.concatenate(seen)), *(torch.cat(part) for part in zip(*by_slate, strict=True)))


def cut(tried: Tried, settings: Rounds, rng: np.random.Generator) -> list[Tried]:
    """Everything in batches, once a pass, each time in another order."""
    size = settings.batch_size
    rows = [torch.from_numpy(rng.permutation(len(tried.item_ES))) for _ in range(settings.passes)]
    return [Tried(*(part[order[start : start + size]] for part in tried)) for order in rows for start in range(0, len(order), size)]


def decide(model: ActorCritic, states: UserStates, slate: int, explore: bool = False) -> Decide:
    """Serves by an actor: the best slate, or one drawn with exact chances."""

    def deciding(histories: Histories, rng: np.random.Generator) -> tuple[Ints, Floats]:
        shown = model.show(torch.from_numpy(states.of(histories)), slate, explore, seeded(rng))
        return shown.item_BS.numpy(), np.exp(shown.log_chance_BS.numpy().astype(np.float64))

    return deciding


def judge(users: Users, deciding: Decide, settings: Rounds, seed: int) -> Callable[[], float]:
    """The mean reward of a visit, of always the same visitors."""

    def judging() -> float:
        return float(play(users, deciding, settings.judged, settings.horizon, np.random.default_rng([seed, 1])).reward_B.mean())

    return judging


def seeded(rng: np.random.Generator) -> torch.Generator:
    """torch's randomness out of numpy's."""
    return torch.Generator().manual_seed(int(rng.integers(2**62)))
