"""Updating: a new model from what the server logged, judged against the one that serves on the newest events, published if not worse."""

# Q queries, K places

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from genre import pipeline
from genre.bundle import Bundle
from genre.component import build, resolve
from genre.config import GenreConfig, load_run_config, parse_config
from genre.data.dataset import Dataset
from genre.data.readers import Reader
from genre.evaluation.intervals import Interval, bootstrap
from genre.progress import track
from genre.rankers import Ranker
from genre.serving.archive import ARCHIVE, archive
from genre.serving.contract import PastEvent, RecommendRequest
from genre.serving.engine import BundleEngine
from genre.serving.operating import changing, learnt_so_far, who
from genre.serving.settings import open_store
from genre.serving.shelf import MODELS, bundles, register_all
from genre.serving.store import catalogue, registry
from genre.serving.store.catalogue import Change
from genre.serving.store.database import Database
from genre.types import Floats, GroundTruth
from genre.writing import whole

WORK = "update"
"""Where a new model is made, in the run's folder."""
LEARNT = "learnt"
"""There: what policies have learnt while serving."""
PLACES = 10
HISTORY = 200
FEWEST = 10
"""Moments at which somebody did something; fewer cannot be cut into three."""
TOO_LITTLE = "too little was done since the model that serves learnt"
VALID_SHARE = 0.2
"""Of what came since the model that serves learnt: the part before the newest slice, that epochs and weights are chosen on."""
WARM_EPOCHS = 0.34
"""So many of the configured epochs at most, where training begins from the weights that serve."""


@dataclass(frozen=True)
class Outcome:
    """How a new model did.

    Attributes:
        queries: users judged on, each by what they did in the newest slice.
        current, candidate, difference: ndcg@10 over the whole catalogue, as lists are served, with intervals over users.
        model: the version published; None if the candidate was worse.
    """

    queries: int
    current: Interval
    candidate: Interval
    difference: Interval
    model: str | None


def update(
    run: Path,
    *,
    database: str | None = None,
    share: float = 0.3,
    tolerance: float = 0.0,
    users: int = 1000,
    promote: bool = True,
    warm: bool = True,
) -> Outcome:
    """Learn from the log and publish if that is not worse.

    Both are judged on what neither has seen: the newest slice of what came since the model that serves learnt. The candidate has learnt
    from everything before; the model that is published then learns from the slice too, with the epochs and weights that were chosen.

    Args:
        share: of what came since the model that serves learnt, the newest, that both models are judged on.
        tolerance: the candidate may lose so much ndcg@10 on average, as a share of the current model's.
        promote: let it serve; else it is published and waits.
        warm: begin from the weights that serve, where a ranker can; else from chance.

    Raises:
        ValueError: nothing serves yet, or too little came since it learnt.
    """
    config = load_run_config(run)
    with closing(open_store(run, database)) as store:
        store.migrate()
        archive(store, run / ARCHIVE)
        with store.write() as connection:
            register_all(connection, run, who())
            serving = registry.now(connection).current
            if serving is None:
                raise ValueError(f"no model of {run} serves yet; begin with: genre publish {run}, genre promote {run}")
            current = run / registry.get(connection, serving)["path"]
        told = _told(store)
    start = current if warm else None
    trial = learning_from_log(config, run / ARCHIVE, windows(done_since(run / ARCHIVE, learnt_until(current)), share), warm)
    work = pipeline.run(trial, folder=run / WORK, start=start)
    dataset = Dataset.load(work.path("prepare"))
    truth = dataset.ground_truth("test", users, config.seed)
    if len(truth) == 0:
        raise ValueError(f"{TOO_LITTLE}: nobody did anything new in the newest slice; try later, or a larger --share")
    ids = dataset.items["item_id"].to_list()
    learnt = learnt_so_far(run, fresh(run / WORK / LEARNT), database=database)
    ours = served_ndcg(pipeline.publish(trial, work), told, truth, ids, learnt)
    theirs = served_ndcg(current, told, truth, ids, learnt)
    candidate, now, difference = bootstrap(np.stack([ours, theirs, ours - theirs], axis=1))
    if difference.mean < -tolerance * now.mean:
        return Outcome(len(truth), now, candidate, difference, None)
    whole = learning_from_log(config, run / ARCHIVE, {"use": "none"}, warm)
    made = pipeline.publish(whole, pipeline.run(whole, folder=run / WORK, start=start), learnt=learnt)
    model = _shelved(made, run)
    shutil.rmtree(run / WORK / MODELS)
    with changing(run, database) as connection:
        register_all(connection, run, who())
        if promote:
            registry.promote(connection, model, who())
    return Outcome(len(truth), now, candidate, difference, model)


