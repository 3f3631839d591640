"""A shop with a day of traffic behind it: two published models, lists and clicks in the log, experiments, jobs, and a hostile title."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from past import remember

from genre.config import load_run_config, parse_config
from genre.dashboard.live.experiments import parsed
from genre.experiments.assignment import Assigner
from genre.experiments.state import Experiment
from genre.pipeline import publish
from genre.runs import Run
from genre.serving.contract import ItemIn, PastEvent, RecommendRequest, UserIn
from genre.serving.engine import BundleEngine
from genre.serving.live import parts, pinned
from genre.serving.settings import open_store
from genre.serving.shelf import register_all
from genre.serving.store import catalogue, events, experiments, exposures, keys, registry, schema
from genre.serving.store.assignments import label

DAY = 86_400.0
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@dataclass(frozen=True)
class Stock:
    """What a shop sells, to whom, and how its lists are ruled."""

    rules: tuple[dict[str, Any], ...]
    anchor: str
    users: tuple[str, ...]
    lists: int = 400
    days: float = 1.0
    hostile: bool = True
    deadline_ms: float = 200.0

    @property
    def surfaces(self) -> dict[str, Any]:
        return {
            "home": {"policy": {"use": "plackett_luce", "temperature": 0.5}, "rules": self.rules, "deadline_ms": self.deadline_ms},
            "detail": {"sources": ["similar", "model"], "policy": {"use": "epsilon", "epsilon": 0.2}, "deadline_ms": self.deadline_ms},
        }


GOODS = Stock(
    rules=(
        {"cap": "category", "most": 2},
        {"boost": "price < 12", "by": 1.0, "name": "cheap first"},
        {"pin": "007", "place": 3},
    ),
    anchor="005",
    users=tuple(f"{user:04d}" for user in range(60)),
    deadline_ms=60_000.0,  # the machine that runs the tests may stand still for a while
)
"""Of the synthetic world."""
FILMS = Stock(
    rules=(
        {"cap": "genres", "most": 4},
        {"boost": "year >= 1995", "by": 0.8, "name": "recent films first"},
        {"pin": "181", "place": 3},
    ),
    anchor="50",
    users=tuple(str(user) for user in range(1, 944)),
    lists=8000,
    days=10.0,
    hostile=False,
)
"""Of MovieLens-100K, for the pictures in the documentation."""
EXPERIMENT = """
hypothesis: A hotter policy shows more of the catalogue and loses no clicks.
surface: home
variants: {control: {}, hotter: {serve: {policy: {use: plackett_luce, temperature: 0.8}}}}
metrics:
  clicks: {use: mean, event: click}
  hides: {use: rate, event: hide, better: lower}
primary: clicks
guardrails:
  hides: {use: metric, metric: hides, margin: 0.5}
  slow: {use: latency, margin: 0.5}
days: 14
min_units: 10
planned_units: 900
"""


def open_shop(made: Run, folder: Path, stock: Stock = GOODS, past: bool = False) -> tuple[Path, str]:
    """A copy of a finished run, published twice and visited, after experiments of the past if asked; its folder and an admin key."""
    run = Run(shutil.copytree(made.folder, folder))
    tree = load_run_config(run.folder).model_dump(mode="json") | {"surfaces": stock.surfaces}
    config = parse_config(tree, folder / "config.yaml")
    for _ in range(2):
        publish(config, run, force=True)
    store = open_store(folder)
    store.migrate()
    with store.write() as connection:
        register_all(connection, folder, "test")
        registry.promote(connection, "000001", "test")
        registry.promote(connection, "000002", "test")
        keys.create(connection, "web shop", ["read", "ingest"], 100, "test")
        _, token = keys.create(connection, "me", ["admin"], 100, "test")
    if past:
        remember(folder)
    with store.write() as connection:
        running = _experiments(connection, stock)
        _visit(connection, BundleEngine.load(folder / "models" / "000002"), stock, running)
        if stock.hostile:
            item = ItemIn(item_id="<b>bad</b>", attributes={"title": HOSTILE, "price": 1.0, "image": "javascript:alert(1)"})
            catalogue.put_items(connection, [item])
            catalogue.put_users(connection, [UserIn(user_id="stranger", attributes={"country": HOSTILE})])
    store.close()
    return folder, token


def _experiments(connection: Any, stock: Stock) -> Experiment:
    """One that runs since the shop is open, and one that is only defined."""
    elsewhere = EXPERIMENT.replace("hotter", "colder").replace("home", "detail")
    experiments.define(connection, parsed(f"name: quiet\nlayer: {{name: elsewhere}}{elsewhere}"), "test")
    hotter = experiments.define(connection, parsed(f"name: hotter{EXPERIMENT}"), "test").config
    started = experiments.start(connection, pinned(hotter, "000002"), "test")
    running = started.model_copy(update={"started": time.time() - stock.days * DAY})
    chosen = schema.experiments.update().where(schema.experiments.c.name == "hotter")
    connection.execute(chosen.values(state=running.model_dump(mode="json")))
    return running


def _visit(connection: Any, engine: BundleEngine, stock: Stock, running: Experiment) -> None:
    """More come in the evening; they click the higher places more often, and sometimes hide something."""
    rng, now, assigner = np.random.default_rng(0), time.time(), Assigner([running])
    past: dict[str, list[PastEvent]] = {}
    ages = np.linspace(stock.days * DAY - 60, 60, 20 * stock.lists)
    evening = 1 + 0.7 * np.sin(2 * np.pi * ages / DAY)
    for age in -np.sort(-rng.choice(ages, stock.lists, replace=False, p=evening / evening.sum())):
        moment, user, surface = float(now - age), str(rng.choice(stock.users)), str(rng.choice(list(engine.placements)))
        anchors = [stock.anchor] if surface == "detail" else []
        request = RecommendRequest(surface=surface, user_id=user, n=10, anchors=anchors, context={"device": "phone"})
        variant = assigner.assign(f"user:{user}", "hotter", moment).variant if surface == "home" else None
        arm = engine if variant is None else engine.varied(surface, parts(running.config.variants[variant])[1])
        response, trace = arm.recommend(request, past.get(user, []), moment)
        if variant is not None:
            trace.variant = label("hotter", variant)
        exposures.append(connection, [(trace, "recommend", user, None)])
        for item in response.items:
            if rng.random() < 0.3 / item.rank:
                kind = "hide" if rng.random() < 0.05 else "click"
                past.setdefault(user, []).append(PastEvent(item.item_id, moment + 5, kind))
                row = {
                    "event_id": f"{trace.request_id}-{item.rank}", "received": moment + 6, "time": moment + 5, "type": kind,
                    "user_id": user, "session_id": None, "item_id": item.item_id, "value": None, "request_id": trace.request_id,
                    "position": item.rank, "surface": surface, "props": None,
                }  # fmt: skip
                events.append(connection, [row])
    events.merge(connection, "session:s-1", f"user:{stock.users[1]}")
