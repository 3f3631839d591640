"""Items: what one is, how it does, what is like it."""

from __future__ import annotations

from dataclasses import dataclass

from genre.dashboard.charts import Chart
from genre.dashboard.frame import Frame, render
from genre.dashboard.lists import Shown


@dataclass(frozen=True)
class ItemLine:
    """An item in a list."""

    item_id: str
    title: str
    shown: int
    clicks: int
    available: bool = True


@dataclass(frozen=True)
class Item:
    """An item. `attributes` are a label and a text a line; `text` is what the encoders read."""

    item_id: str
    title: str = ""
    image: str | None = None
    available: bool = True
    attributes: tuple[tuple[str, str], ...] = ()
    text: str = ""
    counts: tuple[tuple[str, float], ...] = ()
    course: Chart | None = None
    neighbours: tuple[Shown, ...] = ()


@dataclass(frozen=True)
class ItemsView:
    """Attributes: `query` is what was looked for, `item` the one opened, `found` those to choose from, `more` where the next are."""

    frame: Frame
    query: str = ""
    item: Item | None = None
    found: tuple[ItemLine, ...] = ()
    total: int = 0
    more: str = ""


def render_items(view: ItemsView) -> str:
    """The page: an item, or those found."""
    return render("items.html", view, "items")
