"""The desk: what a page or an action is given of a request by somebody logged in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa

from genre.dashboard.frame import Frame, Notice, Problem
from genre.runs import VERSION
from genre.serving.contract import Engine
from genre.serving.engine import BundleEngine
from genre.serving.project import Project
from genre.serving.store import registry

T = TypeVar("T")


@dataclass(frozen=True)
class Desk:
    """Somebody's request. Works on a thread of its own: what it does may wait.

    Attributes:
        asked: the query of a page, the fields of a form; of fields that came several times the last.
        several: the same with every value.
    """

    project: Project
    key_id: str
    csrf: str
    request_id: str
    asked: Mapping[str, str]
    several: Mapping[str, list[str]]
    notice: Notice | None = None

    def __getitem__(self, name: str) -> str:
        """What was asked, without blanks around it; empty if nothing was."""
        return self.asked.get(name, "").strip()

    def read(self, question: Callable[[sa.Connection], T]) -> T:
        """Ask the store. Raises Unavailable."""
        with self.project.database.read() as connection:
            return question(connection)

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Change the store; it is on the disk when this returns. Raises Unavailable."""
        return self.project.writer.submit(work).result()

    @property
    def who(self) -> tuple[str, str]:
        """For the audit log: the actor and the request."""
        return f"key {self.key_id}, dashboard", self.request_id

    @property
    def engine(self) -> Engine | None:
        """What answers now."""
        return None if self.project.serving is None else self.project.serving.engine

    @property
    def bundled(self) -> BundleEngine | None:
        """The same, where one can look into it."""
        return self.engine if isinstance(self.engine, BundleEngine) else None

    def title(self, item_id: str) -> str:
        """What to call an item; nothing if nothing is known."""
        engine = self.bundled
        if engine is not None:
            i = engine.world.catalogue.index.get(item_id)
            return "" if i is None else engine.world.catalogue.shown[i]
        item = None if self.engine is None else self.engine.item(item_id)
        return "" if item is None else str(item.attributes.get("title") or "")

    def frame(self, problem: Problem | None = None) -> Frame:
        """Of the page that answers."""
        return Frame(f"key {self.key_id}", self.csrf, self._serving(), VERSION, self.notice, problem)

    def _serving(self) -> str:
        serving = self.project.serving
        return f"{self.project.name}: no model is loaded yet" if serving is None else f"{self.project.name}: model {serving.model} answers"


@dataclass(frozen=True)
class Done:
    """What an action did: where to go next, and what to say there."""

    to: str
    notice: Notice


def refused(to: str, why: str) -> Done:
    """An action that was not done."""
    return Done(to, Notice(why, "bad"))


def models_now(connection: sa.Connection) -> tuple[registry.Roles, list[dict[str, Any]]]:
    """Who serves, and every registered model, newest first."""
    return registry.now(connection), registry.known(connection)
