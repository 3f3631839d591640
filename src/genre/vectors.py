"""Vectors of unit length."""

# N rows, D dimensions

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genre.types import Floats


def unit(vector_ND: Floats) -> npt.NDArray[np.float32]:
    """Rows of length one; a row of zeros stays one."""
    length_N1 = np.linalg.norm(vector_ND, axis=1, keepdims=True)
    return (vector_ND / np.where(length_N1 > 0, length_N1, 1)).astype(np.float32)
