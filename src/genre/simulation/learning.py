"""Learning by trying: an actor-critic serves simulated visitors, and learns from what came of each slate in the long run."""

# B visitors, H slates of a visit, S places, D embedding, F features of a state, E slates that were shown

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from genre.checkpoint import Progress
from genre.policies.actor_critic import UNIT, Actor, Critic, advantages, clipped_loss
from genre.policies.reinforce import divergence, log_chances
from genre.rankers.neighbours import recency_BN
from genre.rankers.sequential import SequentialRanker
from genre.simulation.rollout import Decide, play
from genre.simulation.users import Users
from genre.training import Optimisation, train
from genre.types import Floats, Histories, Ints


class Learning(Optimisation):
    """How an actor-critic learns in a simulator; `epochs` are rounds of visitors, each learnt from in several steps."""

    epochs: PositiveInt = 60
    patience: PositiveInt = 1_000_000
    """Rounds are noisy: by default all of them are run, and the best weights are kept."""
    learning_rate: PositiveFloat = 2e-3
    warmup_steps: int = Field(0, ge=0)
    weight_decay: NonNegativeFloat = 0.0
    gradient_clip: NonNegativeFloat = 0.5
    checkpoint_seconds: PositiveFloat = 1e9
    """Checkpoints stand between rounds only: within one, what was tried belongs to the weights it was tried with."""
    visitors: PositiveInt = 256
    """A round."""
    judged: PositiveInt = 200
    """Visitors, always the same, whom the best slates are shown to after each round."""
    slate: PositiveInt = 3
    horizon: PositiveInt = 20
    """Slates of a visit at most."""
    passes: PositiveInt = 2
    """Over each round's slates."""
    batch_size: PositiveInt = 1024
    """Slates a step."""
    hidden: PositiveInt = 64
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Chances of slates are compared to a few per cent, which bfloat16 cannot tell apart."""
    temperature: PositiveFloat = 0.3
    """What the ranker's scores are divided by: the logging policy is Plackett-Luce at this temperature."""
    discount: Annotated[float, Field(gt=0, le=1)] = 0.97
    """What a click is worth relative to the same click a slate earlier."""
    trace: Annotated[float, Field(ge=0, le=1)] = 0.9
    """How far what was earned is believed, rather than the critic."""
    clip: PositiveFloat = 0.2
    """How far one round may go from the policy that was tried in it."""
    conservative: NonNegativeFloat = 0.0
    """Weight of the divergence from the ranker's own policy."""
    entropy: NonNegativeFloat = 0.03
    """Weight of the entropy of the first place, so that trying does not end too early."""


class UserStates:
    """The ranker's reading of a history, with what was chosen lately and in all, as vectors of the same space."""

    def __init__(self, ranker: SequentialRanker) -> None:
        self.ranker, self.items_ND = ranker, ranker.item_vectors()
        # Rankers differ in the length of their vectors; a network wants numbers near 1.
        spread = float(np.sqrt((self.items_ND**2).mean())) or 1.0
        self.scale = 1.0 / spread

    @property
    def features(self) -> int:
        """F, the length of a state."""
        return 5 * int(self.items_ND.shape[1])

    def of(self, histories: Histories) -> npt.NDArray[np.float32]:
        """States, shape (B, F); the user's vector comes first."""
        recent = histories.newest(50)
        n_items = len(self.items_ND)
        fading = [recency_BN(recent, n_items, decay) @ self.items_ND * (1 - decay) for decay in (0.3, 0.6)]
        mean_BD = recency_BN(recent, n_items, 1.0) @ self.items_ND / np.maximum(recent.lengths, 1)[:, None]
        user_BD = self.ranker.user_vectors(histories)
        spread_B1 = np.sqrt((user_BD**2).mean(axis=1, keepdims=True)) + 1e-9
        read = [user_BD / spread_B1, *(self.scale * each_BD for each_BD in (*fading, 3 * mean_BD))]
        return np.concatenate([user_BD, *read], axis=1).astype(np.float32)


class ActorCritic(nn.Module):
    """Both networks, as one to train."""

    def __init__(self, actor: Actor, critic: Critic) -> None:
        super().__init__()
        self.actor, self.critic = actor, critic


class Tried(NamedTuple):
    """Slates that were shown, and how they turned out."""

    state_EF: Tensor
    item_ES: Tensor
    log_chance_ES: Tensor
    advantage_ES: Tensor
    return_ES: Tensor


