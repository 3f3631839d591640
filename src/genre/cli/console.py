"""What every command has in common: where it prints, its tables, and the arguments that many take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape as escape_markup
from rich.table import Column, Table

if TYPE_CHECKING:
    from genre.evaluation.ladder import Ladder

COSTS = ("CPU s", "seconds", "peak MB")
"""Columns of the ladder that a narrow terminal goes without, the first of them first."""

out = Console()
err = Console(stderr=True)

ConfigFile = Annotated[Path, typer.Argument(help="A configuration, NAME.yaml.")]
RunFolder = Annotated[Path, typer.Argument(help="A run's folder, runs/NAME.")]
StoreUrl = Annotated[
    str | None, typer.Option("--database", envvar="GENRE_DATABASE", help="postgresql://user@host/name; RUN/store.db (SQLite) by default.")
]
Changes = Annotated[list[str] | None, typer.Argument(help="Changes on top: path.to.key=value.")]


def pairs_of(option: str, given: Sequence[str] | None, form: str = "name=value") -> dict[str, str]:
    """What an option says that may be given several times, each `name=value`.

    Raises:
        ValueError: it is of another form.
    """
    pairs = {}
    for pair in given or []:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ValueError(f"{option} {pair!r}: write {form}")
        pairs[key] = value
    return pairs


def print_ladder(climbed: Ladder) -> None:
    """The ladder as a table. Where the terminal is narrow, columns are left out, and named below, so that no figure is cut."""
    header, rows = climbed.table()
    left_out: list[str] = []
    for name in (*COSTS, *(name for name in header if "@" in name and name != climbed.main)):
        if name in header and out.width < sum(_narrowest(header, rows)) + 3 * len(header) + 1:
            at = header.index(name)
            header, rows = header[:at] + header[at + 1 :], [row[:at] + row[at + 1 :] for row in rows]
            left_out.append(name)
    print_list(climbed.caption(), rows, header, _narrowest(header, rows))
    if left_out:
        out.print(f"left out at {out.width} columns: {', '.join(left_out)}", highlight=False, soft_wrap=True)


def _narrowest(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """How wide each column is at least: figures and names stay on one line, headers and verdicts may break between words."""
    cells = [[row[at] for row in rows] for at in range(len(header))]
    cells = [" ".join(column).split() if name == "verdict" else column for name, column in zip(header, cells, strict=True)]
    return [max(map(cell_len, [*name.split(), *column])) for name, column in zip(header, cells, strict=True)]


def say(text: str) -> None:
    """A line, whatever is in it."""
    out.print(escape(text), highlight=False, soft_wrap=True)


def print_list(title: str, rows: Sequence[Sequence[str | None]], header: Sequence[str], widths: Sequence[int] = ()) -> None:
    """A table under its title, or the title alone where there is nothing to list; `widths`: of the columns, at least."""
    out.print(f"[bold]{escape(title)}[/]", highlight=False, soft_wrap=True)
    if not rows:
        return
    least: Sequence[int | None] = widths or [None] * len(header)
    columns = [  # a rung's or an item's name is never broken, and nothing is cut
        Column(escape(name), no_wrap=i == 0, overflow="fold", min_width=width)
        for i, (name, width) in enumerate(zip(header, least, strict=True))
    ]
    table = Table(*columns, header_style="dim")
    for row in rows:
        table.add_row(*(escape(cell or "") for cell in row))
    out.print(table, highlight=False)


def escape(text: str) -> str:
    """Titles and ids are data: nothing in them is markup."""
    return escape_markup("".join(c if c.isprintable() else " " for c in text))
