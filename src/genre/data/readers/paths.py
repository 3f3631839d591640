"""Paths in a configuration: relative to the YAML that names them, stored absolute, checked to be there."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo

from genre.yaml_files import Written


def placed(path: str | Path, info: ValidationInfo) -> Path:
    """The absolute path that a YAML file means: relative to the file that it is written in."""
    folder = path.folder if isinstance(path, Written) else (info.context or {}).get("folder") or Path.cwd()
    # Not resolve(): a link to today's export shall stay that link.
    return Path(os.path.normpath(Path(folder).absolute() / Path(path).expanduser()))


def _placed(path: Any, info: ValidationInfo) -> Any:
    return placed(path, info) if isinstance(path, str | Path) else path


def _located(path: Any, info: ValidationInfo) -> Any:
    absolute = _placed(path, info)
    if isinstance(absolute, Path) and (info.context or {}).get("check_files", True) and not absolute.exists():
        raise ValueError(f"there is no {absolute}; {_hint(absolute)}")
    return absolute


def _hint(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        missing = next(part for part in reversed(path.parents) if not part.is_dir())
        return f"not even the folder {missing}. A relative path starts at the YAML's folder"
    names = sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))
    near = difflib.get_close_matches(path.name, names, 1)
    if near:
        return f"is it {near[0]}?"
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    return f"in that folder: {shown or 'nothing'}. A relative path starts at the YAML's folder"


NewPath = Annotated[Path, BeforeValidator(_placed)]
"""The same for a file or folder that need not be there."""
DataPath = Annotated[Path, BeforeValidator(_located)]
"""An existing file or folder. Validate with `context={"folder": ...}` to say where relative paths start (else the working
folder), and with `"check_files": False` to accept a saved configuration whose source files have gone."""
