"""Mixture: what a deep ranker's network learnt, asked with numpy alone, so that what is served needs no torch."""

# E entries, F features, H hidden units, S places, T tasks, X experts that a task may ask

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genre.component import Arrays
from genre.rankers.blend import standardised
from genre.rankers.calibration import Platt
from genre.types import Floats, Ints

ROWS_AT_ONCE = 1 << 15
QUICK = 5.0
"""Places learn so many times faster than weights: each is one number, seen in every list."""
LARGEST = 8.0
"""Features are cut at so many of their standard deviations."""
Rows = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Mixture:
    """The arithmetic of `Experts` and `Examination`, without any place, and what came out of it made into chances and a value.

    Attributes:
        weights: the network's state, by the names that torch gives its parts.
        platt: calibrates each task's logits.
        worth: what one of each task is worth.
    """

    weights: Arrays
    platt: tuple[Platt, ...]
    worth: tuple[float, ...]

    def logits(self, rows_EF: Rows) -> npt.NDArray[np.float64]:
        """Relevance of every task without any place, shape (T, E)."""
        starts = range(0, max(len(rows_EF), 1), ROWS_AT_ONCE)
        return np.concatenate([self._forward(rows_EF[start : start + ROWS_AT_ONCE]) for start in starts], axis=1).astype(np.float64)

    def chances(self, rows_EF: Rows) -> list[Floats]:
        """Calibrated chance of every task, as if each entry stood in the first place."""
        return [calibrated(logit_E) for calibrated, logit_E in zip(self.platt, self.logits(rows_EF), strict=True)]

    def value(self, rows_EF: Rows) -> Floats:
        """What showing each entry in the first place is worth: the value model."""
        return np.asarray(sum(worth * chance_E for worth, chance_E in zip(self.worth, self.chances(rows_EF), strict=True)))

    def examined(self, position_E: Ints) -> Floats:
        """How likely each place is looked at, relative to the first; a place that is not known counts as the first."""
        depth_S = self.weights["examination.depth_S"].astype(np.float64)
        by_place_S = np.concatenate([[1.0], np.exp(-np.logaddexp(0.0, QUICK * depth_S[1:]))])
        return np.asarray(by_place_S[np.clip(position_E, 0, len(depth_S) - 1)])

    def _forward(self, rows_EF: Rows) -> Rows:
        mean_F, spread_F = self.weights["experts.mean_F"], self.weights["experts.spread_F"]
        rows_EF = np.clip((rows_EF - mean_F) / spread_F, -LARGEST, LARGEST)
        shared, own = self._experts("shared", rows_EF), self._experts("own", rows_EF)
        straight_ET = self._linear("straight", rows_EF)
        tasks = len(self.worth)
        each = len(own) // tasks
        found = []
        for task in range(tasks):
            asked = [*shared, *own[task * each : (task + 1) * each]]
            gate_EX = self._linear(f"gates.{task}", rows_EF)
            gate_EX = np.exp(gate_EX - gate_EX.max(axis=1, keepdims=True))
            gate_EX /= gate_EX.sum(axis=1, keepdims=True)
            mixed_EH = gate_EX[:, :1] * asked[0]
            for x, expert_EH in enumerate(asked[1:], 1):
                mixed_EH += gate_EX[:, x : x + 1] * expert_EH
            found.append(self._linear(f"towers.{task}", mixed_EH)[:, 0] + straight_ET[:, task])
        return np.stack(found)

    def _experts(self, which: str, rows_EF: Rows) -> list[Rows]:
        found: list[Rows] = []
        while f"experts.{which}.{len(found)}.0.weight" in self.weights:
            inner_EH = np.maximum(self._linear(f"{which}.{len(found)}.0", rows_EF), 0)
            found.append(np.maximum(self._linear(f"{which}.{len(found)}.3", inner_EH), 0))
        return found

    def _linear(self, name: str, rows_EF: Rows) -> Rows:
        outcome: Rows = rows_EF @ self.weights[f"experts.{name}.weight"].T
        outcome += self.weights[f"experts.{name}.bias"]
        return outcome


def placed(score_MBN: Sequence[Rows], item_E: Ints, offsets: Ints, value_E: Floats) -> Rows:
    """Scores of the whole catalogue, shape (B, N): candidates by their value; all others below them, in the order of the summed scores."""
    below_BN = np.zeros(score_MBN[0].shape, np.float32)
    for score_BN in score_MBN:
        below_BN += standardised(score_BN)[0]
    owner_E = np.repeat(np.arange(len(below_BN)), np.diff(offsets))
    lowest_B = np.zeros(len(below_BN))
    np.minimum.at(lowest_B, owner_E, value_E)
    below_BN += (lowest_B - 1.0 - below_BN.max(axis=1))[:, None].astype(np.float32)
    below_BN[owner_E, item_E] = value_E
    return below_BN
