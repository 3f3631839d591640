"""Calibration: probabilities that mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

from genre.rankers.calibration import Believed, Platt, calibration_error, mean_log_loss, platt, sigmoid


def test_platt_finds_how_the_logits_were_distorted() -> None:
    rng = np.random.default_rng(0)
    logit_E = rng.normal(size=40_000)
    label_E = (rng.random(40_000) < sigmoid(0.5 * logit_E - 2.0)).astype(float)
    found = platt(logit_E, label_E)
    assert (found.slope, found.shift) == pytest.approx((0.5, -2.0), abs=0.08)
    assert calibration_error(found(logit_E), label_E) < 0.01 < 0.1 < calibration_error(sigmoid(logit_E), label_E)


def test_platt_looks_behind_the_place_shown() -> None:
    rng = np.random.default_rng(1)
    logit_E, examined_E = rng.normal(size=60_000), rng.choice([1.0, 0.5, 0.2], 60_000)
    label_E = (rng.random(60_000) < examined_E * sigmoid(logit_E)).astype(float)
    found = platt(3 * logit_E + 1, label_E, examined_E)
    assert found(3 * logit_E + 1) == pytest.approx(sigmoid(logit_E), abs=0.05)


def test_few_labels_move_little() -> None:
    found = platt(np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    assert 0.0 < found.shift < 2.0
    assert found.slope > 0


def test_figures_by_hand() -> None:
    probability_E, label_E = np.array([0.5, 0.5, 0.9, 0.9]), np.array([1.0, 0.0, 1.0, 1.0])
    assert calibration_error(probability_E, label_E, bins=2) == pytest.approx(0.05)
    assert mean_log_loss(probability_E, label_E) == pytest.approx(-(2 * np.log(0.5) + 2 * np.log(0.9)) / 4)
    assert Platt(2.0, 0.0)(np.array([0.0, np.log(3) / 2])) == pytest.approx([0.5, 0.75])
    found = Believed.of(probability_E, label_E)
    assert (found.entries, found.share) == (4, 0.75)
    assert found.mean == pytest.approx(0.7)
    assert found.by_share == pytest.approx(-(3 * np.log(0.75) + np.log(0.25)) / 4)
    assert "log-loss 0.39925 (their share alone: 0.56234)" in str(found)
