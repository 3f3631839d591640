"""Configurations read, checked, and written out resolved."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from genre.config.explaining import explain
from genre.config.merging import ConfigError, look_beside, merge, parse_override, read_tree
from genre.config.tree import GenreConfig
from genre.runs import Run


def load_config(file: str | Path, overrides: Iterable[str] = ()) -> GenreConfig:
    """Read a YAML file, what it extends, and `a.b=c` changes on top.

    Raises:
        ConfigError: with every mistake, each with its path.
    """
    file = Path(file)
    tree = read_tree(file)
    tree.setdefault("name", file.stem)
    for override in overrides:
        tree = merge(tree, parse_override(override))
    return parse_config(tree, file)


def parse_config(tree: dict[str, Any], file: Path = Path("config.yaml"), check_files: bool = True) -> GenreConfig:
    """A checked configuration from a plain tree; relative paths in it are relative to the file's folder.

    A finished run is read with `check_files=False`: it needs its sources no more.
    """
    try:
        return GenreConfig.model_validate(tree, context={"folder": file.resolve().parent, "check_files": check_files})
    except ValidationError as error:
        lines = [f"{file}: {explain(problem, tree)}" for problem in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def load_run_config(folder: Path) -> GenreConfig:
    """The resolved configuration that a run was made from.

    Raises:
        FileNotFoundError: the folder is not a run.
    """
    file = folder / "config.yaml"
    if not file.is_file():
        raise FileNotFoundError(f"{folder} is not a run: it has no config.yaml. Make one with: genre run NAME.yaml")
    tree = read_tree(file)
    run = Run(folder)
    own = {Path(source) for stage in run.stages() for source in run.manifest(stage).inputs if source.endswith(".py")}
    for code in sorted(own):  # where they were when the run was made
        while (code.parent / "__init__.py").is_file():
            code = code.parent
        look_beside(code)
    return parse_config(tree, file, check_files=False)


def _partial(schema: Any) -> Any:
    """A schema by which nothing has to be there, and anything may be null; what an `if` asks stays as it is."""
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "patternProperties", "$defs"):
            found[key] = {name: _partial(below) for name, below in value.items()}
        elif key in ("items", "additionalProperties", "then"):
            found[key] = _partial(value)
        elif key in ("allOf", "oneOf", "prefixItems"):
            found[key] = [_partial(below) for below in value]
        elif key == "anyOf":  # of one, it is that one, about which more can be said than that none fits
            several = [_partial(below) for below in value if below != {"type": "null"}]
            found |= several[0] if len(several) == 1 else {"anyOf": several}
        elif key == "type":
            found[key] = list(dict.fromkeys([*([value] if isinstance(value, str) else value), "null"]))
        elif key in ("enum", "const"):
            found["enum"] = [*([value] if key == "const" else value), None]
        elif key != "required":
            found[key] = value
    return found


def dump_config(config: GenreConfig) -> str:
    """The resolved configuration as YAML, with every default written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def config_schema() -> dict[str, Any]:
    """JSON Schema of a configuration file, for editors. It may extend another: nothing is required, and null removes a key."""
    schema: dict[str, Any] = _partial(GenreConfig.model_json_schema(mode="validation"))
    schema["properties"]["extends"] = {"type": "string", "description": "A YAML file that this one changes."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
