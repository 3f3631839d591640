"""The plot of the weights: where the evidence is, and whether a few requests carry it all."""

# R requests

from __future__ import annotations

from pathlib import Path

import numpy as np

from genre.evaluation.drawing import write_bars
from genre.evaluation.off_policy.logged import Logged
from genre.evaluation.off_policy.study import Study
from genre.types import Floats

EDGES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)
"""Weights are counted between these, in about half powers of ten."""


def write_weights(file: Path, logged: Logged, found: Study) -> None:
    """A histogram of the requests' weights, as SVG."""
    title = "How much likelier the candidate makes the logged slates"
    seen = found.overlap
    subtitle = (
        f"{seen.requests:,} requests, worth {seen.effective:,.0f}; mean weight {seen.mean_weight:.3f}, largest {seen.largest:,.1f} "
        f"with {seen.largest_share:.1%} of the sum"
    )
    write_bars(file, title, "weight of a request", "requests", weight_bars(logged.weight_R), subtitle)


def weight_bars(weight_R: Floats) -> list[tuple[str, float]]:
    """Labels and counts: the zeros, then each range that has its upper end."""
    upper = [*EDGES[1:], np.inf]
    place_R = np.searchsorted(upper, weight_R)
    counts = np.bincount(place_R[weight_R > 0], minlength=len(upper))
    labels = [f"to {edge:g}" for edge in EDGES[1:]] + [f"above {EDGES[-1]:g}"]
    return [("0", float((weight_R == 0).sum())), *zip(labels, counts.astype(float).tolist(), strict=True)]
