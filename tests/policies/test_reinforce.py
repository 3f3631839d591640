"""REINFORCE, the top-K correction and the actor-critic's pieces, against numbers one can do by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genre.policies.actor_critic import Actor, advantages, clipped_loss
from genre.policies.reinforce import divergence, draw, log_chances, off_policy_loss, returns, top_k_factor


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


def test_returns_count_what_comes_later_for_less() -> None:
    assert returns(torch.tensor([[1.0, 0.0, 2.0]]), 0.5).tolist() == [[1.5, 1.0, 2.0]]


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


def test_advantages_between_believing_the_critic_and_believing_the_rewards() -> None:
    reward, value = torch.tensor([[[1.0], [2.0], [9.0]]]), torch.tensor([[[0.5], [1.0], [7.0]]])
    there = torch.tensor([[1.0, 1.0, 0.0]])
    assert advantages(reward, value, there, 0.5, 0.0).flatten().tolist() == [1 + 0.5 * 1 - 0.5, 2 - 1, 0], "who has left earns nothing"
    assert advantages(reward, value, there, 0.5, 1.0).flatten().tolist() == [1 + 0.5 * 2 - 0.5, 2 - 1, 0]


def test_a_place_is_not_credited_with_what_stands_above_it() -> None:
    reward = torch.tensor([[[1.0, 0.0], [0.0, 4.0]]])
    found = advantages(reward, torch.zeros(1, 2, 2), torch.ones(1, 2), 0.5, 1.0)
    assert found.tolist() == [[[1 + 2, 0 + 2], [4, 4]]], "no discount within a slate"


def test_nothing_is_won_by_going_too_far() -> None:
    new = torch.tensor([2.0]).log().requires_grad_()
    loss = clipped_loss(new, torch.zeros(1), torch.ones(1), 0.2)
    assert loss.item() == pytest.approx(-1.2)
    assert torch.autograd.grad(loss, new)[0].item() == 0.0


def test_an_actor_begins_as_the_ranker_it_stands_on() -> None:
    items = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    actor = Actor(items, 10, 8, temperature=0.5)
    state = torch.randn(3, 10, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(actor(state), actor.prior(state))
    assert torch.allclose(actor.prior(state), state[:, :4] @ items.T / 0.5)
    best, certain = actor.show(state, 2, explore=False)
    assert torch.equal(best, actor(state).topk(2, 1).indices)
    assert certain.tolist() == [[0, 0]] * 3
