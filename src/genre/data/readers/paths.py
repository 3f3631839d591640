"""Paths in a configuration: relative to the YAML that names them, stored absolute, checked to be there."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo


def _located(path: Path, info: ValidationInfo) -> Path:
    context = info.context or {}
    base = Path(context.get("folder") or Path.cwd())
    # Not resolve(): a link to today's export shall stay that link.
    absolute = Path(os.path.normpath(base.absolute() / path.expanduser()))
    if context.get("check_files", True) and not absolute.exists():
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


DataPath = Annotated[Path, AfterValidator(_located)]
"""An existing file or folder. Validate with `context={"folder": ...}` to say where relative paths start (else the working
folder), and with `"check_files": False` to accept a saved configuration whose source files have gone."""
