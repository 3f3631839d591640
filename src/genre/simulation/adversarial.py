"""Users learnt from logs: a generator chooses as users do, a discriminator tells its choices from theirs (after Chen et al., 2019)."""

# E choices, S places of a slate, B visitors, C choices that there are (S places and nothing)

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genre.simulation.choices import Choices, Known
from genre.simulation.choosing import Chooser, Logit, discriminator_loss, generator_loss, log_chances
from genre.simulation.rounds import in_batches
from genre.simulation.users import PAD, Answer, Users, Visit, appended, checked
from genre.simulation.world_users import Patience
from genre.training import Optimisation, train
from genre.types import Floats, Histories, Ints

log = logging.getLogger(__name__)


class UserModelling(Optimisation):
    """How a user model is learnt; `epochs` and `patience` are those of the likelihood that everything begins with."""

    epochs: PositiveInt = 30
    patience: PositiveInt = 4
    learning_rate: PositiveFloat = 3e-3
    warmup_steps: int = Field(20, ge=0)
    weight_decay: NonNegativeFloat = 0.01
    batch_size: PositiveInt = 256
    """Choices a step."""
    hidden: PositiveInt = 32
    rounds: int = Field(10, ge=0)
    """Passes in which generator and discriminator learn in turns, after the likelihood; 0 leaves the adversary out."""
    adversarial_rate: PositiveFloat = 5e-4
    """Learning rate of those passes."""
    likelihood: NonNegativeFloat = 1.0
    """Weight of the choices really made beside the discriminator's reward."""


class ChoiceBatch(NamedTuple):
    """A few choices as tensors."""

    profile_EP: Tensor
    item_ESX: Tensor
    shown_ES: Tensor
    taken_E: Tensor


def fit_choices(model: nn.Module, known: Known, learnt: Choices, held: Choices, settings: UserModelling, folder: Path, seed: int) -> float:
    """Train by likelihood, with the epoch chosen on held choices; gives their mean log-likelihood."""
    everything, judged = batch_of(known, learnt), batch_of(known, held)

    def batches(epoch: int, rng: np.random.Generator) -> list[ChoiceBatch]:
        return in_batches(everything, settings.batch_size, rng)

    def loss(batch: ChoiceBatch) -> Tensor:
        return -_likelihood(model, batch)

    @torch.inference_mode()
    def validate() -> float:
        return float(_likelihood(model, judged))

    return train(model, batches, loss, folder, settings, validate, seed, "choices").best or 0.0


def play_out(generator: Chooser, known: Known, learnt: Choices, settings: UserModelling, seed: int) -> Chooser:
    """Let generator and discriminator learn in turns; gives the discriminator, whose logits say how real a choice looks."""
    everything = batch_of(known, learnt)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        discriminator = Chooser(everything.profile_EP.shape[1], everything.item_ESX.shape[2], settings.hidden)
    rng = np.random.default_rng([seed, 2])
    optimizers = [torch.optim.AdamW(each.parameters(), settings.adversarial_rate) for each in (discriminator, generator)]
    for _ in range(settings.rounds):
        for batch in in_batches(everything, settings.batch_size, rng):
            log_chance_EC = log_chances(generator(batch.profile_EP, batch.item_ESX), batch.shown_ES)
            reward_EC = discriminator(batch.profile_EP, batch.item_ESX)
            judging = discriminator_loss(reward_EC, batch.taken_E, log_chance_EC.exp())
            choosing = generator_loss(log_chance_EC, reward_EC, batch.taken_E, settings.likelihood)
            for optimizer, value in zip(optimizers, (judging, choosing), strict=True):
                optimizer.zero_grad()
                value.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    return discriminator


