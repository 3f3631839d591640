"""The floor: what scores say of items of which there is nothing to say, in the order of popularity."""

# N items

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genre.types import Floats

FLOOR = 1e-6


def floor_N(popularity_N: Floats) -> npt.NDArray[np.float32]:
    """Below every score that says something, in the order of popularity: -FLOOR for a popularity of 0."""
    return (FLOOR * (popularity_N / max(float(popularity_N.max(initial=0)), 1e-9) - 1.0)).astype(np.float32)
