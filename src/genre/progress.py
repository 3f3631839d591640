"""Progress bars: shown on a terminal once something has taken two seconds, silent otherwise."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")

_ABOUT: ContextVar[str] = ContextVar("about", default="")

PATIENCE = 2.0
"""Seconds before a bar appears."""


def track(items: Iterable[T], what: str, total: int | None = None, done: int = 0) -> Iterator[T]:
    """Pass the items through, and show how far they are.

    Args:
        what: what is being done, "training text".
        total: how many there will be, if `items` cannot say.
        done: how many were done before (a resumed run).
    """
    if total is None and isinstance(items, Sized):
        total = len(items) + done
    started = time.monotonic()
    bar: Progress | None = None
    try:
        for finished, item in enumerate(items, done):
            if bar is None and time.monotonic() - started > PATIENCE and enabled():
                columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
                bar = Progress(*columns, console=Console(stderr=True), transient=True)
                task = bar.add_task(_ABOUT.get() + what, total=total)
                bar.start()
            if bar is not None:
                bar.update(task, completed=finished)
            yield item
    finally:
        if bar is not None:
            bar.stop()


@contextmanager
def about(name: str) -> Iterator[None]:
    """Bars within begin with this name: of two rankers of one kind it can be told which is at work."""
    token = _ABOUT.set(f"{name}: ")
    try:
        yield
    finally:
        _ABOUT.reset(token)


def enabled() -> bool:
    """On a terminal, unless GENRE_PROGRESS=0; GENRE_PROGRESS=1 shows bars elsewhere too."""
    wish = os.environ.get("GENRE_PROGRESS", "")
    return wish != "0" and (wish == "1" or sys.stderr.isatty())