class LearntUsers(Users):
    """Visitors with histories from a log, who choose from a slate as the generator does: one item, or nothing."""

    def __init__(self, generator: Chooser | Logit, known: Known, histories: Histories, patience: Patience | None = None) -> None:
        self.generator, self.known, self.past, self.patience = generator.eval(), known, histories, patience or Patience()
        self.n_items = len(known.vector_ND)

    @classmethod
    def fit(cls, known: Known, learnt: Choices, held: Choices, settings: UserModelling, folder: Path, seed: int = 0) -> Self:
        """Learn from choices: likelihood first, then against the discriminator, unless that made held choices less likely.

        Raises:
            ValueError: there is nothing to learn from.
        """
        if not len(learnt) or not len(held):
            raise ValueError(f"a user model needs choices to learn from and others to be judged by, got {len(learnt)} and {len(held)}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sample = batch_of(known, learnt.take(np.arange(1)))
            generator = Chooser(sample.profile_EP.shape[1], sample.item_ESX.shape[2], settings.hidden)
        before = fit_choices(generator, known, learnt, held, settings, folder / "likelihood", seed)
        kept = {name: value.clone() for name, value in generator.state_dict().items()}
        if settings.rounds:
            play_out(generator, known, learnt, settings, seed)
            after = log_likelihood(generator, known, held)
            log.info("user model: log-likelihood of held choices %.4f, after the adversary %.4f", before, after)
            if after < before - 0.01:
                generator.load_state_dict(kept)
        return cls(generator, known, learnt.histories)

    def arrive(self, n: int, rng: np.random.Generator) -> LearntVisit:
        """See Users.arrive."""
        return LearntVisit(self, self.past.take(rng.integers(len(self.past), size=n)))

    @torch.inference_mode()
    def chances(self, histories: Histories, item_ES: Ints) -> Floats:
        """How likely each place, or nothing, is taken, shape (E, S + 1)."""
        batch = batch_of(self.known, Choices(histories, item_ES, np.full(len(item_ES), item_ES.shape[1])))
        return np.asarray(log_chances(self.generator(batch.profile_EP, batch.item_ESX), batch.shown_ES).exp().numpy(), np.float64)

    def save(self, folder: Path) -> None:
        """Write the generator's weights; the catalogue and the histories are the log's."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in self.generator.state_dict().items()}, folder / "user_model.safetensors")

    @classmethod
    def load(cls, folder: Path, known: Known, histories: Histories) -> Self:
        """Read what `save` wrote."""
        tensors = load_file(folder / "user_model.safetensors")
        profile, numbers = tensors["of_user.weight"].shape[1], tensors["of_item.weight"].shape[1]
        generator = Chooser(profile, numbers, tensors["of_user.weight"].shape[0])
        generator.load_state_dict(tensors)
        return cls(generator, known, histories)


class LearntVisit(Visit):
    """Visitors of a learnt population."""

    def __init__(self, users: LearntUsers, histories: Histories) -> None:
        self.users, self._histories = users, histories

    def histories(self) -> Histories:
        """See Visit.histories."""
        return self._histories

    def answer(self, item_idx_BS: Ints, rng: np.random.Generator) -> Answer:
        """See Visit.answer."""
        item_BS = checked(item_idx_BS, len(self._histories), self.users.n_items)
        shown_BS = item_BS != PAD
        # Gaps are closed, since a place is taken to be further down by what stands above it.
        order_BS = np.argsort(~shown_BS, axis=1, kind="stable")
        chance_BC = self.users.chances(self._histories, np.take_along_axis(item_BS, order_BS, axis=1))
        taken_B = (np.cumsum(chance_BC, axis=1) < rng.random((len(chance_BC), 1))).sum(axis=1)
        took = np.flatnonzero(taken_B < item_BS.shape[1])
        clicked_BS = np.zeros(item_BS.shape, bool)
        clicked_BS[took, order_BS[took, taken_B[took]]] = True
        clicked_BS &= shown_BS
        self._histories = appended(self._histories, item_BS, clicked_BS)
        patience = self.users.patience
        leave_B = np.where(clicked_BS.any(axis=1), patience.after_click, patience.after_nothing)
        return Answer(clicked_BS, rng.random(len(leave_B)) < leave_B)

    def take(self, rows: Ints) -> LearntVisit:
        """See Visit.take."""
        return LearntVisit(self.users, self._histories.take(rows))


@torch.inference_mode()
def log_likelihood(model: nn.Module, known: Known, choices: Choices) -> float:
    """Mean log-likelihood of choices, in nats; -log(S + 1) is chance."""
    return float(_likelihood(model, batch_of(known, choices)))


def batch_of(known: Known, choices: Choices) -> ChoiceBatch:
    """Choices as tensors."""
    profile_EP = known.profiles(choices.histories)
    item_ESX = known.items(profile_EP, np.maximum(choices.item_ES, 0))
    shown_ES = torch.from_numpy(choices.item_ES != PAD)
    return ChoiceBatch(
        torch.from_numpy(profile_EP), torch.from_numpy(item_ESX), shown_ES, torch.from_numpy(choices.taken_E.astype(np.int64))
    )


def _likelihood(model: nn.Module, batch: ChoiceBatch) -> Tensor:
    log_chance_EC = log_chances(model(batch.profile_EP, batch.item_ESX), batch.shown_ES)
    return log_chance_EC.gather(1, batch.taken_E[:, None]).mean()
