"""CUPED: take out of a metric what was foreseeable before the experiment (Deng, Xu, Kohavi and Walker, 2013)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genre.types import Floats


def slope(with_before: Sequence[Floats], before: Sequence[Floats]) -> Floats:
    """By how much a unit's value grows with its value before, pooled within arms: summed cross-products over summed squares.

    It is the slope of an analysis of covariance, so a difference between the arms' values before, which is chance, is taken out, and the
    treatment's own effect is not. Zero where the value before does not vary: then nothing is adjusted.

    Args:
        with_before: each arm's sum of cross-products of value and value before, around the arm's means.
        before: each arm's sum of squares of the value before.
    """
    above, below = np.add.reduce([*with_before]), np.add.reduce([*before])
    return np.asarray(np.divide(above, below, out=np.zeros_like(below, np.float64), where=below > 0))
