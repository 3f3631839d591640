"""Experiments of the past, one of each end: something to ship, a guardrail that broke, arms of the wrong sizes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genre.dashboard.live.experiments import parsed
from genre.experiments.assignment import Assigner
from genre.experiments.state import Experiment
from genre.serving.contract import Trace
from genre.serving.findings import analysed
from genre.serving.live import pinned
from genre.serving.settings import open_store
from genre.serving.store import events, experiments, exposures, registry, schema
from genre.serving.store.assignments import label
from genre.serving.store.events import unit_of

DAY = 86_400.0
DAYS, GUESTS = 14, 1600
PLACES = 3


@dataclass(frozen=True)
class Past:
    """What happened to the treatment, in front of a control of half a click a list and a few hides that takes 20 ms."""

    name: str
    treatment: str
    hypothesis: str
    clicks: float = 0.5
    ms: float = 20.0
    logged: float = 1.0
    """The share of its lists that reached the log."""
    days: float = DAYS
    """After so many it was stopped."""
    reason: str = ""
    """By whom it is no matter; without one, by what was found."""

    def definition(self) -> str:
        """As it was written down."""
        return f"""
name: {self.name}
hypothesis: {self.hypothesis}
surface: home
variants: {{now: {{}}, {self.treatment}: {{serve: {{candidates: 300}}}}}}
metrics: {{clicks: {{use: mean, event: click}}, hides: {{use: mean, event: hide, better: lower}}}}
primary: clicks
guardrails: {{hiding: {{use: metric, metric: hides, margin: 0.5}}, slow: {{use: latency, margin: 0.5}}}}
planned_units: {GUESTS}
cuped_days: null
"""


ENDS = (
    Past("wider-net", "wider", "More candidates find better items.", clicks=0.85, reason="shipped wider"),
    Past("text-search", "search", "Items found by their text are clicked more.", clicks=0.53, ms=45.0, days=5),
    Past("new-shelf", "shelf", "A shelf below the list is clicked as well.", clicks=0.6, logged=0.55, days=8),
)


def remember(run: Path) -> None:
    """Put them into a store whose model serves, all of it more than ten days ago."""
    store, now = open_store(run), time.time()
    for i, past in enumerate(ENDS):
        began = now - (60 - 16 * i) * DAY
        with store.write() as connection:
            experiments.define(connection, parsed(past.definition()), "test")
            config = pinned(experiments.get(connection, past.name).config, registry.now(connection).current)
            running = Experiment(config=config).start(began)
            _keep(connection, running)
            _happened(connection, past, running, np.random.default_rng(i))
        ended = running.model_copy(update={"stopped": began + past.days * DAY})
        reason = past.reason or analysed(store, ended).decision.reasons[0]
        with store.write() as connection:
            _keep(connection, running.stop(began + past.days * DAY, reason))
    store.close()


def _keep(connection: Any, experiment: Experiment) -> None:
    chosen = schema.experiments.update().where(schema.experiments.c.name == experiment.config.name)
    connection.execute(chosen.values(state=experiment.model_dump(mode="json"), status=experiment.status))


def _happened(connection: Any, past: Past, running: Experiment, rng: np.random.Generator) -> None:
    """Everybody came once, saw a list, and clicked of it or hid some."""
    assert running.started is not None
    assigner, shown, told = Assigner([running]), [], []
    for n in range(int(GUESTS * past.days / DAYS)):
        user, moment = f"guest-{past.name}-{n}", running.started + n * DAYS * DAY / GUESTS
        variant = assigner.assign(unit_of(user, None), past.name, moment).variant
        assert variant is not None
        treated = variant == past.treatment
        if treated and rng.random() > past.logged:
            continue
        items = [str(item) for item in rng.integers(1, 60, PLACES)]
        ms = float(rng.gamma(4, (past.ms if treated else 20.0) / 4))
        trace = Trace(f"{past.name}-{n}", moment, "home", unit_of(user, None), "000001", "greedy", label(past.name, variant))
        trace.item_ids, trace.positions, trace.scores, trace.propensities = items, [1, 2, 3], [0.0] * PLACES, [1.0] * PLACES
        trace.ms = {"total": ms}
        shown.append((trace, "recommend", user, None))
        counts = {"click": rng.poisson(past.clicks if treated else 0.5), "hide": rng.poisson(0.1)}
        told += [
            {
                "event_id": f"{trace.request_id}-{kind}-{k}", "received": moment + 6, "time": moment + 5 + k, "type": kind, "user_id": user,
                "session_id": None, "item_id": items[0], "value": None, "request_id": trace.request_id, "position": 1,
                "surface": "home", "props": None,
            }
            for kind, count in counts.items()
            for k in range(count)
        ]  # fmt: skip
    exposures.append(connection, shown)
    events.append(connection, told)
