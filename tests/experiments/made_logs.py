"""Logs of an experiment that is made up, as files, and its definition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genre.experiments.definition import ExperimentConfig
from genre.experiments.loading import parse_experiment

START, DAY = 1_750_000_000.0, 86_400.0
METRICS: dict[str, Any] = {
    "clicks": {"use": "mean", "event": "click"},
    "clicked": {"use": "rate", "event": "click"},
    "ctr": {"use": "ratio", "event": "click", "per": "impression"},
    "spend": {"use": "mean", "event": "purchase", "of": "value"},
    "worth": {"use": "value", "weights": {"click": 1, "hide": -5}, "per": "exposure"},
    "hides": {"use": "mean", "event": "hide", "better": "lower"},
}


def define(folder: Path, **more: Any) -> ExperimentConfig:
    """A definition over the files in a folder."""
    tree: dict[str, Any] = {
        "name": "home",
        "variants": {"old": {}, "new": {}},
        "metrics": METRICS,
        "primary": "clicks",
        "planned_units": 2000,
        "logs": {"exposures": "exposures.csv", "events": "events.csv"},
    }
    return parse_experiment({**tree, **more}, "home.yaml", folder)


def make(
    folder: Path,
    n: int = 2000,
    lift: float = 0.0,
    hides: float = 0.05,
    days: int = 14,
    share: float = 0.5,
    seed: int = 0,
    fade: float = 0.0,
) -> None:
    """Write exposures.csv and events.csv: units arrive over the days, click at their own rate before and after, and hide now and then.

    Args:
        lift: of the new variant's clicks; hides: the new variant's rate (the old one's is 0.05).
        fade: by how much the lift shrinks each day after the first show.
    """
    rng = np.random.default_rng(seed)
    exposed = START + np.sort(rng.uniform(0, days * DAY, n))
    exposed[0] = START
    new = rng.random(n) < share
    habit = rng.gamma(2, 0.3, n)
    parts: list[pl.DataFrame] = []

    def add(rate_U: np.ndarray, kind: str, begin: float, end: float) -> None:
        unit = np.repeat(np.arange(n), rng.poisson(rate_U))
        moments = exposed[unit] + DAY * rng.uniform(begin, end, len(unit))
        value = pl.lit(10.0 if kind == "purchase" else None, dtype=pl.Float64).alias("value")
        parts.append(pl.DataFrame({"unit": unit, "time": moments}).with_columns(pl.lit(kind).alias("event"), value))

    add(7 * habit, "click", -7, 0)
    for age in range(4):
        add(habit * np.where(new, 1 + max(lift - fade * age, 0), 1), "click", age, age + 1)
    add(np.full(n, 8.0), "impression", 0, 4)
    add(np.full(n, 0.3), "purchase", 0, 4)
    add(np.where(new, hides, 0.05), "hide", 0, 4)
    names = [f"u{i}" for i in range(n)]
    pl.DataFrame(
        {
            "unit": names,
            "variant": np.where(new, "new", "old"),
            "time": exposed,
            "latency_ms": rng.gamma(4, 10, n),
            "degraded": rng.random(n) < 0.01,
            "items": [" ".join(map(str, rng.integers(0, 500, 10))) for _ in names],
        }
    ).write_csv(folder / "exposures.csv")
    pl.concat(parts).with_columns(pl.format("u{}", "unit").alias("unit")).write_csv(folder / "events.csv")
