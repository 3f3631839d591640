"""Recency: what each event of one history counts, the newer the more."""

# L events of a history

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from genre.serving.scorers import Query
from genre.sittings import apart


def recency_L(query: Query, config: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """decay^age, where age counts the steps to the newest event; events at most `sitting_seconds` apart are one step.

    The same numbers as the rankers' own `neighbours.recency_BN`, which tests hold.
    """
    length, sitting = len(query.item_idx_L), config["sitting_seconds"]
    if length == 0:
        return np.empty(0, np.float32)
    step_L = np.arange(length)
    if sitting is not None:
        step_L[1:] = np.cumsum(apart(query.time_L, sitting))
    weight_L: npt.NDArray[np.float32] = (config["decay"] ** (step_L[-1] - step_L).astype(np.float64)).astype(np.float32)
    return weight_L
