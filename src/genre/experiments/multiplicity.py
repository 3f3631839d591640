"""Multiplicity: of many metrics some move by chance; Benjamini and Hochberg (1995) keep the false ones a small share of those called."""

from __future__ import annotations

import numpy as np

from genre.types import Floats


def benjamini_hochberg(p_M: Floats) -> Floats:
    """Adjusted p-values, in the order given: calling all at most q keeps the expected share of false calls at q.

    Raises:
        ValueError: a p-value is no probability.
    """
    p_M = np.asarray(p_M, np.float64)
    if p_M.ndim != 1 or not ((p_M >= 0) & (p_M <= 1)).all():
        raise ValueError(f"p-values must be a row of numbers from 0 to 1, got {p_M}")
    order = np.argsort(p_M)[::-1]
    scaled = p_M[order] * len(p_M) / np.arange(len(p_M), 0, -1)
    adjusted_M = np.empty_like(p_M)
    adjusted_M[order] = np.minimum.accumulate(np.minimum(scaled, 1.0))
    return adjusted_M
