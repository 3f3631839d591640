"""Loading: a definition from YAML, its mistakes in words that name their path, and back to YAML."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from genre.experiments.definition import ExperimentConfig, ExperimentError, Layer, Logs, Step, Variant
from genre.experiments.metrics import Mean, Ratio, Value
from genre.yaml_files import read_mapping

ALWAYS = ("use", "crossed")
"""Written whatever they are: what chooses the kind, and what a server takes another default for."""
KEYS = sorted({key for part in (ExperimentConfig, Variant, Layer, Step, Logs, Mean, Ratio, Value) for key in part.model_fields})


def load_experiment(file: Path) -> ExperimentConfig:
    """A definition from YAML; without a name it takes the file's.

    Raises:
        ExperimentError: with every mistake, each with its path.
    """
    tree = read_mapping(file, "`variants:`, `metrics:` and `primary:`", ExperimentError)
    return parse_experiment({"name": file.stem, **tree}, str(file), file.resolve().parent)


def parse_experiment(tree: dict[str, Any], where: str = "experiment", folder: Path | None = None) -> ExperimentConfig:
    """A checked definition from a plain tree; paths in it are relative to `folder`."""
    try:
        return ExperimentConfig.model_validate(tree, context={"folder": folder})
    except ValidationError as error:
        raise ExperimentError("\n".join(f"{where}: {_explain(problem)}" for problem in error.errors())) from error


def written(config: ExperimentConfig) -> str:
    """The definition as YAML, without `logs` and what is as by default: parsed again it is the same."""
    tree = _told(config, config.model_dump(mode="json", exclude={"logs"}))
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)


def _told(value: Any, tree: Any) -> Any:
    if isinstance(value, BaseModel):
        default = {name: field.get_default(call_default_factory=True) for name, field in type(value).model_fields.items()}
        kept = {name: part for name, part in tree.items() if name in ALWAYS or getattr(value, name) != default[name]}
        return {name: _told(getattr(value, name), part) for name, part in kept.items()}
    if isinstance(value, dict):
        return {name: _told(value[name], part) for name, part in tree.items()}
    return [*map(_told, value, tree)] if isinstance(value, list) else tree


def _explain(problem: Any) -> str:
    loc = [str(part) for part in problem["loc"]]
    if len(loc) > 2 and loc[0] in ("metrics", "guardrails"):
        del loc[2]  # pydantic puts the kind chosen by `use` there, which is no key of the file
    path, message, shown = ".".join(loc), problem["msg"].removeprefix("Value error, "), problem["input"]
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(loc[-1], KEYS, 1)
        return f"{path}: unknown key{f'; did you mean {near[0]!r}?' if near else ''}"
    if problem["type"] == "missing":
        return f"{path}: is missing"
    if problem["type"] == "value_error":
        return f"{path}: {message}" if path else message
    if problem["type"] == "string_pattern_mismatch":
        message = "needs letters, digits, - and _, and a letter or digit first"
    got = f", not {shown!r}" if isinstance(shown, str | int | float | list) else ""
    return f"{path}: {message[0].lower()}{message[1:]}{got}"
