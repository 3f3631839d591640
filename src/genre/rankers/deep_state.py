"""What a deep ranker is saved as, and how its parts are found again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from genre.component import Arrays
from genre.rankers.calibration import Platt
from genre.rankers.mixture import Mixture

LATEST = "latest.safetensors"
"""The file of a bundle that says what the counters knew after their last event."""


def below(state: Mapping[str, npt.NDArray[Any]], prefix: str) -> Arrays:
    """The arrays whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}


def worth_of(tasks: Sequence[str], value: Mapping[str, float]) -> tuple[float, ...]:
    """What one of each task is worth; where nothing is said, 1."""
    return tuple(value.get(task, 0.0 if value else 1.0) for task in tasks)


def mixture_of(state: Mapping[str, npt.NDArray[Any]], tasks: Sequence[str], value: Mapping[str, float]) -> Mixture:
    """The network and its calibration."""
    platt = tuple(Platt(float(slope), float(shift)) for slope, shift in state["platt_T2"])
    return Mixture(below(state, "network."), platt, worth_of(tasks, value))
