"""Examination and the losses over lists, against numbers one can do by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genre.rankers.examination import Examination, clicked, list_loss, log_loss
from genre.rankers.lists import Lists
from genre.rankers.mixture import QUICK

NAN = float("nan")


def test_the_first_place_is_the_measure_and_no_place_is_above_it() -> None:
    examination = Examination(4)
    torch.nn.init.constant_(examination.depth_S, 1.0 / QUICK)
    found = examination(torch.tensor([0, -1, 2, 9])).exp().tolist()
    assert found[:2] == [1, 1], "an unknown place counts as the first"
    assert found[2] == pytest.approx(1 / (1 + np.e))
    assert found[3] == found[2], "beyond the last learnt place"


def test_cross_entropy_of_what_was_looked_at_and_relevant() -> None:
    logit = torch.tensor([0.0, 0.0, 9.0])
    examined = torch.tensor([1.0, 0.5, 1.0]).log()
    label = torch.tensor([1.0, 0.0, NAN])
    assert log_loss(*clicked(logit, examined), label).item() == pytest.approx(-(np.log(0.5) + np.log(0.75)) / 2)


def test_cross_entropy_stays_finite_where_it_is_sure() -> None:
    logit = torch.tensor([100.0, -100.0], requires_grad=True)
    loss = log_loss(*clicked(logit, torch.zeros(2)), torch.tensor([0.0, 1.0]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert logit.grad is not None
    assert torch.isfinite(logit.grad).all()


def test_list_loss_is_a_softmax_within_each_list() -> None:
    logit = torch.tensor([0.0, float(np.log(3.0)), 5.0, 1.0, 2.0])
    label = torch.tensor([0.0, 1.0, 0.0, 0.0, NAN])
    owner = torch.tensor([0, 0, 1, 1, 1])
    assert list_loss(logit, label, owner, 2).item() == pytest.approx(-np.log(0.75)), "a list without a right item says nothing"


def test_ndcg_of_lists_counts_what_is_missing() -> None:
    lists = Lists(
        np.zeros((5, 1), np.float32), np.array([0, 3, 5]), np.zeros((1, 5), np.float32), np.full(5, -1), np.array([2, 1]),
    )  # fmt: skip
    gain = np.array([0.0, 1.0, 0.0, 0.0, 0.0])
    # First list: the right item is second, and another right one is not there at all. Second: its only right item is not there.
    ideal = 1 + 1 / np.log2(3)
    assert lists.ndcg(np.array([3.0, 2.0, 1.0, 1.0, 0.0]), gain) == pytest.approx((1 / np.log2(3) / ideal + 0) / 2)
    assert lists.ndcg(np.zeros(5), gain) == pytest.approx((1 / np.log2(4) / ideal) / 2), "of equal scores the right one comes last"
