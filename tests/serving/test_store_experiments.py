"""Experiments in the store: started once, stopped once, one first show a unit, kept by who logs in."""

from __future__ import annotations

from typing import Any

import pytest

from genre.experiments.definition import ExperimentConfig, ExperimentError
from genre.experiments.loading import parse_experiment
from genre.serving.contract import Trace
from genre.serving.store import audit, events, experiments, exposures
from genre.serving.store.database import Database


def defined(name: str = "first", **more: Any) -> ExperimentConfig:
    tree = {
        "name": name,
        "surface": "home",
        "variants": {"control": {}, "new": {}},
        "metrics": {"clicks": {"use": "mean", "event": "click"}},
    }
    return parse_experiment({**tree, "primary": "clicks", **more})


def show(request_id: str, unit: str, variant: str | None, experiment: str | None = "first") -> exposures.Shown:
    trace = Trace(request_id, 1.0 + int(request_id), "home", unit, "000001", "greedy", variant, experiment=experiment)
    return trace, "recommend", None, None


def test_an_experiment_starts_once_and_stops_once_and_the_audit_knows(database: Database) -> None:
    with database.write() as connection:
        started = experiments.start(connection, defined(), "me", "r1")
        assert experiments.start(connection, defined(), "me", "r2") == started, "asked again after a timeout"
        with pytest.raises(ExperimentError, match="starts once"):
            experiments.start(connection, defined(days=30), "me")
        assert experiments.running(connection) == experiments.known(connection) == [started]
        stopped = experiments.stop(connection, "first", "it was enough ", "me")
        assert stopped == experiments.stop(connection, "first", "it was enough", "me")
        with pytest.raises(ExperimentError, match="nothing to stop"):
            experiments.stop(connection, "first", "again", "me")
        with pytest.raises(ExperimentError, match="starts once"):
            experiments.start(connection, defined(), "me")
        with pytest.raises(experiments.Unknown, match="'last'"):
            experiments.stop(connection, "last", "why", "me")
    with database.read() as connection:
        assert experiments.running(connection) == []
        assert experiments.get(connection, "first") == stopped
        lines = audit.newest(connection)
    assert [(line["action"], line["target"]) for line in lines] == [("stop experiment", "first"), ("start experiment", "first")]
    assert lines[0]["details"] == {"reason": "it was enough"}


def test_a_list_can_be_of_one_experiment(database: Database) -> None:
    with database.write() as connection:
        experiments.start(connection, defined(layer={"name": "a", "stop": 0.5}), "me")
        with pytest.raises(ExperimentError, match="overlap in layer 'a'"):
            experiments.start(connection, defined("second", layer={"name": "a"}), "me")
        with pytest.raises(ExperimentError, match="both on surface 'home'"):
            experiments.start(connection, defined("second"), "me")
        experiments.start(connection, defined("second", layer={"name": "a", "start": 0.5}), "me")
        experiments.start(connection, defined("third", surface="item"), "me")
        assert [found.config.name for found in experiments.running(connection)] == ["first", "second", "third"]


def test_a_unit_is_logged_at_its_first_show_and_keeps_what_it_saw_when_it_logs_in(database: Database) -> None:
    with database.write() as connection:
        exposures.append(connection, [show("1", "session:s", "new"), show("2", "session:s", "new"), show("3", "user:bob", None, None)])
        exposures.append(connection, [show("4", "session:s", "new"), show("5", "session:s", "control", "second")])
        assert experiments.first_shown(connection, "session:s") == ("session:s", {"first": "new", "second": "control"})
        assert experiments.first_shown(connection, "user:bob") == ("user:bob", {})

        exposures.append(connection, [show("6", "user:ann", "control")])
        events.merge(connection, "session:s", "user:ann")
        for unit in ("user:ann", "session:s"):
            assert experiments.first_shown(connection, unit) == ("user:ann", {"first": "control", "second": "control"}), "her own stays"
        exposures.append(connection, [show("7", "session:s", "control"), show("8", "session:new", "new")])
        events.merge(connection, "session:new", "user:cid")
        assert experiments.first_shown(connection, "user:cid") == ("user:cid", {"first": "new"})
        line = exposures.get(connection, "7")
        assert line is not None
        assert (line["experiment"], line["variant"]) == ("first", "control")


def test_guardrails_are_looked_at_by_one_worker_at_a_time(database: Database) -> None:
    with database.write() as connection:
        experiments.start(connection, defined(), "me")
        assert not experiments.due(connection, "first", 3600)
        assert not experiments.due(connection, "second", 0)
        assert [experiments.due(connection, "first", -1), experiments.due(connection, "first", 60)] == [True, False]
        experiments.stop(connection, "first", "enough", "me")
        assert not experiments.due(connection, "first", -1)
