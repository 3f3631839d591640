"""Rounds: a policy serves simulated visitors, and learns from what was shown, in batches; whichever way it learns."""

# B visitors, H slates of a visit, S places, F features of a state, E slates that were shown

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from genre.policies.actor import Actor
from genre.policies.actor_critic import ActorCritic
from genre.simulation.rollout import Decide, Episodes, play
from genre.simulation.states import UserStates
from genre.simulation.users import Users
from genre.training import Optimisation
from genre.types import Floats, Histories, Ints

T = TypeVar("T", bound=NamedTuple)
AT_ONCE = 2**23
"""States times items that are held at once, in each of a few matrices of 32 MB: large catalogues are scored a few states at a time."""


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


class Round(NamedTuple):
    """What visitors did, and the states they were seen in, slate after slate."""

    episodes: Episodes
    state_EF: Tensor


def serve(users: Users, states: UserStates, policy: Actor | ActorCritic, settings: Rounds, rng: np.random.Generator) -> Round:
    """One round of visitors under the policy as it stands, which tries things."""
    seen: list[Tensor] = []

    def remember(histories: Histories, rng: np.random.Generator) -> tuple[Ints, Floats]:
        seen.append(torch.from_numpy(states.of(histories)))
        return _slates(policy, seen[-1], settings.slate, True, rng)

    episodes = play(users, remember, settings.visitors, settings.horizon, rng)
    return Round(episodes, torch.cat(seen))


def a_few(n_states: int, n_items: int) -> list[slice]:
    """Parts of all states, so small that numbers about every item fit into memory."""
    rows = max(1, AT_ONCE // n_items)
    return [slice(start, start + rows) for start in range(0, max(n_states, 1), rows)]


def by_slate(there_BH: Tensor, part_BHS: Tensor) -> Tensor:
    """What was shown, or came of it, slate after slate, as the states were seen: shape (E, S)."""
    return torch.cat([part_BHS[there_BH[:, h], h] for h in range(there_BH.shape[1])])


def in_batches(parts: T, size: int, rng: np.random.Generator, passes: int = 1, rows: int | None = None) -> list[T]:
    """Tensors of equal length in batches, once a pass, each time in another order; `rows` of them, if that is given, drawn each time."""
    orders = [torch.from_numpy(rng.permutation(len(parts[0]))[:rows]) for _ in range(passes)]
    return [parts._make(part[order[start : start + size]] for part in parts) for order in orders for start in range(0, len(order), size)]


def decide(policy: Actor | ActorCritic, states: UserStates, slate: int, explore: bool = False) -> Decide:
    """Serves by an actor: the best slate, or one drawn with exact chances.

    What it gives raises ValueError where the slate is longer than the catalogue or the ranker's reading of somebody is not finite.
    """

    def deciding(histories: Histories, rng: np.random.Generator) -> tuple[Ints, Floats]:
        return _slates(policy, torch.from_numpy(states.of(histories)), slate, explore, rng)

    return deciding


def judge(users: Users, deciding: Decide, settings: Rounds, seed: int) -> Callable[[], float]:
    """The mean reward of a visit, of always the same visitors."""

    def judging() -> float:
        return float(play(users, deciding, settings.judged, settings.horizon, np.random.default_rng([seed, 1])).reward_B.mean())

    return judging


def seeded(rng: np.random.Generator) -> torch.Generator:
    """torch's randomness out of numpy's."""
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


def _slates(policy: Actor | ActorCritic, state_BF: Tensor, n: int, explore: bool, rng: np.random.Generator) -> tuple[Ints, Floats]:
    if n > len(policy.items_ND):
        raise ValueError(f"a slate of {n}, but the catalogue has {len(policy.items_ND)} items")
    generator = seeded(rng)
    shown = [policy.show(state_BF[part], n, explore, generator) for part in a_few(len(state_BF), len(policy.items_ND))]
    item_BS, log_chance_BS = (torch.cat(parts).numpy() for parts in zip(*shown, strict=True))
    return item_BS, np.exp(log_chance_BS.astype(np.float64))
