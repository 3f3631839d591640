"""What docs/experiments.md shows works."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import yaml

from genre.experiments.loading import parse_experiment
from genre.serving.live import parse_live

PAGE = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


def test_the_definition_is_one() -> None:
    (text,) = blocks("yaml")
    assert parse_experiment({"name": "home", **yaml.safe_load(text)}).control == "popular"


def test_the_interleaved_definition_is_one() -> None:
    (text,) = re.findall(r"\n\n(    interleave: true\n(?:    .*\n)+)", PAGE)
    config = parse_experiment({"name": "home", **yaml.safe_load(text)})
    assert (config.interleave, config.logs.team, config.logs.first) == (True, "team", "picked_first")


def test_the_python_runs() -> None:
    text, _ = blocks("python")
    found: dict[str, object] = {}
    exec(compile(text, "docs/experiments.md", "exec"), found)
    assert found["row"] is not None


def test_the_live_definition_is_one() -> None:
    _, text = blocks("python")
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and ast.unparse(node.func) == "shop.admin.define"]
    config = parse_live(ast.literal_eval(calls[0].args[0]))
    assert (config.control, list(config.guardrails)) == ("now", ["slow", "hiding", "falling", "narrow"])
