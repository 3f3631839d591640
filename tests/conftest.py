"""What every test shares: a small synthetic world as a configuration, and a run of it made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import genre
from genre.runs import Run

SMALL: dict[str, Any] = {
    "data": {"reader": {"use": "synthetic", "users": 120, "items": 60, "seed": 3}, "text": "{title} {description}"},
    "encoders": {"text": {"use": "tfidf", "dim": 8}},
    "rankers": {
        "popularity": {"use": "popularity"},
        "transitions": {"use": "transitions"},
        "content": {"use": "content", "content": ["text"]},
        "hybrid": {"use": "sequential", "content": ["text"], "embedding_dim": 16, "epochs": 2},
        "blend": {"use": "blend", "of": ["transitions", "content", "hybrid"]},
    },
    "evaluate": {"category": "category", "resamples": 100},
}


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing is read from or written to the user's cache."""
    patch = pytest.MonkeyPatch()
    patch.setenv("GENRE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def small_yaml(tmp_path: Path) -> Path:
    """A configuration over the synthetic world."""
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(SMALL, sort_keys=False))
    return file


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of it; tests only read it."""
    folder = tmp_path_factory.mktemp("session")
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump(SMALL, sort_keys=False))
    return genre.run(file, folder=folder / "run")
