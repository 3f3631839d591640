"""REINFORCE, the top-K correction and the actor-critic's pieces, against numbers one can do by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genre.policies.actor import Actor
from genre.policies.actor_critic import ActorCritic, targets
from genre.policies.reinforce import divergence, draw, log_chances, off_policy_loss, top_k_factor


def test_chances_of_a_slate_are_plackett_luces() -> None:
    logit = torch.tensor([[6.0, 3.0, 1.0]]).log()
    slate = torch.tensor([[1, 0, 2]])
    assert log_chances(logit, slate).exp().tolist()[0] == pytest.approx([3 / 10, 6 / 7, 1.0])
    with pytest.raises(ValueError, match="do not fit"):
        log_chances(logit, torch.tensor([[1], [0]]))


def test_slates_are_drawn_as_often_as_their_chance_says() -> None:
    logit = torch.tensor([6.0, 3.0, 1.0]).log().repeat(20_000, 1)
    drawn = draw(logit, 2, torch.Generator().manual_seed(0))
    share = ((drawn[:, 0] == 1) & (drawn[:, 1] == 0)).float().mean().item()
    assert share == pytest.approx(0.3 * 6 / 7, abs=0.01)
    assert (drawn[:, 0] != drawn[:, 1]).all()


def test_the_top_k_factor_stops_pushing_what_is_on_the_slate_anyway() -> None:
    assert top_k_factor(torch.tensor([1e-9, 0.5, 1.0]).log(), 3).tolist() == pytest.approx([3.0, 0.75, 0.0])
    assert top_k_factor(torch.tensor([0.5]).log(), 1).tolist() == [1.0], "for one place nothing is corrected"


def test_off_policy_reinforce_has_the_gradient_of_the_value() -> None:
    """For one place without a cap the mean over the log's draws of the gradient is that of the new policy's value."""
    logging = torch.tensor([0.5, 0.3, 0.2])
    reward = torch.tensor([1.0, 0.0, 2.0])
    theta = torch.tensor([0.2, -0.1, 0.3], requires_grad=True)
    losses = [off_policy_loss(theta.log_softmax(0)[i : i + 1], logging.log()[i : i + 1], reward[i : i + 1], 1, 1e9) for i in range(3)]
    found = torch.autograd.grad(sum(p * each for p, each in zip(logging.tolist(), losses, strict=True)), theta, retain_graph=True)[0]
    (wanted,) = torch.autograd.grad(-(theta.softmax(0) * reward).sum(), theta)
    assert found.tolist() == pytest.approx(wanted.tolist(), abs=1e-6)


def test_importance_weights_are_capped() -> None:
    log_chance = torch.tensor([0.9]).log().requires_grad_()
    loss = off_policy_loss(log_chance, torch.tensor([0.01]).log(), torch.ones(1), 1, 2.0)
    assert torch.autograd.grad(loss, log_chance)[0].item() == pytest.approx(-2.0)


def test_divergence_is_zero_at_the_prior_and_right_by_hand() -> None:
    prior = torch.tensor([[0.5, 0.5]]).log()
    assert divergence(prior + 3.0, prior).item() == pytest.approx(0.0, abs=1e-6)
    assert divergence(torch.tensor([[0.9, 0.1]]).log(), prior).item() == pytest.approx(0.9 * np.log(1.8) + 0.1 * np.log(0.2))


def test_targets_between_believing_the_critic_and_believing_the_rewards() -> None:
    reward, value = torch.tensor([[[1.0, 0.0], [0.0, 4.0], [9.0, 9.0]]]), torch.tensor([[5.0, 3.0, 7.0]])
    there = torch.tensor([[1.0, 1.0, 0.0]])
    believing = targets(reward, value, there, 0.5, 0.0)
    assert believing.tolist() == [[[1 + 1.5, 0 + 1.5], [4, 4], [0, 0]]], "who has left earns nothing, and what stands above is no merit"
    earned = targets(reward, value, there, 0.5, 1.0)
    assert earned.tolist() == [[[1 + 2, 0 + 2], [4, 4], [0, 0]]]
    assert targets(reward, value, there, 0.5, 0.5)[0, 0, 0].item() == pytest.approx(1 + 0.5 * (1.5 + 2))
    with pytest.raises(ValueError, match="do not fit"):
        targets(reward, value[:, :2], there, 0.5, 0.0)


def critic(conservative: float = 0.5, entropy: float = 0.5) -> tuple[ActorCritic, torch.Tensor]:
    """One over six items, and three states."""
    items = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ActorCritic(items, 10, 8, 3, conservative, entropy), torch.randn(3, 10, generator=torch.Generator().manual_seed(1))


def test_an_actor_critic_begins_as_the_ranker_and_then_shows_what_is_worth_more() -> None:
    model, state = critic()
    best = model.show(state, 3, explore=False)
    assert torch.equal(best.item_BS, model.prior(state).topk(3, 1).indices)
    assert best.log_chance_BS.tolist() == [[0.0] * 3] * 3
    with torch.no_grad():
        model.bias_SN[1, 4] = 50.0
    again = model.show(state, 3, explore=False).item_BS
    assert torch.equal(again[:, 0], best.item_BS[:, 0])
    assert (again[best.item_BS[:, 0] != 4, 1] == 4).all(), "the second place has a worth of its own"
    with pytest.raises(ValueError, match="knows 3 places"):
        model.show(state, 4, explore=False)
    with pytest.raises(ValueError, match="nothing is ever tried"):
        critic(0.0, 0.0)


def test_its_actor_maximises_worth_less_divergence_plus_entropy() -> None:
    """Against gradient ascent on what it is said to maximise."""
    model, state = critic(0.3, 0.2)
    worth, prior = torch.tensor([[1.0, 0.2, -0.5, 0.0, 0.3, 0.1]]), model.prior(state[:1])
    free = torch.zeros(1, 6, requires_grad=True)
    ascent = torch.optim.Adam([free], 0.05)
    for _ in range(600):
        log = free.log_softmax(1)
        loss = -(log.exp() * (worth - 0.3 * (log - prior) - 0.2 * log)).sum()
        ascent.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        ascent.step()
    assert torch.allclose(free.softmax(1), model.logits(worth, prior).softmax(1), atol=2e-3)


def test_its_slates_are_distinct_and_drawn_as_often_as_it_says() -> None:
    model, state = critic()
    many = state[:1].repeat(20_000, 1)
    shown = model.show(many, 2, True, torch.Generator().manual_seed(0))
    assert (shown.item_BS[:, 0] != shown.item_BS[:, 1]).all()
    code = shown.item_BS[:, 0] * 6 + shown.item_BS[:, 1]
    seen, first, count = np.unique(code.numpy(), return_index=True, return_counts=True)
    assert len(seen) > 10
    assert count / len(many) == pytest.approx(shown.log_chance_BS.sum(1).exp().numpy()[first], abs=0.012)


def test_the_worth_of_what_was_shown_is_that_of_its_place() -> None:
    model, state = critic()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(2))
    slate = torch.tensor([[0, 3, 5], [1, 2, 0], [5, 4, 1]])
    found = model.worth_of(state, slate)
    for place in range(3):
        assert torch.allclose(found[:, place], model.worth(state, slate, place).gather(1, slate[:, place : place + 1])[:, 0], atol=1e-4)


def test_an_actor_begins_as_the_ranker_it_stands_on() -> None:
    items = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    actor = Actor(items, 10, 8, temperature=0.5)
    state = torch.randn(3, 10, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(actor(state), actor.prior(state))
    assert torch.allclose(actor.prior(state), state[:, :4] @ items.T / 0.5)
    best, certain = actor.show(state, 2, explore=False)
    assert torch.equal(best, actor(state).topk(2, 1).indices)
    assert certain.tolist() == [[0, 0]] * 3
