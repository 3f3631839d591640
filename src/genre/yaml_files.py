"""A YAML file that people write: read as a mapping, or refused in words that name the file and the fix."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml


class Written(str):
    """A string of a YAML file that knows the file's folder: where a relative path begins, though another file extends this one."""

    folder: Path


def written(tree: Any, folder: Path) -> Any:
    """A tree whose strings know their folder; those that know it already came from further away."""
    if isinstance(tree, dict):
        return {key: written(value, folder) for key, value in tree.items()}
    if isinstance(tree, list):
        return [written(value, folder) for value in tree]
    if not isinstance(tree, str) or isinstance(tree, Written):
        return tree
    tree = Written(tree)
    tree.folder = folder
    return tree


def read_mapping(file: Path, holds: str, error: type[ValueError]) -> dict[str, Any]:
    """What is in it.

    Args:
        holds: the keys that it is expected to have, in words; error: what to raise.

    Raises:
        ValueError: of the class `error`; it is not there, no YAML, or no mapping.
    """
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as reason:
        near = difflib.get_close_matches(file.name, [path.name for path in file.parent.glob("*.y*ml")], 1)
        raise error(f"{file}: no such file{f'; is it {near[0]}?' if near else ''}") from reason
    except IsADirectoryError as reason:
        raise error(f"{file} is a folder; name a YAML file") from reason
    except (UnicodeDecodeError, yaml.YAMLError) as reason:
        raise error(f"{file}: not YAML: {reason}") from reason
    if not isinstance(tree, dict):
        raise error(f"{file}: must be a mapping with {holds}, not {type(tree).__name__}")
    return tree
