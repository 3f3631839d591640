"""Pages: how HTML is made from templates, and the look that self-contained pages share."""

from __future__ import annotations

from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from genre.writing import whole


def environment(package: str) -> Environment:
    """A package's templates, and those of this one: `page.css`, `tables.html`. What is shown is data: all of it is escaped."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("genre.pages")]),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def write_page(file: Path, text: str) -> None:
    """Write a page, complete or absent."""
    with whole(file) as partial:
        partial.write_text(text, encoding="utf-8")
