"""Adversarial negatives: losses by hand, and a generator that finds what the ranker takes for right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from genre.rankers.adversary import Adversary, adversarial_losses
from genre.rankers.sequential import SequentialRanker
from genre.types import Histories, Training


def test_losses_by_hand() -> None:
    hidden = torch.tensor([[1.0, 0.0]])
    positive, negative = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 5.0], [3.0, 0.0], [9.0, 0.0]])
    logit = torch.tensor([[0.25, 0.75, 1.0]]).log()
    ranking, generating = adversarial_losses(logit, hidden, positive, negative, torch.tensor([2]), 2)
    assert ranking.item() == pytest.approx(np.log(np.exp(2) + np.exp(0) + np.exp(3)) - 2), "all but the right item are picked"
    reward = np.array([np.log(2), np.log1p(np.exp(3)), 0.0])
    assert generating.item() == pytest.approx(-(np.array([0.25, 0.75, 0.0]) @ (reward - reward.mean())), abs=1e-5)
    with pytest.raises(ValueError, match="do not fit"):
        adversarial_losses(logit, hidden, positive, negative[:2], torch.tensor([2]), 2)


def test_each_learns_from_its_own_loss_only() -> None:
    torch.manual_seed(0)
    adversary, hidden, items = Adversary(20, 4), torch.randn(5, 4, requires_grad=True), torch.randn(20, 4, requires_grad=True)
    logit = adversary(hidden, torch.arange(20))
    ranking, generating = adversarial_losses(logit, hidden, items[:5], items, torch.full((5,), -1), 3)
    ours, theirs = list(adversary.parameters()), [hidden, items]
    assert all(grad is None for grad in torch.autograd.grad(ranking, ours, retain_graph=True, allow_unused=True))
    assert all(grad is None for grad in torch.autograd.grad(generating, theirs, retain_graph=True, allow_unused=True))


def test_the_generator_finds_what_scores_high() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, items = torch.randn(64, 8, generator=generator), 2 * torch.randn(40, 8, generator=generator)
    torch.manual_seed(0)
    adversary = Adversary(40, 8)
    optimizer = torch.optim.Adam(adversary.parameters(), 0.02)
    for _ in range(150):
        _, generating = adversarial_losses(
            adversary(hidden, torch.arange(40)), hidden, items[:1].expand(64, 8), items, torch.full((64,), -1), 1
        )
        optimizer.zero_grad()
        generating.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    chosen = adversary(hidden, torch.arange(40)).argmax(1)
    rank = (hidden @ items.T).argsort(1, descending=True).argsort(1)[torch.arange(64), chosen]
    assert rank.float().mean() < 4, "of 40, where chance is 19.5"


def test_a_ranker_learns_with_it_and_the_full_loss_has_no_use_for_it(tmp_path: Path) -> None:
    circle = [[(start + step) % 12 for step in range(8)] for start in range(12)] * 6
    training = Training(Histories.of(circle, [list(map(float, range(8)))] * len(circle)), 12)
    config = SequentialRanker.Config(
        embedding_dim=16, epochs=12, max_history=8, batch_size=128, learning_rate=0.02, dropout=0.0, input_dropout=0.0, item_mask=0.0,
        warmup_steps=5, negatives=24, adversarial=0.5, adversarial_picks=2,
    )  # fmt: skip
    ranker = SequentialRanker(config)
    ranker.fit(training, tmp_path)
    asked = Histories.of([[(start + step) % 12 for step in range(3)] for start in range(12)])
    assert (ranker.score(asked).argmax(1) == (np.arange(12) + 3) % 12).mean() > 0.9
    assert not any("adversary" in name for name in ranker.state()), "it is not served"
    with pytest.raises(ValueError, match="sampled or auto"):
        SequentialRanker.Config(adversarial=0.5, loss="full")
