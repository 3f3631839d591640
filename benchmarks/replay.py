"""Dynamic adjustment: a replay of MovieLens-100K in the order of time, static against updated (prequential evaluation).

    python benchmarks/replay.py [--events 5000] [--out runs/replay] > benchmarks/RESULTS-replay.md

A ranker (transitions) learns from the first 80 % of the ratings by time and is never trained again. Then each rating is an arrival: every
system shows ten films that the user has not rated, is a hit if the film that the user rated is among them, and only then learns of it.
`static` knows of each user what was known when training ended; `user state` the same ranker with everything until the arrival; the bandits
choose among the 100 best of that, begin as greedy, and learn from each list: 1 for the film that was rated, 0 for the nine or ten others.
Nothing is tuned: the bandits have their default settings. Intervals: bootstrap over users, of the mean over arrivals.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from genre.component import build
from genre.config import GenreConfig, parse_config
from genre.data.dataset import Dataset
from genre.deciding import shelf_of
from genre.evaluation.off_policy.estimators import Contributions
from genre.evaluation.off_policy.intervals import interval, resampled
from genre.index import top_k
from genre.pipeline import embed, prepare, rank
from genre.policies import Policy
from genre.progress import track
from genre.rankers import Ranker
from genre.runs import Run
from genre.types import Histories, Ints

K, CANDIDATES, BATCH = 10, 100, 200
TREE: dict[str, Any] = {
    "name": "replay",
    "data": {
        "reader": {"use": "movielens-100k"},
        "text": "{title} {genres}",
        "split": {"use": "global-time", "valid_share": 0.1, "test_share": 0.1},
    },
    "encoders": {"text": {"use": "tfidf", "dim": 32, "whiten": True}},
    "rankers": {"transitions": {"use": "transitions", "sitting_seconds": None, "decay": 0.8}},
}
ABOUT = """# Dynamic adjustment: prequential replay of MovieLens-100K

Made by `python benchmarks/replay.py`. {arrivals:,} ratings of {users} users after the first 80 %, in the order of time; lists of 10 among
films the user has not rated; one seed; 95 % bootstrap intervals over users; default settings, nothing tuned.
"""
POLICIES: dict[str, dict[str, Any]] = {
    "user state, greedy": {"use": "greedy"},
    "user state, linucb": {"use": "linucb"},
    "user state, linucb per item": {"use": "linucb", "per_item": True},
    "user state, thompson": {"use": "thompson"},
}


@dataclass
class System:
    """One way to answer, and whether each arrival was a hit."""

    policy: Policy
    hits: list[float] = field(default_factory=list)


def main() -> None:
    """Prepare, replay, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=5000, help="arrivals replayed, from the end of training on")
    parser.add_argument("--out", type=Path, default=Path("runs/replay"))
    asked = parser.parse_args()
    config, run = parse_config(TREE), Run(asked.out)
    with run.locked():
        prepare(config, run)
        embed(config, run, "text")
        rank(config, run, "transitions")
    user_E, hits = replay(config, run, asked.events)
    report(user_E, hits)


def replay(config: GenreConfig, run: Run, events: int) -> tuple[Ints, dict[str, list[float]]]:
    """Whose arrivals there were, in order of time, and each system's hits."""
    dataset = Dataset.load(run.path("prepare"))
    ranker, shelf = Ranker.load(run.path("rank/transitions")), shelf_of(config, run, dataset)
    before, everything = dataset.training, dataset.everything
    owner_E, place_E = everything.owner_E(), everything.lengths[everything.owner_E()] - 1 - everything.age_E()
    arrivals = np.flatnonzero(everything.time_E > before.time_E.max())
    arrivals = arrivals[np.argsort(everything.time_E[arrivals], kind="stable")][:events]
    systems = {"static": System(build(Policy, {"use": "greedy"}))}
    systems |= {name: System(build(Policy, settings)) for name, settings in POLICIES.items()}
    rng = np.random.default_rng(config.seed)
    for start in track(range(0, len(arrivals), BATCH), "replaying"):
        batch = arrivals[start : start + BATCH]
        users, seen_B = owner_E[batch], place_E[batch]
        # The ranker does not change, so a batch is scored at once; each history ends before its own arrival.
        known = Histories.of([everything.items(u)[:n] for u, n in zip(users, seen_B, strict=True)])
        best_BK, score_BK = top_k(ranker.score(known), CANDIDATES, known)
        old_BK, _ = top_k(ranker.score(before.take(users)), K, known)
        for b, target in enumerate(everything.item_idx_E[batch].tolist()):
            systems["static"].hits.append(float(target in old_BK[b]))
            given = shelf.candidates(best_BK[b], score_BK[b], known.items(b))
            for name in POLICIES:
                slate = systems[name].policy.select(given, K, rng)
                systems[name].hits.append(float(target in slate.item_idx))
                systems[name].policy.update(slate, (slate.item_idx == target).astype(np.float64))
    return owner_E[arrivals], {name: system.hits for name, system in systems.items()}


def report(user_E: Ints, hits: dict[str, list[float]]) -> None:
    """A table: hit rate over all arrivals and its quarters, and the paired difference to the static and to the greedy one."""
    names = list(hits)
    found = [Contributions(np.array(hits[name]), np.ones(len(user_E))) for name in names]
    estimate_ZP = resampled(found, user_E)
    print(ABOUT.format(arrivals=len(user_E), users=len(np.unique(user_E))))
    print(f"| system | hit rate@{K} | to static | to greedy, user state | by quarter of arrivals |\n| --- | --- | --- | --- | --- |")
    greedy = names.index("user state, greedy")
    for p, name in enumerate(names):
        value = interval(found[p].estimate, estimate_ZP[:, p])
        quarters = " ".join(f"{part.mean():.3f}" for part in np.array_split(np.array(hits[name]), 4))
        cells = [str(value)]
        for other in (0, greedy):
            gain = interval(found[p].estimate - found[other].estimate, estimate_ZP[:, p] - estimate_ZP[:, other])
            cells.append("–" if other == p else f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})")
        print(f"| {name} | {' | '.join(cells)} | {quarters} |")


if __name__ == "__main__":
    main()
