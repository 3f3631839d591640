"""A deep ranker from somebody's own log of lists to the server: what a request says of itself is learnt, and served without torch."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from fastapi.testclient import TestClient
from test_api import eventually
from test_store_events import log, row

import genre
from genre.bundle import Bundle
from genre.config import load_run_config
from genre.counterfactual import against
from genre.evaluation.off_policy.log import read_log
from genre.pipeline import publish
from genre.recommender import Recommender
from genre.runs import Run
from genre.serving import operating
from genre.serving.app import create_app
from genre.serving.archive import archive
from genre.serving.contract import EventIn, RecommendRequest
from genre.serving.engine import BundleEngine
from genre.serving.placement import placements_of
from genre.serving.scorers.deep import DeepScorer
from genre.serving.settings import ServeSettings
from genre.serving.store import exposures
from genre.serving.store.database import Database
from genre.serving.world import World

KINDS = ("shoes", "hats", "books", "lamps")
COLOURS = ("red", "blue", "green")
LISTS = 2500
DRAWN = {"use": "plackett_luce", "temperature": 0.5}
LATER = 1.7e9 + 60.0 * LISTS


def shop(folder: Path) -> Path:
    """On phones people click shoes, elsewhere books, and whoever searches clicks what was searched for."""
    rng = np.random.default_rng(0)
    items = [(f"{kind[0]}{c}", f"{colour} {kind}") for kind in KINDS for c, colour in enumerate(COLOURS)]
    shown, events = [], []
    for at in range(LISTS):
        device, when = ("phone" if rng.random() < 0.5 else "desktop"), 1.7e9 + 60.0 * at
        query = str(rng.choice(["hats", "lamps"])) if rng.random() < 0.4 else None
        user = f"u{rng.integers(200):03d}"
        for place, i in enumerate(rng.permutation(len(items))[:5], 1):
            kind = items[i][1].split()[1]
            chance = (
                (0.7 if kind == query else 0.02) if query else (0.5 if kind == {"phone": "shoes", "desktop": "books"}[device] else 0.05)
            )
            clicked = rng.random() < chance
            bought = clicked and rng.random() < 0.5
            shown.append((f"r{at}", user, when, items[i][0], place, int(clicked), int(bought), device, query))
            events += [(user, items[i][0], when + 5.0)] * clicked
    names = ["request", "user", "when", "item", "place", "clicked", "purchase", "device", "query"]
    pl.DataFrame(shown, schema=names, orient="row").write_csv(folder / "shown.csv")
    pl.DataFrame(events, schema=["user", "item", "when"], orient="row").write_csv(folder / "events.csv")
    pl.DataFrame(items, schema=["item", "title"], orient="row").write_csv(folder / "items.csv")
    tree = {
        "data": {
            "reader": {
                "use": "files", "events": "events.csv", "items": "items.csv", "impressions": "shown.csv",
                "columns": {"user": "user", "item": "item", "time": "when"}, "lists": {"request": "request", "position": "place"},
            },
            "text": "{title}", "repeats": True, "split": {"use": "none"},
        },
        "encoders": {"text": {"use": "tfidf", "dim": 7}},
        "rankers": {
            "popularity": {"use": "popularity"}, "transitions": {"use": "transitions"},
            "deep": {
                "use": "deep", "of": ["popularity", "transitions"], "content": ["text"], "words": "query", "tasks": ["click", "purchase"],
                "value": {"click": 1, "purchase": 2}, "hidden": 32, "epochs": 30, "batch_size": 128,
                "impression_share": 0.9, "warmup_steps": 10, "learning_rate": 0.01, "patience": 30,
            },
        },
        "serve": "deep",
    }  # fmt: skip
    file = folder / "shop.yaml"
    file.write_text(yaml.safe_dump(tree, sort_keys=False))
    return file


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("shop")
    run = genre.run(shop(folder), folder=folder / "run")
    publish(load_run_config(run.folder), run)
    return run


@pytest.fixture
def engine(run: Run) -> BundleEngine:
    return BundleEngine.load(run.folder / "models" / "000001")


def best(engine: BundleEngine, **request: Any) -> set[str]:
    """Kinds of the first three items, by their first letters."""
    response, trace = engine.recommend(RecommendRequest(n=3, **request), [], LATER)
    assert not trace.degraded
    return {item.item_id[0] for item in response.items}


def test_what_a_request_says_of_itself_reaches_the_ranker(engine: BundleEngine) -> None:
    assert best(engine, context={"device": "phone"}) == {"s"}
    assert best(engine, context={"device": "desktop"}) == {"b"}
    for device in ("phone", "desktop"):
        assert best(engine, context={"device": device, "query": "hats"}) == {"h"}
        assert best(engine, context={"device": device, "query": "lamps"}) == {"l"}
    assert best(engine, text="hats") == {"h"}
    assert best(engine, context={"device": "a fridge"}) == best(engine), "what nobody has seen says nothing"


def test_the_engine_scores_as_the_run_does(run: Run, engine: BundleEngine) -> None:
    recommender = Recommender.load(run.folder)
    for context in ({}, {"device": "phone"}, {"device": "desktop", "query": "red hats"}):
        want = recommender.recommend("u003", 12, context=context, now=LATER)
        response, _ = engine.recommend(RecommendRequest(user_id="u003", n=12, context=context), [], LATER)
        assert [item.item_id for item in response.items] == [line.item_id for line in want]
        np.testing.assert_allclose([item.score for item in response.items], [line.score for line in want], atol=1e-4)


def test_it_counts_what_is_shown_and_done_while_it_serves(run: Run) -> None:
    settings = ServeSettings(runs=[run.folder], follow_seconds=0.05)
    operating.promote(run.folder, "000001")
    with TestClient(create_app(settings, BundleEngine.load)) as client:
        project = next(iter(client.app.state.server.projects.values()))  # type: ignore[attr-defined]
        scorer = project.serving.engine.world.scorer
        assert isinstance(scorer, DeepScorer)
        counted = scorer.features.counters
        before = {what: each.total for what, each in counted.items()}
        answer = client.post("/v1/recommend", json={"user_id": "u001", "n": 4, "context": {"device": "phone"}}).json()
        first = answer["items"][0]["item_id"]
        event = {
            "event_id": "e1",
            "type": "click",
            "user_id": "u001",
            "item_id": first,
            "request_id": answer["request_id"],
            "time": time.time(),
        }
        for _ in range(2):  # sent again, it is counted once
            client.post("/v1/events", json=[event]).raise_for_status()
        assert eventually(lambda: counted["shown"].total == before["shown"] + 4)
        assert eventually(lambda: counted["touched"].total == before["touched"] + 1)


def test_no_torch_is_loaded(run: Run) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom genre.serving.contract import RecommendRequest\n"
        "from genre.serving.engine import BundleEngine\n"
        f"engine = BundleEngine.load(Path({str(run.folder / 'models' / '000001')!r}))\n"
        "response, trace = engine.recommend(RecommendRequest(n=3, context={'device': 'phone'}), [], 1.7e9)\n"
        "assert len(response.items) == 3 and not trace.degraded\n"
        "assert not {'torch', 'scipy', 'sklearn'} & set(sys.modules), 'the served process imports what it should do without'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_was_served_replays_to_weights_of_one(run: Run, tmp_path: Path) -> None:
    """The log is asked as the server was: with each request's context and words, and with what had been counted until then."""
    bundle = Bundle.open(run.folder / "models" / "000001")
    surfaces = {"home": {"policy": DRAWN, "candidates": 12, "deadline_ms": 60_000}}
    engine = BundleEngine("000001", World.load(bundle), placements_of({**bundle.facts, "surfaces": surfaces}))
    store = Database(f"sqlite:///{tmp_path}/store.db")
    store.migrate()
    for at in range(40):
        context = {"device": ("phone", "desktop")[at % 2], **({"query": "hats"} if at % 3 == 0 else {})}
        request, moment, user = (
            RecommendRequest(surface="home", user_id=f"u{at:03d}", n=4, context=context),
            LATER + 1000.0 * at,
            f"u{at:03d}",
        )
        shown, trace = engine.recommend(request, [], moment)
        assert not trace.degraded
        with store.write() as connection:
            exposures.append(connection, [(trace, "recommend", user, None)])
        engine.showed(trace.item_ids, moment)
        item = shown.items[0].item_id
        log(store, row(f"{at}", moment + 1, user=user, item=item, request_id=shown.request_id))
        engine.observe(EventIn(event_id=f"{at}", type="click", user_id=user, item_id=item, time=moment + 1), moment + 1)
    archive(store, tmp_path / "logs")
    store.close()
    logged = against(run.folder, read_log(tmp_path / "logs"), DRAWN)
    assert np.median(logged.logging_RS[logged.filled_RS]) < 0.6, "it draws"
    assert logged.target_RS == pytest.approx(logged.logging_RS, rel=1e-3)
