"""GENRE: a recommender you train on your own text and clicks with a language model, and can trust in production."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genre.component import Component, build
    from genre.config import ConfigError, GenreConfig, load_config
    from genre.data.dataset import Dataset
    from genre.data.readers import Reader
    from genre.encoders import Encoder
    from genre.pipeline import run
    from genre.policies import Policy
    from genre.rankers import Ranker
    from genre.recommender import Recommender
    from genre.serving.client import Client

_HOMES = {
    "Client": "serving.client", "Component": "component", "ConfigError": "config", "Dataset": "data.dataset", "Encoder": "encoders",
    "GenreConfig": "config",
    "Policy": "policies", "Ranker": "rankers", "Reader": "data.readers", "Recommender": "recommender", "build": "component",
    "load_config": "config", "run": "pipeline",
}  # fmt: skip
__all__ = [
    "Client", "Component", "ConfigError", "Dataset", "Encoder", "GenreConfig", "Policy", "Ranker", "Reader", "Recommender", "build",
    "load_config", "run",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # Lazily, so that `import genre` costs nothing and needs no extra.
    if name not in _HOMES:
        raise AttributeError(f"module 'genre' has no attribute {name!r}")
    return getattr(importlib.import_module(f"genre.{_HOMES[name]}"), name)