def learnt_until(bundle: Path) -> float:
    """The moment of the newest interaction that a bundle can have learnt from."""
    newest = Bundle.open(bundle).facts["data"]["last_time"]
    return -np.inf if newest is None else float(newest)


def done_since(logs: Path, moment: float) -> Floats:
    """When the interactions of a log happened that came after a moment, in order."""
    if not any((logs / "events").rglob("*.parquet")):
        return np.empty(0)
    reader = build(Reader, {"use": "event_log", "path": str(logs)})
    times = reader.read(logs).events.select("time").filter(pl.col("time") > moment).collect()["time"]
    return np.sort(times.to_numpy())


def windows(time_E: Floats, share: float) -> dict[str, object]:
    """A split by time of what came since: first to learn from, then to choose by, the newest share to judge on.

    Raises:
        ValueError: there is too little for three windows.
    """
    if len(np.unique(time_E)) < FEWEST:
        raise ValueError(f"{TOO_LITTLE}: {len(time_E):,} interactions; try later")
    begins = np.quantile(time_E, [1 - share - VALID_SHARE, 1 - share], method="higher")
    valid_from, test_from = (datetime.fromtimestamp(moment, UTC).isoformat() for moment in begins)
    return {"use": "global_time", "valid_from": valid_from, "test_from": test_from}


def learning_from_log(config: GenreConfig, logs: Path, split: dict[str, object], warm: bool = False) -> GenreConfig:
    """The same recommender, trained on what it was trained on and then on the log; warm: for fewer epochs."""
    tree = config.model_dump(mode="json")
    reader = tree["data"]["reader"]
    if reader["use"].replace("-", "_") != "event_log":
        tree["data"]["reader"] = {"use": "event_log", "path": str(logs.resolve()), "base": reader}
    tree["data"]["split"] = split
    for ranker in tree["rankers"].values() if warm else ():
        if resolve(ranker["use"], Ranker).begins:
            ranker["epochs"] = math.ceil(ranker["epochs"] * WARM_EPOCHS)
    return parse_config(tree, logs / "config.yaml")


def served_ndcg(
    bundle: Path, told: Sequence[Change], truth: GroundTruth, ids: Sequence[str], learnt: Path | None = None
) -> npt.NDArray[np.float64]:
    """ndcg@10 of each query's list as the engine would serve it to a stranger with that history, shape (Q,).

    Args:
        learnt: what policies have learnt while serving; both models are asked with the same, as far as it means the same to them.
    """
    engine = BundleEngine.load(bundle)
    if learnt is not None:
        for head in engine.heads.values():
            head.load(learnt / head.surface)
    for change in told:
        if change.item is None:
            engine.delete_item(change.item_id)
        elif engine.item(change.item_id) != change.item:
            engine.upsert_item(change.item)
    gain_K = 1 / np.log2(np.arange(2, PLACES + 2))
    found_Q = np.zeros(len(truth))
    request = RecommendRequest(session_id="evaluation", n=PLACES)
    for q in track(range(len(truth)), f"judging {bundle.name}", total=len(truth)):
        items, times = truth.queries.items(q)[-HISTORY:], truth.queries.times(q)[-HISTORY:]
        past = [PastEvent(ids[item], float(moment)) for item, moment in zip(items, times, strict=True)]
        response, _ = engine.recommend(request, past, float(truth.queries.now_B[q]))
        right = {ids[item] for item in truth.targets(q)}
        hit_K = np.array([item.item_id in right for item in response.items], bool)
        found_Q[q] = gain_K[: len(hit_K)][hit_K].sum() / gain_K[: len(right)].sum()
    return found_Q


def fresh(folder: Path) -> Path:
    """A folder with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _told(store: Database) -> list[Change]:
    with store.read() as connection:
        return list(catalogue.all_items(connection))


def _shelved(made: Path, run: Path) -> str:
    """A finished bundle under the next version of the run's own shelf; complete or absent."""
    there = [int(name) for name in bundles(run) if name.isdecimal()]
    version = f"{max(there, default=0) + 1:06d}"
    with whole(run / MODELS / version) as partial:
        shutil.copytree(made, partial)
    return version
