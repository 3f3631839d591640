from __future__ import annotations

import numpy as np
import pytest
import torch

from genre.llm.pooling import Pooling, Projection, whitening

HIDDEN = torch.tensor([[[1.0, 0.0], [3.0, 2.0], [5.0, 4.0]], [[2.0, 2.0], [4.0, 0.0], [99.0, 99.0]]])
MASK = torch.tensor([[1, 1, 1], [1, 1, 0]])
COUNTED = torch.tensor([[False, True, True], [True, True, False]])


@pytest.mark.parametrize(
    ("how", "expected"),
    [("mean", [[4, 3], [3, 1]]), ("cls", [[1, 0], [2, 2]]), ("last", [[5, 4], [4, 0]]), ("attention", [[4, 3], [3, 1]])],
)
def test_one_vector_a_text(how: str, expected: list[list[float]]) -> None:
    pooling = Pooling(how, 2)  # type: ignore[arg-type]
    assert pooling(HIDDEN, MASK, COUNTED).tolist() == expected


def test_attention_weighs_tokens_by_a_learned_query() -> None:
    pooling = Pooling("attention", 2)
    with torch.no_grad():
        pooling.query_D.copy_(torch.tensor([0.5 * np.log(3.0), 0.0]))  # type: ignore[union-attr]
    # Two units more in the first dimension: three times the weight.
    assert pooling(HIDDEN, MASK, COUNTED)[0].tolist() == pytest.approx([0.25 * 3 + 0.75 * 5, 0.25 * 2 + 0.75 * 4])
    with pytest.raises(ValueError, match="do not fit"):
        pooling(HIDDEN, MASK[:1], COUNTED)


def test_whitening_decorrelates_and_drops_what_does_not_vary() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 5)) + 7
    vectors = torch.from_numpy(flat).float()
    moved = Projection.whitening(vectors, 4)(vectors).detach().numpy()
    covariance = moved.T @ moved / 500
    assert covariance == pytest.approx(np.diag([0.25, 0.25, 0.25, 0.0]), abs=1e-4)
    assert moved.mean(0) == pytest.approx(np.zeros(4), abs=1e-4)
    with pytest.raises(ValueError, match="cannot be projected to 6"):
        whitening(vectors, 6)
