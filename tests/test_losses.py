import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from genre import losses
from genre.losses import draw_negatives, full_softmax, sampled_softmax


def tensors(t: int, n: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    made = torch.Generator().manual_seed(seed)
    hidden = torch.randn(t, d, generator=made, requires_grad=True)
    items = torch.randn(n, d, generator=made, requires_grad=True)
    return hidden, items, torch.randint(n, (t,), generator=made)


def gradients(loss: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, of)


def test_full_softmax_by_hand() -> None:
    hidden, items = torch.tensor([[1.0, 0.0]]), torch.tensor([[math.log(3.0), 5.0], [0.0, 7.0]])
    assert full_softmax(hidden, items, torch.tensor([0])).item() == pytest.approx(-math.log(3 / 4))
    assert full_softmax(hidden, items, torch.tensor([1])).item() == pytest.approx(-math.log(1 / 4))


@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_full_softmax_is_cross_entropy_with_the_same_gradients_whatever_the_chunk(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "CHUNK_ELEMENTS", chunk)
    hidden, items, target = tensors(700, 90, 8)
    plain = functional.cross_entropy(hidden @ items.T, target)
    ours = full_softmax(hidden, items, target)
    assert ours.item() == pytest.approx(plain.item(), abs=1e-5)
    for a, b in zip(gradients(3 * ours, hidden, items), gradients(3 * plain, hidden, items), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_full_softmax_survives_logits_that_overflow_exp() -> None:
    hidden = torch.tensor([[1000.0]], requires_grad=True)
    items = torch.tensor([[1.0], [-1.0], [0.5]], requires_grad=True)
    assert full_softmax(hidden, items, torch.tensor([0])).item() == 0.0
    loss = full_softmax(hidden, items, torch.tensor([1]))
    assert loss.item() == 2000.0
    assert all(torch.isfinite(g).all() for g in gradients(loss, hidden, items))


def test_under_autocast_the_loss_is_float32_and_the_gradient_points_the_same_way() -> None:
    hidden, items, target = tensors(600, 300, 32)
    exact = gradients(full_softmax(hidden, items, target), hidden, items)
    with torch.autocast("cpu", torch.bfloat16):
        loss = full_softmax(hidden.bfloat16(), items, target)
        low = full_softmax(hidden, items, target)
    assert loss.dtype == torch.float32
    assert low.item() == pytest.approx(functional.cross_entropy(hidden @ items.T, target).item(), rel=1e-2)
    for a, b in zip(gradients(low, hidden, items), exact, strict=True):
        assert a.dtype == torch.float32
        assert functional.cosine_similarity(a.flatten(), b.flatten(), dim=0) > 0.999


def test_full_softmax_refuses_targets_outside_the_catalogue() -> None:
    hidden, items, _ = tensors(2, 3, 4)
    with pytest.raises(ValueError, match="the catalogue has 3 items"):
        full_softmax(hidden, items, torch.tensor([0, 3]))


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"hidden \(2, 4\), items \(3, 5\)"):
        full_softmax(torch.zeros(2, 4), torch.zeros(3, 5), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"inclusion \(2,\)"):
        sampled_softmax(torch.zeros(2, 4), torch.zeros(2, 4), torch.zeros(3, 4), torch.zeros(2, dtype=torch.int64), torch.ones(2))


def test_sampled_softmax_by_hand() -> None:
    # logits: right item log 2; negatives log 1 (drawn with chance 1/2, so it counts twice) and the right item itself, left out.
    hidden, positive = torch.tensor([[1.0]]), torch.tensor([[math.log(2.0)]])
    negatives = torch.tensor([[0.0], [math.log(2.0)]])
    loss = sampled_softmax(hidden, positive, negatives, torch.tensor([1]), torch.tensor([0.5, 0.5]))
    assert loss.item() == pytest.approx(-math.log(2 / (2 + 2)))


def test_with_every_item_drawn_for_sure_sampled_softmax_is_the_full_one() -> None:
    hidden, items, target = tensors(50, 20, 4)
    sampled = sampled_softmax(hidden, items[target], items, target, torch.ones(20))
    full = full_softmax(hidden, items, target)
    assert sampled.item() == pytest.approx(full.item(), abs=1e-6)
    for a, b in zip(gradients(sampled, hidden, items), gradients(full, hidden, items), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("skewed", [False, True])
def test_the_corrected_sum_over_negatives_is_unbiased(skewed: bool) -> None:
    """The mean over many samples of sum exp(logit) / inclusion is the sum over the catalogue, but for the target."""
    hidden, items, _ = tensors(1, 40, 3, seed=1)
    chance = torch.arange(1, 41, dtype=torch.float64) if skewed else torch.ones(40, dtype=torch.float64)
    target = torch.tensor([7])
    torch.manual_seed(0)
    sums = []
    for _ in range(4000):
        item, hit, inclusion = draw_negatives(target, chance / chance.sum(), 15)
        loss = sampled_softmax(hidden, items[target], items[item], hit, inclusion)
        right = hidden[0] @ items[7]
        sums.append((torch.exp(loss + right) - torch.exp(right)).item())
    others = torch.exp(hidden @ items.T)[0].sum() - torch.exp(hidden[0] @ items[7])
    assert np.mean(sums) == pytest.approx(others.item(), rel=4 * float(np.std(sums) / np.mean(sums)) / 4000**0.5)


def test_draw_negatives_finds_the_accidental_hits_and_each_item_once() -> None:
    torch.manual_seed(0)
    target = torch.arange(30)
    item, hit, inclusion = draw_negatives(target, torch.full((30,), 1 / 30, dtype=torch.float64), 40)
    assert len(torch.unique(item)) == len(item) < 30
    for t in range(30):
        assert (hit[t] == -1) if t not in item else (item[hit[t]] == t)
    assert inclusion.numpy() == pytest.approx(1 - (29 / 30) ** 40)


def test_draw_negatives_never_draws_what_has_no_chance() -> None:
    torch.manual_seed(0)
    item, _, inclusion = draw_negatives(torch.tensor([0]), torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64), 10)
    assert item.tolist() == [1]
    assert inclusion.item() == pytest.approx(1.0)
