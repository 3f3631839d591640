"""Warm updates against retraining from scratch, and against doing nothing: MovieLens-100K cut in time.

    python benchmarks/updating.py [--seeds 2] [--out runs/updating] > benchmarks/RESULTS-updating.md

A model learns from the first 70 % of the ratings by time. Three times, the next 7.5 % arrive; `static` stays as it was, `warm` learns from
everything so far, beginning with the weights of the warm model before (as `genre update` does, with a third of the epochs at most),
`scratch` learns from everything so far from chance, with all epochs. Each is judged on the 7.5 % after that.
"""

# Q queries, U users

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genre import pipeline
from genre.component import build
from genre.config import GenreConfig, parse_config
from genre.data.readers import Reader
from genre.evaluation.intervals import bootstrap
from genre.evaluation.metrics import Values
from genre.progress import track
from genre.runs import Run
from genre.serving.contract import PastEvent, RecommendRequest
from genre.serving.engine import BundleEngine
from genre.updating import WARM_EPOCHS

BASE, SLICES, QUERIES, PLACES, EPOCHS = 0.7, 4, 1500, 10, 15
VALID = 0.2
"""Of the newest slice: what epochs and weights are chosen on."""
TREE: dict[str, Any] = {
    "name": "updating",
    "data": {"text": "{title} {genres}"},
    "encoders": {"text": {"use": "tfidf", "dim": 64, "whiten": True}},
    "rankers": {
        "transitions": {"use": "transitions", "sitting_seconds": None, "decay": 0.8},
        "hybrid": {
            "use": "sequential", "content": ["text"], "embedding_dim": 64, "max_history": 50, "dropout": 0.2, "epochs": EPOCHS,
            "patience": 5,
        },
        "blend": {"use": "blend", "of": ["transitions", "hybrid"]},
    },
    "surfaces": {"all": {"sources": ["model"], "deadline_ms": 60_000}},
}  # fmt: skip
ABOUT = """# Warm updates against retraining from scratch

Made by `python benchmarks/updating.py --seeds {seeds}`; one thread. MovieLens-100K in the order of time: {base:,} ratings at first,
then three updates of {each:,}; each judged on the {each:,} after. A blend of transitions and a transformer over ids and TF-IDF
({epochs} epochs at most, warm {warm}, chosen on the newest 1.5 % of what is known, which is then not learnt from). Queries: {queries:,}
ratings of the slice drawn at random, each user's history until then, through the engine as `genre serve` does it, over the whole
catalogue, history masked; a film that the model has never seen is a miss. Means over users of their own means; 95 % bootstrap
intervals over users, within a seed (the last three lines: over all queries of a user in all seeds and updates); nothing tuned.
CPU seconds: preparing, encoding, training and publishing.
"""


@dataclass(frozen=True)
class Judged:
    """A model on a slice: what each query's list reached, and what the model cost."""

    ndcg_Q: Values
    hit_Q: Values
    seconds: float


