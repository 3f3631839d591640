"""Items: what one is, how it does, what is like it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from genre.dashboard.charts import Chart
from genre.dashboard.frame import Frame, render
from genre.dashboard.lists import Shown

IMAGES = ("image", "image_url", "image_link", "img", "picture", "poster", "cover", "thumbnail")
"""Attributes that are taken for the address of an image; it is loaded over https, or from this server."""


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
    """Attributes: `query` is what was looked for; `item` the one opened; `found` those to choose from; `more` where the next are.

    `sample` says which lists the figures are of.
    """

    frame: Frame
    query: str = ""
    item: Item | None = None
    found: tuple[ItemLine, ...] = ()
    total: int = 0
    more: str = ""
    sample: str = ""


def picture(attributes: Mapping[str, object]) -> str | None:
    """The address of an item's image, if an attribute is called like one."""
    found = (attributes.get(name) for name in IMAGES)
    return next((value for value in found if isinstance(value, str) and value), None)


def render_items(view: ItemsView) -> str:
    """The page: an item, or those found."""
    return render("items.html", view, "items")
