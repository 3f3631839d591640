"""An append-only store of arrays that are found by what they were made from: complete segments, each entry with its checksum."""

# E entries of all rows of a segment, D dimensions

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def key_of(*parts: bytes | str) -> str:
    """What an entry is found by: a hash of all that it was made from."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "little") + data)
    return found.hexdigest()[:32]


@dataclass(frozen=True)
class _Place:
    segment: int
    first: int
    rows: int
    checksum: int


@dataclass
class _Open:
    """A segment that is being written: its rows go to disk at once, its index comes last."""

    places: dict[str, _Place] = field(default_factory=dict)
    rows: int = 0


class ContentStore:
    """Arrays of shape (any, D) in a folder, memory-mapped; what one process has written the next one finds.

    Everything of one recipe is in one folder, whose name holds the recipe's hash. A folder whose recipe, index or bytes are not what they
    say is refused with its name; nothing is repaired or replaced without a word.
    """

    def __init__(self, root: Path, recipe: Mapping[str, Any], dim: int, dtype: npt.DTypeLike) -> None:
        """Open or begin the store of a recipe.

        Args:
            recipe: everything but the content that decides the arrays, JSON-like.

        Raises:
            ValueError: what is there was made by another recipe, or is damaged.
        """
        self.dim, self.dtype = dim, np.dtype(dtype)
        said = {**recipe, "dim": dim, "dtype": self.dtype.str}
        self.folder = root / hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:24]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._places: dict[str, _Place] = {}
        self._maps: list[Array] = []
        file = self.folder / "recipe.json"
        if file.is_file():
            if json.loads(file.read_text()) != json.loads(json.dumps(said)):
                raise self._refusal("it was made by another model or with other settings than its name says")
        else:
            _write_whole(file, json.dumps(said, indent=2))
        for index in sorted(self.folder.glob("*.json")):
            if index.stem.isdigit():
                self._read_segment(index)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    @property
    def bytes(self) -> int:
        """What the arrays take on disk."""
        return sum(mapped.nbytes for mapped in self._maps)

    def get(self, key: str) -> Array:
        """The array of a key, read from the map; its checksum is compared each time.

        Raises:
            ValueError: the bytes are not those that were written.
        """
        place = self._places[key]
        found = self._maps[place.segment][place.first : place.first + place.rows]
        if zlib.crc32(found.tobytes()) != place.checksum:
            raise self._refusal(f"segment {place.segment} is damaged: an entry's checksum is wrong")
        return found

    @contextmanager
    def segment(self) -> Iterator[Writer]:
        """Write a segment; it is there, for this and any later process, when the block ends without an error, and else not at all."""
        number = len(self._maps)
        while (self.folder / f"{number:06}.json").exists():  # of another process that writes here, too
            number += 1
        scratch = self.folder / f".{number:06}.{os.getpid()}.new"
        opened = _Open()
        try:
            with scratch.open("wb") as handle:
                yield Writer(self, opened, handle)
                handle.flush()
                os.fsync(handle.fileno())
            if opened.places:
                data = self.folder / f"{number:06}.bin"
                scratch.replace(data)
                entries = {key: [place.first, place.rows, place.checksum] for key, place in opened.places.items()}
                index = data.with_suffix(".json")
                _write_whole(index, json.dumps({"rows": opened.rows, "entries": entries}))
                self._read_segment(index)
        finally:
            scratch.unlink(missing_ok=True)

    def _read_segment(self, index: Path) -> None:
        try:
            said = json.loads(index.read_text())
            entries, rows = said["entries"], int(said["rows"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._refusal(f"{index.name} is not readable") from error
        data = index.with_suffix(".bin")
        expected = rows * self.dim * self.dtype.itemsize
        if not data.is_file() or data.stat().st_size != expected:
            raise self._refusal(f"{data.name} is missing or has not the {expected:,} bytes that its index names")
        shape = (rows, self.dim)
        mapped: Array = np.memmap(data, self.dtype, "r", shape=shape) if expected else np.empty(shape, self.dtype)
        for key, (first, count, checksum) in entries.items():
            self._places[key] = _Place(len(self._maps), first, count, checksum)
        self._maps.append(mapped)

    def _refusal(self, why: str) -> ValueError:
        return ValueError(f"the cache {self.folder} is refused: {why}. Delete the folder; it is made again from the texts")


class Writer:
    """Adds entries to a segment."""

    def __init__(self, store: ContentStore, opened: _Open, handle: Any) -> None:
        self._store, self._opened, self._handle = store, opened, handle

    def add(self, key: str, array_ED: Array) -> None:
        """One entry; the first of a key stays.

        Raises:
            ValueError: it has another width than the store, or is not finite.
        """
        if array_ED.ndim != 2 or array_ED.shape[1] != self._store.dim:
            raise ValueError(f"entries have shape (any, {self._store.dim}), not {array_ED.shape}")
        if key in self._store or key in self._opened.places:
            return
        data = np.ascontiguousarray(array_ED, self._store.dtype)
        if not np.isfinite(data).all():
            raise ValueError(f"an entry is not finite in {self._store.dtype}: set the precision of what is stored to float32")
        raw = data.tobytes()
        self._handle.write(raw)
        self._opened.places[key] = _Place(-1, self._opened.rows, len(data), zlib.crc32(raw))
        self._opened.rows += len(data)


def _write_whole(file: Path, text: str) -> None:
    scratch = file.with_name(f".{file.name}.{os.getpid()}.new")
    scratch.write_text(text)
    scratch.replace(file)
