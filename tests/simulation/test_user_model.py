"""The learnt user model: choices by hand, likelihood against the baseline, the two-sample test, and an environment over it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from genre.simulation.adversarial import LearntUsers, UserModelling, fit_choices, log_likelihood, play_out
from genre.simulation.choices import Choices, Known
from genre.simulation.choosing import Chooser, Logit, discriminator_loss, generator_loss, log_chances
from genre.simulation.environment import RecommenderEnv
from genre.simulation.realism import two_sample
from genre.types import Histories, Impressions
from genre.vectors import unit

SETTINGS = UserModelling(epochs=12, batch_size=128, hidden=16, rounds=2)
N_ITEMS, PLACES = 24, 4


def known() -> Known:
    """Six topics of four items each."""
    rng = np.random.default_rng(0)
    topic = np.repeat(np.eye(6), 4, axis=0)
    return Known(unit(topic + 0.1 * rng.normal(size=topic.shape)), np.tile([1.5, 0.5, -0.5, -1.5], 6))


def choices(n: int, seed: int) -> Choices:
    """Users take what is like the older half of their history and unlike the newer half: a product that no linear utility has."""
    rng = np.random.default_rng(seed)
    old, new = rng.integers(6, size=n), rng.integers(6, size=n)
    histories = Histories.of([[4 * a + rng.integers(4)] * 4 + [4 * b + rng.integers(4)] for a, b in zip(old, new, strict=True)])
    item_ES = np.stack([rng.permutation(N_ITEMS)[:PLACES] for _ in range(n)])
    topic_ES = item_ES // 4
    liked = (topic_ES == old[:, None]) & (old != new)[:, None]
    utility = np.concatenate([4.0 * liked + 0.3 * known().popular_N[item_ES] - 0.3 * np.arange(PLACES), np.full((n, 1), 1.0)], axis=1)
    taken = (utility + rng.gumbel(size=utility.shape)).argmax(axis=1)
    return Choices(histories, item_ES, taken)


def test_the_first_click_of_a_list_is_the_choice() -> None:
    shown = Impressions(
        Histories.of([[1], [2], [3]]), np.array([5, 6, 7, 8, 9, 4]), np.array([0, 3, 5, 6]),
        {"click": np.array([0, 1, 1, 0, 0, 1], np.float32)}, np.array([2, 1, 0, 0, 1, -1]),
    )  # fmt: skip
    found = Choices.of(shown, 2)
    assert found.item_ES.tolist() == [[7, 6], [8, 9], [4, -1]], "by place, and no further than asked"
    assert found.taken_E.tolist() == [0, 2, 0], "2 is nothing"
    with pytest.raises(ValueError, match="nothing stood"):
        Choices(found.histories, found.item_ES, np.array([0, 0, 1]))


def test_chances_leave_out_what_is_not_there() -> None:
    chance = log_chances(torch.tensor([[np.log(3.0), 5.0, 0.0]]), torch.tensor([[True, False]])).exp()
    assert chance[0].tolist() == pytest.approx([0.75, 0.0, 0.25])


def test_the_adversaries_losses_by_hand() -> None:
    log_chance = torch.tensor([[0.75, 0.25]]).log()
    reward = torch.tensor([[2.0, -2.0]])
    assert generator_loss(log_chance, reward, torch.tensor([0]), 0.5).item() == pytest.approx(-(1.5 - 0.5) - 0.5 * np.log(0.75))
    soft = float(np.log1p(np.exp(2.0)))
    assert discriminator_loss(reward, torch.tensor([0]), log_chance.exp()).item() == pytest.approx(
        soft - 2 + 0.75 * soft + 0.25 * (soft - 2)
    )


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> LearntUsers:
    return LearntUsers.fit(known(), choices(3000, 0), choices(800, 1), SETTINGS, tmp_path_factory.mktemp("users"))


def test_it_predicts_choices_better_than_a_multinomial_logit(users: LearntUsers, tmp_path: Path) -> None:
    held = choices(1500, 2)
    baseline = Logit()
    fit_choices(baseline, known(), choices(3000, 0), choices(800, 1), SETTINGS, tmp_path, 0)
    chance, logit, learnt = -np.log(PLACES + 1), log_likelihood(baseline, known(), held), log_likelihood(users.generator, known(), held)
    assert chance < logit < learnt - 0.02


def test_a_classifier_tells_random_choices_from_real_ones_and_the_generators_hardly(users: LearntUsers) -> None:
    real = choices(1200, 3)
    rng = np.random.default_rng(0)
    chance = users.chances(real.histories, real.item_ES)
    drawn = Choices(real.histories, real.item_ES, (chance.cumsum(1) < rng.random((len(real), 1))).sum(1))
    random = Choices(real.histories, real.item_ES, rng.integers(PLACES + 1, size=len(real)))
    ours, bad = two_sample(known(), real, drawn), two_sample(known(), real, random)
    assert bad.told_apart
    assert bad.accuracy > 0.6
    assert ours.accuracy < 0.56
    with pytest.raises(ValueError, match="as many of both"):
        two_sample(known(), real, random.take(np.arange(5)))


def test_a_discriminator_finds_what_a_bad_generator_does_wrong() -> None:
    """Before it has learnt anything a generator takes at random; the discriminator rewards what real users take."""
    learnt = choices(1500, 0)
    torch.manual_seed(0)
    generator = Chooser(6 * 3 + 1, 5 + 6, 8)
    before = log_likelihood(generator, known(), learnt)
    play_out(generator, known(), learnt, SETTINGS.model_copy(update={"rounds": 20, "adversarial_rate": 3e-3, "likelihood": 0.0}), 0)
    assert log_likelihood(generator, known(), learnt) > before + 0.1, "by the discriminator's reward alone"


def test_visitors_take_one_item_or_nothing_and_the_model_is_saved(users: LearntUsers, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    visit = users.arrive(500, rng)
    before = visit.histories()
    slates = np.tile([0, 5, -1, 9], (500, 1))
    answer = visit.answer(slates, rng)
    assert (answer.clicked_BS.sum(axis=1) <= 1).all()
    assert not answer.clicked_BS[:, 2].any(), "an empty place is not taken"
    assert (visit.histories().lengths - before.lengths == answer.clicked_BS.sum(axis=1)).all()
    closed = users.chances(before, np.array([[0, 5, 9, -1]] * 500))
    assert answer.clicked_BS[:, 3].mean() == pytest.approx(closed[:, 2].mean(), abs=0.07)
    users.save(tmp_path)
    again = LearntUsers.load(tmp_path, users.known, users.past)
    assert np.array_equal(again.chances(before, slates), users.chances(before, slates))


def test_gymnasium_finds_nothing_wrong(users: LearntUsers) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*alternative render modes.*", UserWarning)
        check_env(RecommenderEnv(users, 3, 10, 5))
