"""Realism: can a classifier tell a user model's choices from real ones? (Classifier two-sample test, Lopez-Paz and Oquab, 2017.)"""

# E choices, F numbers about a choice

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genre.simulation.choices import PLAIN, Choices, Known
from genre.types import Floats


@dataclass(frozen=True)
class TwoSample:
    """How well real and generated were told apart on choices that the classifier had not seen.

    Attributes:
        accuracy: 0.5 is not at all, 1 always.
        half: half the width of its 95 % interval.
    """

    accuracy: float
    half: float

    @property
    def told_apart(self) -> bool:
        """Whether the accuracy is above chance by more than chance."""
        return self.accuracy - self.half > 0.5

    def __str__(self) -> str:
        return f"{self.accuracy:.3f} ±{self.half:.3f} ({'told apart' if self.told_apart else 'not told apart'})"


def two_sample(known: Known, real: Choices, generated: Choices, seed: int = 0, folds: int = 5) -> TwoSample:
    """Cross-validated accuracy of boosted trees at telling two samples of choices apart.

    Where both hold the same users and slates, a pair goes into the same fold, so that nothing but the choice can give it away.

    Raises:
        ValueError: the samples differ in size, so that accuracy would not be 0.5 by chance.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    if len(real) != len(generated):
        raise ValueError(f"{len(real)} real and {len(generated)} generated choices: take as many of both")
    rows_EF = np.concatenate([described(known, real), described(known, generated)])
    label_E = np.repeat([1, 0], len(real))
    fold_E = np.tile(np.random.default_rng(seed).integers(folds, size=len(real)), 2)
    right = 0
    for fold in range(folds):
        test = fold_E == fold
        if not test.any() or test.all():
            continue
        trees = HistGradientBoostingClassifier(max_iter=60, learning_rate=0.1, max_leaf_nodes=8, random_state=seed)
        trees.fit(rows_EF[~test], label_E[~test])
        right += int((trees.predict(rows_EF[test]) == label_E[test]).sum())
    accuracy = right / len(label_E)
    return TwoSample(accuracy, 1.96 * float(np.sqrt(0.25 / len(label_E))))


def described(known: Known, choices: Choices) -> Floats:
    """Numbers about each choice: the place, the item taken and its likeness to the user, and how the slate compares, shape (E, F)."""
    profile_EP = known.profiles(choices.histories)
    item_ESX = known.items(profile_EP, np.maximum(choices.item_ES, 0))
    shown_ES1 = (choices.item_ES >= 0)[:, :, None]
    mean_EX = (item_ESX * shown_ES1).sum(axis=1) / np.maximum(shown_ES1.sum(axis=1), 1)
    took_E = choices.taken_E < choices.item_ES.shape[1]
    taken_EX = item_ESX[np.arange(len(choices)), np.minimum(choices.taken_E, choices.item_ES.shape[1] - 1)] * took_E[:, None]
    return np.column_stack([choices.taken_E, taken_EX, (taken_EX - mean_EX)[:, :PLAIN], mean_EX[:, :PLAIN], profile_EP[:, -1]])
