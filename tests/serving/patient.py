"""Time enough for every list: the machine that runs the tests may stand still for a while, and that is not what they are about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from genre.serving.engine import BundleEngine

LONG_MS, LONG = 60_000.0, 60.0
"""Of a surface's deadline, and of the patience with the store."""


def load_patient(folder: Path) -> BundleEngine:
    """A bundle's engine whose surfaces have a minute."""
    engine = BundleEngine.load(folder)
    settings = {name: one.settings.model_copy(update={"deadline_ms": LONG_MS}) for name, one in engine.placements.items()}
    engine.placements = {name: replace(one, settings=settings[name]) for name, one in engine.placements.items()}
    return engine
