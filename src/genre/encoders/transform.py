"""The transform: raw encoder vectors, centred on the catalogue, optionally whitened, all encoders at one scale."""

# N items, D raw dimensions, K kept dimensions

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from genre.component import load_arrays
from genre.types import Bools, Floats

CHUNK = 65_536
"""Rows handled at once, so that a catalogue of millions is never copied to float64 as a whole."""

NO_VARIANCE = 1e-10
"""Below this share (of the squared mean for all directions, of the largest variance for one) a variance is rounding noise."""


@dataclass(frozen=True)
class Transform:
    """Vectors to `(vectors - mean) @ basis`; a row that says nothing (all zeros) stays all zeros.

    Raw cosine between encoder vectors is dominated by what all items share, so the catalogue's mean is always subtracted. The
    basis is scaled so that the catalogue's rows have a root mean square norm of 1, whichever encoder they come from.
    """

    mean_D: npt.NDArray[np.float32]
    basis_DK: npt.NDArray[np.float32]

    @classmethod
    def fit(cls, vectors_ND: Floats, whiten: bool = False, dim: int | None = None) -> Self:
        """Learn from the catalogue's raw vectors, leaving out the rows that are all zeros.

        Args:
            whiten: give every kept direction the same variance; directions without any are dropped to zero.
            dim: keep this many principal directions (at most D); None keeps all, unrotated unless whitened.

        Raises:
            ValueError: a vector is not finite, or the shape or `dim` makes no sense.
        """
        if vectors_ND.ndim != 2 or not vectors_ND.shape[1]:
            raise ValueError(f"vectors must have shape (items, dimensions), not {vectors_ND.shape}")
        if dim is not None and dim < 1:
            raise ValueError(f"dim must be at least 1, not {dim}")
        bad = ~np.isfinite(vectors_ND.sum(axis=1, dtype=np.float64))
        if bad.any():
            raise ValueError(f"{int(bad.sum())} of {len(bad)} vectors have NaN or infinity, the first in row {int(bad.argmax())}")
        said_N = _says_something(vectors_ND)
        n = max(int(said_N.sum()), 1)
        d = vectors_ND.shape[1]
        mean_D = np.zeros(d)
        for rows_CD in _chunks(vectors_ND, said_N):
            mean_D += rows_CD.sum(axis=0) / n
        covariance_DD = np.zeros((d, d))
        for rows_CD in _chunks(vectors_ND, said_N):
            centred_CD = rows_CD - mean_D
            covariance_DD += centred_CD.T @ centred_CD / n
        basis_DK = _basis(covariance_DD, float(mean_D @ mean_D), whiten, dim)
        return cls(mean_D.astype(np.float32), basis_DK.astype(np.float32))

    def apply(self, vectors_ND: Floats) -> npt.NDArray[np.float32]:
        """Transformed vectors of shape (N, K), for the catalogue, for new items and for free text alike."""
        if vectors_ND.ndim != 2 or vectors_ND.shape[1] != len(self.mean_D):
            raise ValueError(f"the transform was fitted on {len(self.mean_D)} dimensions, these vectors have shape {vectors_ND.shape}")
        moved_NK = np.zeros((len(vectors_ND), self.basis_DK.shape[1]), np.float32)
        for start in range(0, len(vectors_ND), CHUNK):
            rows_CD = vectors_ND[start : start + CHUNK]
            moved_NK[start : start + CHUNK] = (rows_CD - self.mean_D) @ self.basis_DK
            moved_NK[start : start + CHUNK][~_says_something(rows_CD)] = 0.0
        return moved_NK

    def save(self, folder: Path) -> None:
        """Write `transform.safetensors`."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"mean": self.mean_D, "basis": np.ascontiguousarray(self.basis_DK)}, folder / "transform.safetensors")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is none.
        """
        file = folder / "transform.safetensors"
        if not file.is_file():
            raise FileNotFoundError(f"{folder} holds no transform: transform.safetensors is missing")
        arrays = load_arrays(file)
        return cls(arrays["mean"], arrays["basis"])


def _basis(covariance_DD: Floats, squared_mean: float, whiten: bool, dim: int | None) -> Floats:
    """Directions times scale: the catalogue's variances in the new axes add up to 1."""
    d = len(covariance_DD)
    k = min(dim or d, d)
    total = float(np.trace(covariance_DD))
    if total <= NO_VARIANCE * squared_mean:
        # One item, or all texts equal. Nothing is known of directions, but something new must still differ from the mean.
        return np.eye(d, k) / (math.sqrt(squared_mean) or 1.0)
    if not whiten and dim is None:
        return np.eye(d) / math.sqrt(total)
    variance_D, axes_DD = np.linalg.eigh(covariance_DD)
    variance_K, axes_DK = variance_D[::-1][:k], axes_DD[:, ::-1][:, :k]
    # An axis has no direction of its own: the largest entry is made positive, so that fitting again gives the same signs.
    axes_DK = axes_DK * np.sign(axes_DK[np.abs(axes_DK).argmax(axis=0), np.arange(k)])
    real_K = variance_K > NO_VARIANCE * variance_K[0]
    scale_K = np.full(k, variance_K[real_K].sum() ** -0.5)
    if whiten:
        scale_K = np.where(real_K, (np.where(real_K, variance_K, 1.0) * real_K.sum()) ** -0.5, 0.0)
    return np.asarray(axes_DK * scale_K)


def _says_something(vectors_ND: Floats) -> Bools:
    return np.asarray(vectors_ND.any(axis=1))


def _chunks(vectors_ND: Floats, keep_N: Bools) -> Iterator[npt.NDArray[np.float64]]:
    for start in range(0, len(vectors_ND), CHUNK):
        part = slice(start, start + CHUNK)
        yield vectors_ND[part][keep_N[part]].astype(np.float64)
