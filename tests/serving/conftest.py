"""A published bundle of the small run, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from genre.config import load_run_config
from genre.pipeline import publish
from genre.runs import Run


@pytest.fixture(scope="session")
def small_bundle(small_run: Run) -> Path:
    """The folder of version 000001."""
    return publish(load_run_config(small_run.folder), small_run)
