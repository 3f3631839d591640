"""Text templates: what an item says, from the columns of the catalogue: "{title} [by {brand}]: {categories}"."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import polars as pl
from pydantic import AfterValidator

from genre.data.readers.values import BLANK

TOKEN = re.compile(r"(?P<literal>\{\{|\}\}|\[\[|\]\]|[^{}\[\]]+)|\{(?P<column>[^{}]+)\}|(?P<open>\[)|(?P<close>\])|(?P<stray>.)", re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """Literal text, or a column's cell, in some optional section (0: in none, always there)."""

    text: str
    is_column: bool
    section: int


def parse(template: str) -> list[Piece]:
    """The pieces of a template.

    `{column}` is a cell, `[...]` a section that vanishes where any of its cells is blank; `{{ }} [[ ]]` are the characters themselves.

    Raises:
        ValueError: a brace or bracket without its partner, a section within a section or without a column.
    """
    pieces: list[Piece] = []
    section, inside = 0, False
    for token in TOKEN.finditer(template):
        kind, found = token.lastgroup, token.group()
        if kind == "literal":
            pieces.append(Piece(found[0] if found in ("{{", "}}", "[[", "]]") else found, False, section if inside else 0))
        elif kind == "column":
            pieces.append(Piece(token["column"].strip(), True, section if inside else 0))
        elif kind == "open" and not inside:
            section, inside = section + 1, True
        elif kind == "close" and inside:
            inside = False
            if not any(piece.section == section and piece.is_column for piece in pieces):
                raise ValueError(_wrong(template, "a section [...] needs a {column} in it; for plain brackets write [[ ]]"))
        else:
            hint = "sections [...] cannot be nested" if kind == "open" else f"for a plain {found} write {found}{found}"
            raise ValueError(_wrong(template, f"{found!r} at character {token.start() + 1} has no partner; {hint}"))
    if inside:
        raise ValueError(_wrong(template, "a section begins with [ and has no ]; for a plain [ write [["))
    return pieces


def fields(template: str) -> list[str]:
    """The columns that a template names, each once."""
    return list(dict.fromkeys(piece.text for piece in parse(template) if piece.is_column))


def render(items: pl.DataFrame, template: str) -> pl.Series:
    """One text a row. Blank cells say nothing, lists and "a|b" become "a, b", white space is squeezed.

    Raises:
        ValueError: a column that is not there, or whose cells are no text (a struct, bytes), or a template that cannot be read.
    """
    pieces = parse(template)
    for name in fields(template):
        if name not in items.columns:
            near = difflib.get_close_matches(name, items.columns, 1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ValueError(
                f"{_wrong(template, f'there is no column {name!r}{hint}')} The items have {', '.join(items.columns) or 'none'}"
            )
    parts = list(_expressions(pieces, items.schema))
    if not parts:
        return pl.repeat("", len(items), dtype=pl.String, eager=True).alias("text")
    text = pl.concat_str(parts).str.replace_all(r"\s+", " ").str.strip_chars()
    return items.with_columns(text.alias("text"))["text"]


def _checked(template: str) -> str:
    parse(template)
    return template


Template = Annotated[str, AfterValidator(_checked)]
"""A template in a configuration: its braces and brackets are checked at load, its columns when the items are known."""


def _wrong(template: str, why: str) -> str:
    return f"text template {template!r}: {why}"


def _expressions(pieces: list[Piece], schema: pl.Schema) -> Iterator[pl.Expr]:
    blanks: dict[int, pl.Expr] = {}
    for piece in pieces:
        if piece.is_column and piece.section:
            blank = _cell(piece.text, schema[piece.text]) == ""
            blanks[piece.section] = blanks[piece.section] | blank if piece.section in blanks else blank
    for piece in pieces:
        shown = _cell(piece.text, schema[piece.text]) if piece.is_column else pl.lit(piece.text)
        yield pl.when(blanks[piece.section]).then(pl.lit("")).otherwise(shown) if piece.section else shown


def _cell(column: str, dtype: pl.DataType) -> pl.Expr:
    """A cell as readable text, never null; what other tools write for nothing ("None", "nan") is nothing."""
    cell = pl.col(column)
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else dtype
    if isinstance(inner, pl.Struct | pl.List | pl.Array | pl.Binary | pl.Object):
        raise ValueError(
            f"the column {column!r} of the items holds {dtype}, which is no text; take a column of texts, numbers or lists of them"
        )
    if isinstance(dtype, pl.List | pl.Array):
        entries = cell.cast(pl.List(inner)).list.eval(_scalar(pl.element(), inner))
        return entries.list.eval(pl.element().filter(pl.element() != "")).list.join(", ").fill_null("")
    return _scalar(cell, dtype)


def _scalar(cell: pl.Expr, dtype: object) -> pl.Expr:
    if isinstance(dtype, pl.Float32 | pl.Float64):
        # 1995.0 is a year that had a gap in its column, not a decimal fraction.
        whole = (cell == cell.floor()) & (cell.abs() < 1e15)
        written = cell.fill_nan(None)
        cell = pl.when(whole).then(written.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(written.cast(pl.String))
    text = cell.cast(pl.String).str.strip_chars()
    return pl.when(text.is_in(BLANK)).then(pl.lit("")).otherwise(text.str.replace_all(r"\s*\|\s*", ", ")).fill_null("")
