from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

from genre.encoders.transform import Transform
from genre.types import Floats


def rows(n: int = 200, d: int = 6, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 5.0).astype(np.float32)


def test_the_mean_is_subtracted_and_the_average_row_has_length_one() -> None:
    # Mean (2, 0); centred rows (-1, 0) and (1, 0); the third row says nothing and counts for neither.
    moved = Transform.fit(np.array([[1.0, 0.0], [3.0, 0.0], [0.0, 0.0]])).apply(np.array([[1.0, 0.0], [3.0, 0.0], [0.0, 0.0], [2.0, 5.0]]))
    assert moved == pytest.approx(np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 5.0]]))


def test_without_whitening_or_dim_directions_are_left_alone() -> None:
    vectors = rows()
    centred = vectors - vectors.mean(0)
    moved = Transform.fit(vectors).apply(vectors)
    assert moved == pytest.approx(centred / np.sqrt((centred**2).sum(1).mean()), abs=1e-5)


def test_dim_keeps_the_principal_components_that_scikit_learn_finds() -> None:
    vectors = rows()
    theirs = PCA(3).fit_transform(vectors)
    ours = Transform.fit(vectors, dim=3).apply(vectors)
    assert ours.shape == (200, 3)
    assert np.abs(np.corrcoef(ours.T, theirs.T)[:3, 3:]) == pytest.approx(np.eye(3), abs=1e-3)
    assert (ours**2).sum(1).mean() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("dim", [None, 4])
def test_whitened_directions_are_uncorrelated_and_equally_long(dim: int | None) -> None:
    moved = Transform.fit(rows(), whiten=True, dim=dim).apply(rows())
    k = dim or 6
    assert moved.T @ moved / len(moved) == pytest.approx(np.eye(k) / k, abs=1e-4)


@pytest.mark.parametrize("whiten", [False, True])
def test_whitening_fewer_items_than_dimensions_does_not_blow_up_noise(whiten: bool) -> None:
    vectors = rows(5, 40)
    moved = Transform.fit(vectors, whiten, dim=40).apply(vectors)
    assert moved.shape == (5, 40)
    assert (moved**2).sum(1).mean() == pytest.approx(1.0, abs=1e-3)
    assert np.abs(moved[:, 4:]).max() < 1e-3, "five items span four directions"


@pytest.mark.parametrize("n", [1, 7])
@pytest.mark.parametrize(("whiten", "dim"), [(False, None), (True, None), (True, 2)])
def test_equal_items_are_at_the_mean_and_something_new_is_not(n: int, whiten: bool, dim: int | None) -> None:
    vectors = np.outer(1 + 1e-7 * np.arange(n), [0.1, 0.2, 0.3]).astype(np.float32)
    transform = Transform.fit(vectors, whiten, dim)
    assert np.abs(transform.apply(vectors)).max() < 1e-5
    assert np.linalg.norm(transform.apply(np.array([[0.3, -0.2, 0.1]]))) > 0.5


def test_a_catalogue_that_says_nothing_or_is_empty_gives_zeros() -> None:
    for vectors in (np.zeros((3, 4), np.float32), np.zeros((0, 4), np.float32)):
        assert np.array_equal(Transform.fit(vectors, True, 2).apply(np.zeros((2, 4))), np.zeros((2, 2)))


def test_signs_do_not_depend_on_the_order_of_the_items() -> None:
    vectors = rows()
    forwards = Transform.fit(vectors, True).apply(vectors)
    assert Transform.fit(vectors[::-1], True).apply(vectors) == pytest.approx(forwards, abs=1e-3)


def test_saved_and_loaded_it_gives_the_very_same_vectors(tmp_path: Path) -> None:
    transform = Transform.fit(rows(), True, 3)
    transform.save(tmp_path)
    assert np.array_equal(Transform.load(tmp_path).apply(rows(seed=1)), transform.apply(rows(seed=1)))
    with pytest.raises(FileNotFoundError, match=r"transform\.safetensors is missing"):
        Transform.load(tmp_path / "elsewhere")


def test_what_it_cannot_take_is_named() -> None:
    broken = rows()
    broken[17, 2] = np.nan
    with pytest.raises(ValueError, match="1 of 200 vectors have NaN or infinity, the first in row 17"):
        Transform.fit(broken)
    with pytest.raises(ValueError, match="fitted on 6 dimensions"):
        Transform.fit(rows()).apply(np.zeros((2, 5)))
