"""JSON lines, in bounded memory: every line that is no JSON object named by its number."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from genre.data.readers.delimited import ROW
from genre.data.readers.encoding import open_bytes
from genre.data.readers.rejection import ReadError, Rejections

LINES = 20_000
"""Lines in one frame."""

Record = dict[str, Any]


def records(path: Path, rejections: Rejections, parse: Callable[[str], Any] = json.loads) -> Iterator[tuple[int, Record]]:
    """Line numbers from 1 and the objects found there.

    Args:
        parse: text to value; whatever is no value by raising ValueError is rejected.

    Raises:
        ReadError: the file is one JSON array instead of lines.
    """
    with open_bytes(path) as file:
        for row, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8-sig" if row == 1 else "utf-8").strip()
                value = parse(text) if text else None
                # Half of a surrogate pair can be escaped in JSON, but no text can hold it.
                if "\\ud" in text or "\\uD" in text:
                    json.dumps(value, ensure_ascii=False).encode()
            except UnicodeDecodeError:
                reason = "bytes that are not UTF-8: save the file as UTF-8"
            except UnicodeEncodeError:
                reason = "half a surrogate pair: not valid Unicode"
            except (ValueError, RecursionError):
                reason = "not JSON"
            else:
                if isinstance(value, dict):
                    yield row, value
                    continue
                reason = "JSON, but not an object" if text else "blank line"
            if row == 1 and line.lstrip().startswith(b"["):
                raise ReadError(f"{path}: this is a JSON array; write one object a line (jq -c '.[]' old.json > new.jsonl)")
            rejections.add(path, row, reason, line.decode("utf-8", "replace").rstrip("\r\n"))


def jsonl(path: Path, rejections: Rejections, columns: Sequence[str] | None = None, plain: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
    """Frames of ROW and text columns; a column that holds only lists becomes a list of texts, objects stay JSON.

    Args:
        columns: those wanted; None takes all keys, which may differ from frame to frame.
        plain: columns that must not hold a list or an object; such lines are rejected.
    """
    lines = records(path, rejections)
    while batch := list(islice(lines, LINES)):
        good: list[tuple[int, Record]] = []
        for row, record in batch:
            nested = [name for name in plain if isinstance(record.get(name), list | dict)]
            if not nested:
                good.append((row, record))
            else:
                rejections.add(path, row, f"{nested[0]} holds a list or an object, not text or a number", json.dumps(record))
        names = list(columns) if columns is not None else list(dict.fromkeys(name for _, record in good for name in record))
        numbers = pl.Series(ROW, [row for row, _ in good], pl.Int64)
        yield pl.DataFrame([numbers, *(_column(name, [record.get(name) for _, record in good]) for name in names)])


def _column(name: str, values: list[Any]) -> pl.Series:
    there = [value for value in values if value is not None]
    if there and all(isinstance(value, list) for value in there):
        lists = [None if value is None else [plain_text(entry) for entry in value if entry is not None] for value in values]
        return pl.Series(name, lists, pl.List(pl.String))
    return pl.Series(name, [plain_text(value) for value in values], pl.String)


def plain_text(value: Any) -> str | None:
    """A JSON value as text: 12.0 is "12", NaN is nothing, lists and objects stay JSON."""
    if value is None or isinstance(value, str):
        return value
    if type(value) is int:  # not a bool, which JSON writes as true
        return str(value)
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    return json.dumps(value, ensure_ascii=False)
