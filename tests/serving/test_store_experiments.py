"""Experiments and assignments in the store: changed in turn, logged once, the same in both databases."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from genre.experiments.definition import ExperimentError
from genre.serving.live import parse_live
from genre.serving.store import assignments, events, experiments
from genre.serving.store.database import Database
from genre.serving.store.schema import assignments as table
from genre.serving.store.schema import roots

CONFIG = parse_live(
    {"name": "x", "variants": {"a": {}, "b": {}}, "metrics": {"clicks": {"use": "mean", "event": "click"}}, "primary": "clicks"}
)


def shown(unit: str, variant: str, time: float) -> dict[str, Any]:
    return {"unit": unit, "variant": f"x/{variant}", "time": time, "surface": "default", "request_id": f"{unit}{time}"}


def test_a_course_is_kept_and_counted(database: Database) -> None:
    with database.write() as connection:
        assert experiments.revision(connection) == 0
        experiments.define(connection, CONFIG, "test")
        experiments.define(connection, CONFIG.model_copy(update={"days": 20}), "test")
        assert experiments.start(connection, experiments.get(connection, "x").config, "test").config.days == 20
        assert experiments.revision(connection) == 3
        with pytest.raises(ExperimentError, match="definition is fixed"):
            experiments.define(connection, CONFIG, "test")
        assert [one.config.name for one in experiments.running(connection)] == ["x"]
        now = 4e9
        assert [experiments.claim(connection, "x", at, 60) for at in (now, now + 59, now + 60)] == [True, False, True]
        experiments.stop(connection, "x", "done", "test")
        assert not experiments.claim(connection, "x", now + 600, 60)
        assert experiments.running(connection) == []
        with pytest.raises(experiments.Unknown, match="there is x"):
            experiments.get(connection, "y")


def test_a_unit_is_logged_once_a_variant(database: Database) -> None:
    with database.write() as connection:
        assert assignments.log_shown(connection, [shown("user:1", "a", 1), shown("user:2", "b", 1), shown("user:1", "a", 2)]) == 2
        assert assignments.log_shown(connection, [shown("user:1", "a", 3), {"variant": None}]) == 0
        assert connection.execute(sa.select(table.c.time).order_by(table.c.seq)).scalars().all() == [1, 1]


def test_merged_units_are_assigned_as_the_one_shown_first(database: Database) -> None:
    with database.write() as connection:
        experiments.define(connection, CONFIG, "test")
        experiments.start(connection, experiments.get(connection, "x").config, "test")
        assignments.log_shown(connection, [shown("session:s", "a", 5), shown("user:3", "b", 4)])

        def root(unit: str) -> str:
            return assignments.root_of(connection, unit)

        events.merge(connection, "session:s", "user:1")
        assert (root("user:1"), root("session:s")) == ("session:s", "session:s")
        events.merge(connection, "session:t", "user:1")
        assert root("session:t") == "session:s", "nobody saw anything in that session"
        events.merge(connection, "user:1", "user:3")
        assert {root(unit) for unit in ("session:s", "session:t", "user:1", "user:3")} == {"user:3"}, "who was shown it first of all"
        assert "user:3" not in connection.execute(sa.select(roots.c.unit)).scalars().all()


def test_without_an_experiment_a_user_is_assigned_by_its_own_id(database: Database) -> None:
    with database.write() as connection:
        events.merge(connection, "session:s", "user:1")
        assert assignments.root_of(connection, "session:s") == "user:1"
        assert assignments.root_of(connection, "user:1") == "user:1"
