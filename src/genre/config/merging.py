"""From YAML files, `extends` and `a.b=c` to one plain tree."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import yaml

from genre.yaml_files import read_mapping, written


class ConfigError(ValueError):
    """A mistake in a configuration; the message names the file, the path in it, and the fix."""


def merge(base: Any, change: Any) -> Any:
    """A tree with changes laid over it: mappings merge, everything else replaces, null removes a key.

    A section whose `use` changes is replaced as a whole, since the keys of one component mean nothing to another.
    """
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return copy.deepcopy(change)
    if "use" in change and _canonical(change["use"]) != _canonical(base.get("use")):
        base = {}
    merged = copy.deepcopy(base)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def _canonical(use: Any) -> str:
    return str(use).replace("-", "_")


def read_tree(file: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A file laid over what it extends, whose paths stay relative to it; `seen` are the files that extend this one.

    Raises:
        ConfigError: a file is missing, no mapping, no YAML, or extends itself.
    """
    if file.resolve() in seen:
        raise ConfigError(f"{file}: extends itself, by way of {' -> '.join(map(str, seen))}")
    tree = read_mapping(file, "`data:` and `rankers:`", ConfigError)
    base = tree.pop("extends", None)
    if base is not None:
        below = file.parent / str(base)
        tree = merge(written(read_tree(below, (*seen, file.resolve())), below.parent), tree)
    look_beside(file)
    return tree


def look_beside(file: Path) -> None:
    """A user's own components live beside the YAML, and beside what it extends."""
    beside = str(file.resolve().parent)
    if beside not in sys.path:
        sys.path.insert(0, beside)


def parse_override(override: str) -> dict[str, Any]:
    """`a.b=c` as a tree, its value read as YAML.

    Raises:
        ConfigError: it is not of that form.
    """
    path, equals, value = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"{override!r} is not a change; write path.to.key=value, for example data.split.use=none")
    try:
        tree: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"{override!r}: the value is not YAML: {error}") from error
    for key in reversed(keys):
        tree = {key: tree}
    assert isinstance(tree, dict)
    return tree
