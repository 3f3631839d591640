"""A bundle is what is published: a folder of plain files whose hashes are listed in it, verified before it is believed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from genre.writing import whole

FORMAT = 3
"""Raised when other code would not read what is written, or would take it for something else."""
LIST = "bundle.json"
HISTORIES, DISLIKED = "histories.safetensors", "disliked.safetensors"
OUTSIDE = (LIST, "manifest.json")
"""Not in the list: the list itself, and what the run says of the stage that wrote the folder."""
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


class BundleError(ValueError):
    """A folder that is no bundle, or one that is damaged; the message names the file."""


@dataclass(frozen=True)
class Bundle:
    """A verified folder.

    Attributes:
        version: the folder's name, "000012".
        facts: what the publisher wrote down: names of the ranker and encoders, counts, the data it was learnt from.
    """

    folder: Path
    version: str
    facts: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Check every file against its hash.

        Raises:
            BundleError: no bundle, of a format this code does not know, or a file is missing, changed or not in the list.
        """
        listed, facts = _read_list(folder)
        there = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} - set(OUTSIDE)
        if missing := sorted(set(listed) - there):
            raise BundleError(f"{folder}: the bundle's file {missing[0]!r} is missing; publish it again or restore it from a copy")
        if strange := sorted(there - set(listed)):
            raise BundleError(f"{folder}: {strange[0]!r} is not in the bundle's list of files; someone added it after publishing")
        for name, expected in listed.items():
            file = folder / name
            if file.is_symlink() or file.stat().st_size != expected["bytes"] or _sha256(file) != expected["sha256"]:
                raise BundleError(f"{folder}: {name!r} is not what was published (its sha256 differs); publish it again")
        return cls(folder, folder.name, facts)

    def path(self, name: str) -> Path:
        """A file or folder of the bundle."""
        return self.folder / name


def seal(folder: Path, facts: dict[str, Any]) -> None:
    """List every file with its hash, last of all; what is in the folder from then on is the bundle."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not _scratch(file, folder))
    listed = {str(file.relative_to(folder)): {"sha256": _sha256(file), "bytes": file.stat().st_size} for file in files}
    everything = {"genre_bundle": FORMAT, "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "facts": facts, "files": listed}
    with whole(folder / LIST, durable=True) as partial:
        partial.write_text(json.dumps(everything, indent=2) + "\n")


def mapped(file: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a safetensors file, on disk: pages are read when touched and shared by every process that maps them.

    Writing to one changes this process's copy of the page, never the file.

    Raises:
        BundleError: not a safetensors file.
    """
    try:
        with file.open("rb") as handle:
            size = int.from_bytes(handle.read(8), "little")
            header = json.loads(handle.read(min(size, 100_000_000)))
        if not isinstance(header, dict):
            raise ValueError("its header is no mapping")
        content = np.memmap(file, np.uint8, "c", offset=8 + size) if file.stat().st_size > 8 + size else np.empty(0, np.uint8)
        found = {}
        for name, entry in header.items():
            if name != "__metadata__":
                start, stop = entry["data_offsets"]
                found[name] = np.asarray(content[start:stop]).view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{file} is not a safetensors file: {error}") from error
    return found


def user_keys(user_ids: Iterable[str]) -> npt.NDArray[np.uint64]:
    """64 bits of each id's hash: a million users are found in 8 MB, and no id can be read from the file."""
    return np.array([int.from_bytes(hashlib.blake2b(user.encode(), digest_size=8).digest(), "little") for user in user_ids], np.uint64)


def _read_list(folder: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    file = folder / LIST
    if not file.is_file():
        raise BundleError(f"{folder} is no bundle: it has no {LIST}. Make one with: genre publish RUN")
    try:
        written = json.loads(file.read_text())
        version, listed, facts = written["genre_bundle"], written["files"], written["facts"]
        names = [Path(name) for name in listed]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{file} is not a bundle's list of files: {error}") from error
    if version != FORMAT:
        raise BundleError(f"{folder} is a bundle of format {version}; this version of genre reads format {FORMAT}. Publish it again")
    if any(name.is_absolute() or ".." in name.parts for name in names):
        raise BundleError(f"{file} names a file outside the bundle")
    return listed, facts


def _scratch(file: Path, folder: Path) -> bool:
    name = str(file.relative_to(folder))
    return name in (*OUTSIDE, "fingerprint", "meter.json") or file.name.startswith(".")


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
