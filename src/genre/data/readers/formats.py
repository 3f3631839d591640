"""Which format a file has, by its name, and the files that a path stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from genre.data.readers.rejection import ReadError

Format = Literal["delimited", "jsonl", "parquet"]

SUFFIXES: dict[str, Format] = {
    ".csv": "delimited", ".tsv": "delimited", ".txt": "delimited", ".inter": "delimited", ".item": "delimited", ".user": "delimited",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
READABLE = ".csv, .tsv, .txt, .jsonl or .ndjson (each also with .gz), .parquet, or a folder of such files"


def format_of(path: Path) -> Format:
    """The format that the name promises; `.gz` may follow the suffix of a text format.

    Raises:
        ReadError: no format has this suffix; the message lists those that can be read.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    zipped = suffixes[-1:] == [".gz"]
    suffix = (suffixes[:-1] if zipped else suffixes)[-1:]
    found = SUFFIXES.get(suffix[0]) if suffix else None
    if found is None or (zipped and found == "parquet"):
        raise ReadError(f"{path}: cannot tell the format by the name's end; save it as {READABLE}")
    return found


def parts(path: Path) -> list[Path]:
    """The files to read: the file itself, or all files of a folder that have a readable suffix, sorted by name.

    Raises:
        ReadError: there is no such file, or the folder has no file that can be read.
    """
    if not path.exists():
        raise ReadError(f"{path}: no such file")
    if not path.is_dir():
        format_of(path)
        return [path]
    inside = sorted(file for file in path.rglob("*") if file.is_file() and not file.relative_to(path).as_posix().startswith((".", "_")))
    found = [file for file in inside if file.suffix.lower() in SUFFIXES or file.suffix.lower() == ".gz"]
    if not found:
        raise ReadError(f"{path} is a folder without a readable file in it; name a file, or put {READABLE}")
    kinds = {format_of(file) for file in found}
    if len(kinds) > 1:
        raise ReadError(f"{path} is a folder that mixes {', '.join(sorted(kinds))} files; name one file, or one folder of parts alike")
    return found
