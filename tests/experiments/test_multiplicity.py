"""Benjamini and Hochberg, by statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from genre.experiments.multiplicity import benjamini_hochberg


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_adjusted_as_statsmodels_does(p: list[float]) -> None:
    assert benjamini_hochberg(np.array(p)) == pytest.approx(multipletests(p, method="fdr_bh")[1], abs=1e-9)


def test_by_hand() -> None:
    assert benjamini_hochberg(np.array([0.04, 0.01, 0.5])) == pytest.approx([0.06, 0.03, 0.5])


@pytest.mark.parametrize("p", [[-0.1], [1.1], [float("nan")]])
def test_what_is_no_probability_is_refused(p: list[float]) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        benjamini_hochberg(np.array(p))