def main() -> None:
    """All seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/updating"))
    asked = parser.parse_args()
    tables = build(Reader, {"use": "movielens-100k"}).read(asked.out)
    events = tables.events.collect().sort("time", maintain_order=True)
    ends = [round(len(events) * (BASE + (1 - BASE) * k / SLICES)) for k in range(SLICES + 1)]
    assert tables.items is not None
    asked.out.mkdir(parents=True, exist_ok=True)
    tables.items.collect().write_parquet(asked.out / "items.parquet")
    print(
        ABOUT.format(
            seeds=asked.seeds, base=ends[0], each=ends[1] - ends[0], epochs=EPOCHS, warm=math.ceil(EPOCHS * WARM_EPOCHS), queries=QUERIES
        )
    )
    print("| seed | update | model | NDCG@10 | HR@10 | NDCG@10 less scratch | NDCG@10 less static | CPU seconds |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    found = [one for seed in range(asked.seeds) for one in one_seed(events, ends, seed, asked.out)]
    users = [user for one, _ in found for user in one]
    joined = [judged for _, judged in found]
    whole = {
        name: Judged(
            np.concatenate([one[name].ndcg_Q for one in joined]),
            np.concatenate([one[name].hit_Q for one in joined]),
            float(np.mean([one[name].seconds for one in joined])),
        )
        for name in joined[0]
    }
    report("all", "all", users, whole)


def one_seed(events: pl.DataFrame, ends: list[int], seed: int, out: Path) -> Iterator[tuple[list[str], dict[str, Judged]]]:
    """The base and three updates, each arm judged on the slice after: whose queries, and how each did."""
    static, _ = trained(events, ends[0], ends[1] - ends[0], seed, out / f"{seed}-base", None)
    warm = static
    for update in range(1, SLICES):
        known, each = ends[update], ends[1] - ends[0]
        warm, warm_seconds = trained(events, known, each, seed, out / f"{seed}-warm-{update}", warm)
        scratch, scratch_seconds = trained(events, known, each, seed, out / f"{seed}-scratch-{update}", None)
        models = {"static": (static, 0.0), "warm": (warm, warm_seconds), "scratch": (scratch, scratch_seconds)}
        users, judged = asked_of(events, known, ends[update + 1], seed, models)
        report(str(seed), str(update), users, judged)
        yield users, judged


def report(seed: str, update: str, users: list[str], judged: dict[str, Judged]) -> None:
    """A line a model."""
    per_user = {name: means(users, np.stack([one.ndcg_Q, one.hit_Q], axis=1)) for name, one in judged.items()}
    for name, one in judged.items():
        ndcg, hits = bootstrap(per_user[name])
        cells = []
        for other in ("scratch", "static"):
            gain = bootstrap(per_user[name][:, :1] - per_user[other][:, :1])[0]
            cells.append("–" if name == other else f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})")
        print(f"| {seed} | {update} | {name} | {ndcg} | {hits} | {' | '.join(cells)} | {one.seconds:.0f} |", flush=True)


def trained(events: pl.DataFrame, known: int, each: int, seed: int, folder: Path, start: Path | None) -> tuple[Path, float]:
    """A bundle that has learnt from the first so many ratings, and the CPU seconds of everything that made it."""
    folder.mkdir(parents=True, exist_ok=True)
    events.head(known).select("user_id", "item_id", "time", "value").write_parquet(folder / "events.parquet")
    run = Run(folder)
    config = settings(events, known, each, seed, folder, warm=start is not None)
    with run.locked():
        pipeline.prepare(config, run)
        pipeline.embed(config, run, "text")
        for name in config.rankers:
            pipeline.rank(config, run, name, start=start)
        bundle = pipeline.publish(config, run)
    stages = ["prepare", "embed/text", *(f"rank/{name}" for name in config.rankers), f"models/{bundle.name}"]
    return bundle, sum(run.manifest(stage).cpu_seconds for stage in stages)


def settings(events: pl.DataFrame, known: int, each: int, seed: int, folder: Path, warm: bool) -> GenreConfig:
    """The configuration, its validation part the newest of what is known."""
    valid = float(events["time"][known - round(VALID * each)])
    newest = float(events["time"][known - 1])  # a test part there must be; the last second's ratings are enough, and are not asked about
    valid_from, test_from = (datetime.fromtimestamp(moment, UTC).isoformat() for moment in (valid, newest))
    columns = {"user": "user_id", "item": "item_id", "time": "time", "value": "value"}
    reader = {"use": "files", "events": "events.parquet", "items": "../items.parquet", "columns": columns}
    rankers = {name: dict(ranker) for name, ranker in TREE["rankers"].items()}
    if warm:
        rankers["hybrid"]["epochs"] = math.ceil(EPOCHS * WARM_EPOCHS)
    split = {"use": "global_time", "valid_from": valid_from, "test_from": test_from}
    return parse_config(
        {**TREE, "seed": seed, "rankers": rankers, "data": {**TREE["data"], "reader": reader, "split": split}}, folder / "config.yaml"
    )


def asked_of(
    events: pl.DataFrame, known: int, end: int, seed: int, models: dict[str, tuple[Path, float]]
) -> tuple[list[str], dict[str, Judged]]:
    """Whose queries they were, and how each model answered: what comes next, at moments of the slice drawn at random."""
    rows = np.sort(np.random.default_rng(seed).choice(np.arange(known, end), QUERIES, replace=False))
    users, items, times = (events[name].to_list() for name in ("user_id", "item_id", "time"))
    past: dict[str, list[PastEvent]] = {}
    queries, at = [], 0
    for row in rows.tolist():
        while at < row:
            past.setdefault(users[at], []).append(PastEvent(items[at], float(times[at])))
            at += 1
        queries.append(
            (users[row], items[row], float(times[row]), [event for event in past.get(users[row], []) if event.time < times[row]])
        )
    judged = {}
    for name, (bundle, seconds) in models.items():
        engine = BundleEngine.load(bundle)
        ndcg_Q, hit_Q = np.zeros(QUERIES), np.zeros(QUERIES)
        for q, (_, target, moment, history) in enumerate(track(queries, f"judging {name}", total=QUERIES)):
            request = RecommendRequest(surface="all", session_id="evaluation", n=PLACES)
            response, _ = engine.recommend(request, history, moment)
            place = next((item.rank for item in response.items if item.item_id == target), None)
            if place is not None:
                ndcg_Q[q], hit_Q[q] = 1 / np.log2(place + 1), 1.0
        judged[name] = Judged(ndcg_Q, hit_Q, seconds)
    return [user for user, *_ in queries], judged


def means(users: list[str], value_QM: Values) -> Values:
    """Each user's mean, shape (U, M)."""
    _, owner_Q = np.unique(users, return_inverse=True)
    count_U = np.bincount(owner_Q)
    return np.stack([np.bincount(owner_Q, column) / count_U for column in value_QM.T], axis=1)


if __name__ == "__main__":
    main()
