"""What a server logged is an exposure log as it is: asked about the policy that served, `genre ope` finds it in every list."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from test_store_events import log, row

from genre.bundle import Bundle
from genre.counterfactual import against
from genre.data.dataset import Dataset
from genre.evaluation.off_policy.log import read_log
from genre.serving.archive import archive
from genre.serving.contract import RankRequest, RecommendRequest
from genre.serving.engine import BundleEngine
from genre.serving.placement import placements_of
from genre.serving.store import events, exposures
from genre.serving.store.database import Database
from genre.serving.world import World

DRAWN = {"use": "plackett_luce", "temperature": 0.5}
SURFACES = {
    "home": {"policy": DRAWN, "candidates": 30},
    "pinned": {"policy": DRAWN, "candidates": 30, "rules": [{"pin": "007", "place": 2}]},
}
REQUESTS, PLACES = 40, 4


@pytest.fixture(scope="module")
def log_folder(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty users and a stranger ask, click on the first item, and ask again under a filter; all of it archived."""
    folder = tmp_path_factory.mktemp("served")
    bundle = Bundle.open(small_bundle)
    engine = BundleEngine("000001", World.load(bundle), placements_of({**bundle.facts, "surfaces": SURFACES}))
    dataset = Dataset.load(small_bundle.parents[1] / "prepare")
    now = float(dataset.interactions["time"].max() or 0) + 1000  # type: ignore[arg-type]
    store = Database(f"sqlite:///{folder}/store.db")
    store.migrate()
    for at, user in enumerate([*dataset.users["user_id"].head(REQUESTS), None]):
        for turn, more in enumerate(({}, {"filter": "not seen()"}, {"surface": "pinned"})):
            moment = now + at * 100 + turn * 10
            request = RecommendRequest.model_validate({"surface": "home", "user_id": user, "n": PLACES, **more})
            with store.read() as connection:
                history = events.history(connection, user, None, 200) if user else []
            shown, trace = engine.recommend(request, history, moment)
            with store.write() as connection:
                exposures.append(connection, [(trace, "recommend", user, None)])
            if user is not None:
                item = shown.items[0].item_id
                log(store, row(f"{at}-{turn}", moment + 1, user=user, item=item, request_id=shown.request_id))
    _, trace = engine.rank(RankRequest(surface="home", items=["001", "002", "003"]), [], now)
    with store.write() as connection:
        trace.degraded = {}
        exposures.append(connection, [(trace, "rank", None, None)])
        _, trace = engine.recommend(RecommendRequest(surface="home", n=PLACES), [], now)
        trace.degraded = {"policy": "out of time"}
        exposures.append(connection, [(trace, "recommend", None, None)])
    archive(store, folder / "logs")
    store.close()
    return folder / "logs"


def test_the_policy_that_served_replays_to_weights_of_one(small_bundle: Path, log_folder: Path) -> None:
    served = read_log(log_folder)
    assert len(served) == 3 * (REQUESTS + 1) + 1, "but the degraded one"
    logged = against(small_bundle.parents[1], served, DRAWN)
    assert np.median(logged.logging_RS[logged.filled_RS]) < 0.6, "it draws"
    assert logged.target_RS == pytest.approx(logged.logging_RS, rel=1e-3)
    assert logged.reward_RS.sum() == pytest.approx(3 * REQUESTS, abs=REQUESTS), "a click on a pinned item was no policy's merit"


def test_pins_are_left_out_and_strangers_are_units_of_their_own(log_folder: Path) -> None:
    served = read_log(log_folder)
    pinned = served.exposures.filter(pl.col("surface") == "pinned")
    assert not any("007" in items for items in pinned["items"])
    assert pinned["positions"].to_list()[0] == [1, 3, 4]
    assert len(np.unique(served.cluster_R)) == REQUESTS + 4
    assert served.exposures.filter(pl.col("kind") == "rank")["candidates"].to_list()[0] is not None


def test_the_command_reads_the_archive(small_bundle: Path, log_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "genre.cli", "ope", str(small_bundle.parents[1]), "--against", str(log_folder), "--json"]
    done = subprocess.run(
        [*command, "--policy", json.dumps({**DRAWN, "temperature": 0.4})], capture_output=True, text=True, cwd=tmp_path, env={**os.environ},
        check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["requests"] == 3 * (REQUESTS + 1) + 1
