"""What every command has in common: where it prints, its tables, and the arguments that many take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape as escape_markup
from rich.table import Column, Table

if TYPE_CHECKING:
    from genre.evaluation.ladder import Ladder

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
    """The ladder as a table."""
    header, rows = climbed.table()
    print_list(climbed.caption(), rows, header)


def print_list(title: str, rows: Sequence[Sequence[str | None]], header: Sequence[str]) -> None:
    """A table under its title, or the title alone where there is nothing to list."""
    out.print(f"[bold]{escape(title)}[/]", highlight=False, soft_wrap=True)
    if not rows:
        return
    columns = [Column(escape(name), no_wrap=i == 0) for i, name in enumerate(header)]  # a rung's or an item's name is never cut
    table = Table(*columns, header_style="dim")
    for row in rows:
        table.add_row(*(escape(cell or "") for cell in row))
    out.print(table, highlight=False)


def escape(text: str) -> str:
    """Titles and ids are data: nothing in them is markup."""
    return escape_markup("".join(c if c.isprintable() else " " for c in text))
