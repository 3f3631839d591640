"""What pages show of items: a line of a list, a line of a history."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shown:
    """An item of a list. `change` says how a rule moved it: new, gone, up 3; `image` is an address, loaded only if https or ours."""

    rank: int
    item_id: str
    title: str = ""
    score: float | None = None
    why: str = ""
    image: str | None = None
    change: str = ""


@dataclass(frozen=True)
class Did:
    """An event of a user; `time` in unix seconds."""

    time: float
    event: str
    item_id: str
    title: str = ""
    value: float | None = None
    surface: str = ""
