"""A published bundle of the small run, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from genre.config import load_run_config
from genre.pipeline import publish
from genre.runs import Run


@pytest.fixture(scope="session")
def small_bundle(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of version 000001, in a copy of the run."""
    run = Run(shutil.copytree(small_run.folder, tmp_path_factory.mktemp("published") / "run"))
    return publish(load_run_config(run.folder), run)