def learn(users: Users, states: UserStates, settings: Learning, folder: Path, seed: int = 0) -> tuple[Actor, Progress]:
    """An actor that earns long-term reward from these users; `folder` gets checkpoints and TensorBoard's curves, and is resumed from.

    `validation` in the curves is the mean reward of a visit when the best slates are shown.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        items_ND = torch.from_numpy(states.items_ND.copy())
        model = ActorCritic(
            Actor(items_ND, states.features, settings.hidden, settings.temperature),
            Critic(states.features, settings.hidden, settings.slate),
        )

    def batches(epoch: int, rng: np.random.Generator) -> list[Tried]:
        tried = try_out(users, states, model, settings, rng)
        rows = [rng.permutation(len(tried.return_ES)) for _ in range(settings.passes)]
        size = settings.batch_size
        return [Tried(*(part[torch.from_numpy(order[start : start + size])] for part in tried))
                for order in rows for start in range(0, len(order), size)]  # fmt: skip

    def loss(batch: Tried) -> Tensor:
        logit_EN = model.actor(batch.state_EF)
        total = clipped_loss(log_chances(logit_EN, batch.item_ES), batch.log_chance_ES, batch.advantage_ES, settings.clip)
        total = total + 0.5 * functional.mse_loss(model.critic(batch.state_EF), batch.return_ES / UNIT)
        if settings.conservative:
            total = total + settings.conservative * divergence(logit_EN, model.actor.prior(batch.state_EF))
        if settings.entropy:
            log_EN = logit_EN.log_softmax(1)
            total = total + settings.entropy * (log_EN.exp() * log_EN).sum(1).mean()
        return total

    def validate() -> float:
        rng = np.random.default_rng([seed, 1])
        return float(play(users, decide(model.actor, states, settings.slate), settings.judged, settings.horizon, rng).reward_B.mean())

    progress = train(model, batches, loss, folder, settings, validate, seed, "reward")
    return model.actor, progress


def try_out(users: Users, states: UserStates, model: ActorCritic, settings: Learning, rng: np.random.Generator) -> Tried:
    """One round of visitors under the policy as it stands."""
    seen: list[npt.NDArray[np.float32]] = []

    def remember(histories: Histories, rng: np.random.Generator) -> tuple[Ints, Floats]:
        seen.append(states.of(histories))
        return _shown(model.actor, seen[-1], settings.slate, True, rng)

    episodes = play(users, remember, settings.visitors, settings.horizon, rng)
    there_BH = torch.from_numpy(episodes.there_BH)
    state_BHF = torch.zeros(*there_BH.shape, states.features)
    for h, state_RF in enumerate(seen):
        state_BHF[there_BH[:, h], h] = torch.from_numpy(state_RF)
    with torch.no_grad():
        value_BHS = UNIT * model.critic(state_BHF.reshape(-1, states.features)).reshape(*there_BH.shape, settings.slate)
    reward_BHS = torch.from_numpy(episodes.clicked_BHS).float()
    advantage_BHS = advantages(reward_BHS, value_BHS, there_BH.float(), settings.discount, settings.trace)
    advantage_ES = advantage_BHS[there_BH]
    return Tried(
        state_BHF[there_BH],
        torch.from_numpy(episodes.item_BHS)[there_BH],
        torch.from_numpy(np.log(episodes.propensity_BHS)).float()[there_BH],
        (advantage_ES - advantage_ES.mean(0)) / (advantage_ES.std() + 1e-6),
        (advantage_BHS + value_BHS)[there_BH],
    )


def decide(actor: Actor, states: UserStates, slate: int, explore: bool = False) -> Decide:
    """Serves by an actor: the best slate, or one drawn with exact chances."""

    def deciding(histories: Histories, rng: np.random.Generator) -> tuple[Ints, Floats]:
        return _shown(actor, states.of(histories), slate, explore, rng)

    return deciding


def _shown(actor: Actor, state_BF: npt.NDArray[np.float32], slate: int, explore: bool, rng: np.random.Generator) -> tuple[Ints, Floats]:
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    item_BS, log_chance_BS = actor.show(torch.from_numpy(state_BF), slate, explore, generator)
    return item_BS.numpy(), np.exp(log_chance_BS.numpy().astype(np.float64))
