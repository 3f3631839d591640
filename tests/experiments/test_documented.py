"""What docs/experiments.md shows works."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from genre.experiments.loading import parse_experiment

PAGE = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


def test_the_definition_is_one() -> None:
    (text,) = blocks("yaml")
    assert parse_experiment({"name": "home", **yaml.safe_load(text)}).control == "popular"


def test_the_python_runs() -> None:
    (text,) = blocks("python")
    found: dict[str, object] = {}
    exec(compile(text, "docs/experiments.md", "exec"), found)
    assert found["row"] is not None
