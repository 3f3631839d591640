from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genre.llm.packing import pack, plan


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(2, 16), st.integers(0, 3))
def test_every_token_is_in_exactly_one_row(lengths: list[int], size: int, seed: int) -> None:
    rows = plan(lengths, size, np.random.default_rng(seed))
    assert all(0 < sum(stop - start for _, start, stop in row) <= size for row in rows)
    seen = sorted((document, token) for row in rows for document, start, stop in row for token in range(start, stop))
    assert seen == [(document, token) for document, n in enumerate(lengths) for token in range(n)]


def test_little_room_is_left() -> None:
    lengths = np.random.default_rng(0).integers(1, 64, 2000).tolist()
    rows = plan(lengths, 128, np.random.default_rng(0))
    assert sum(lengths) / (len(rows) * 128) > 0.97


def test_rows_by_hand() -> None:
    packed = pack([[(0, 0, 3), (1, 0, 2)], [(2, 1, 3)]], [[5, 6, 7], [8, 9], [1, 2, 3]], pad=0)
    assert packed.ids_BT.tolist() == [[5, 6, 7, 8, 9], [2, 3, 0, 0, 0]]
    assert packed.document_BT.tolist() == [[1, 1, 1, 2, 2], [1, 1, 0, 0, 0]]
    assert packed.position_BT.tolist() == [[0, 1, 2, 0, 1], [0, 1, 0, 0, 0]]
    has, successors = packed.next_token()
    assert has.tolist() == [[True, True, False, True, False], [True, False, False, False, False]]
    assert successors.tolist() == [6, 7, 9, 3]
    seen = (packed.mask(causal=True) == 0)[0, 0].int().tolist()
    assert seen == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1]]
    assert (packed.mask(causal=False) == 0)[1, 0].int().tolist()[0] == [1, 1, 0, 0, 0]
    assert torch.isfinite(packed.mask(causal=False)).all(), "padding sees everything rather than nothing, which would be NaN"


def test_a_row_of_one_token_is_refused() -> None:
    with pytest.raises(ValueError, match="holds nothing to predict"):
        plan([3], 1, np.random.default_rng(0))
