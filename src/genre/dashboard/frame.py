"""The frame around every page: who is logged in, what is served, what just happened, what went wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from jinja2 import Environment
from markupsafe import Markup, escape

from genre import pages
from genre.dashboard.assets import ROOT, assets

State = Literal["good", "warn", "bad", "idle"]
PAGES = {
    "Now": {"overview": "Overview", "surfaces": "Surfaces", "requests": "Requests"},
    "Browse": {"users": "Users", "items": "Items"},
    "Decide": {"models": "Models", "experiments": "Experiments", "off-policy": "Off-policy"},
    "Care": {"data": "Data quality", "operations": "Jobs and keys"},
}
"""The navigation; a page lives at ROOT/NAME, the overview at ROOT."""


@dataclass(frozen=True)
class Notice:
    """What the last action did, in a sentence."""

    text: str
    state: State = "good"


@dataclass(frozen=True)
class Problem:
    """Why there is nothing to show: what happened, and what to do. `command` is one to copy."""

    title: str
    text: str
    command: str | None = None


@dataclass(frozen=True)
class Frame:
    """Attributes: `csrf` goes into every form; `serving` says which model answers; a `problem` takes the place of the page's content."""

    user: str
    csrf: str
    serving: str = ""
    version: str = ""
    notice: Notice | None = None
    problem: Problem | None = None


def render(template: str, view: Any, active: str, **more: Any) -> str:
    """A page as text. Everything in a view is data: titles and ids from anywhere are escaped."""
    return environment().get_template(template).render(view=view, frame=view.frame, active=active, **more)


@cache
def environment() -> Environment:
    """Templates with autoescaping and filters for numbers, times and addresses."""
    made = pages.environment("genre.dashboard")
    made.globals |= {"ROOT": ROOT, "PAGES": PAGES, "asset": lambda name: assets()[name].address}
    made.filters |= {
        "count": count,
        "percent": percent,
        "number": number,
        "ms": milliseconds,
        "when": _time,
        "q": in_address,
        "image": image,
        "local": local,
        "labelled": labelled,
    }
    return made


def count(value: float | None) -> str:
    """1234567 as 1,234,567; a dash where nothing is known."""
    return "–" if value is None else f"{value:,.0f}"


def percent(value: float | None) -> str:
    """0.0312 as 3.12 %."""
    return "–" if value is None else f"{100 * value:.3g} %"


def number(value: float | None) -> str:
    """Four digits, and no more than they say."""
    return "–" if value is None else f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def milliseconds(value: float | None) -> str:
    """12.3 ms, or seconds from a thousand on."""
    return "–" if value is None else f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.3g} ms"


def when(seconds: float | None) -> str:
    """Unix seconds as a time in UTC."""
    return "–" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _time(seconds: float | None) -> str:
    return when(seconds) if seconds is None else Markup("<time>{}</time>").format(when(seconds))


def labelled(rows: Markup, heads: Sequence[str]) -> Markup:
    """Rows of a table, each cell with the name of its column, for where there is no room for a head above it."""
    column = 0

    def named(tag: re.Match[str]) -> str:
        nonlocal column
        if tag[0] == "<tr":
            column = 0
            return tag[0]
        column += 1
        return f'{tag[0]} data-label="{escape(heads[column - 1].removeprefix("#"))}"'

    return Markup(re.sub(r"<(?:tr|td|th)\b", named, rows))  # it was markup, and what is added is escaped


def in_address(value: str) -> str:
    """Text as part of an address's query, whatever it holds."""
    return quote(value, safe="")


def local(address: str) -> str:
    """The address of a page of ours; anything else leads to the overview."""
    return address if address == ROOT or address.startswith((f"{ROOT}/", f"{ROOT}?")) else ROOT


def image(address: str | None) -> str | None:
    """The address of an image if a browser should be asked to load it: https or this server, nothing else."""
    if not address:
        return None
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    here = not parts.scheme and not parts.netloc and address.startswith("/") and "\\" not in address
    return address if here or (parts.scheme == "https" and parts.netloc) else None
