"""Reporting: the ladder of finished runs, what each rung cost, and the page that shows it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from genre.config import POLICY_RUNG, GenreConfig, load_run_config
from genre.data.dataset import Dataset
from genre.data.enriched import as_asked
from genre.evaluation.ladder import Ladder, Step, climb, merge
from genre.evaluation.report import Example, write_report
from genre.evaluation.result import Result
from genre.index import top_k
from genre.llm.ledger import LEDGER, Ledger
from genre.rankers import Ranker
from genre.rankers.deep import DeepRanker
from genre.runs import Run

EXAMPLES, LIST, HISTORY = 2, 10, 10
COST = "cost.json"


def ladder(folders: Sequence[Path]) -> Ladder:
    """The rungs of a run; of several runs that differ only in their seeds, the mean over seeds.

    Raises:
        FileNotFoundError: a run, or its evaluation, is missing.
        ValueError: the runs were not made from the same configuration.
    """
    runs = [(Run(folder), load_run_config(folder)) for folder in folders]
    first = runs[0][1]
    for run, config in runs:
        data = config.data.model_copy(update={"seed": first.data.seed})
        if config.model_copy(update={"seed": first.seed, "name": first.name, "data": data}) != first:
            raise ValueError(f"{run.folder} differs from {folders[0]} in more than its seeds and name; their mean would mean nothing")
    steps = [[_step(run, config, name) for name in _rungs(run, config)] for run, config in runs]
    return climb(merge(steps), first.evaluate.main)


def report(folders: Sequence[Path], file: Path) -> Ladder:
    """One HTML page: the ladder as a table and a plot, cold items and users, data checks, lists of real users.

    Raises:
        ValueError: the run was trained on everything since it was evaluated, or as `ladder` says.
    """
    run, config = Run(folders[0]), load_run_config(folders[0])
    if config.data.split.use == "none":
        raise ValueError(
            f"{run.folder} was trained on everything, so nothing is left to judge it on; "
            f"{run.folder / 'report.html'} tells of the run that was evaluated before"
        )
    climbed = ladder(folders)
    dataset = Dataset.load(run.path("prepare"))
    results = {name: Result.load(run.path(f"evaluate/{name}")) for name in _rungs(run, config)}
    facts = about(config, dataset) | enrichment(run) | chances(config, run, dataset)
    write_report(file, climbed, results, facts, dataset.checks, examples(config, run, dataset))
    return climbed


def cost(run: Run, stage: str) -> tuple[float, float, float]:
    """Wall-clock and CPU seconds of a stage and of all it was made from, but for prepare; the most MB that one of these took for itself."""
    needed: set[str] = set()
    stages = set(run.stages())  # beside them a stage may have been made from files
    waiting = [stage]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [source for source in run.manifest(name).inputs if source in stages and source != "prepare"]
    manifests = [run.manifest(name) for name in needed]
    took = max(m.peak_mb if m.rise_mb is None else m.rise_mb for m in manifests)
    return sum(m.seconds for m in manifests), sum(m.cpu_seconds for m in manifests), took


def keep_cost(run: Run, stage: str, folder: Path) -> None:
    """What a ranker cost, beside its figures: it may be trained anew, on everything, without being judged again."""
    (folder / COST).write_text(json.dumps(cost(run, stage)) + "\n")


def about(config: GenreConfig, dataset: Dataset) -> dict[str, str]:
    """The dataset in a few lines for people."""
    summary, training = dataset.summary, dataset.training
    lines = {
        "users": f"{len(dataset.users):,}",
        "items": f"{dataset.n_items:,}, {summary['items_with_text']:,} with text",
        "interactions": f"{len(dataset.interactions):,}, {len(training.item_idx_E):,} of them trained on",
        "items nobody touched in training": f"{int((training.item_counts(dataset.n_items) == 0).sum()):,}",
        "rows rejected": f"{summary['rejected']:,}",
        "order of ties in time": str(summary["ties"]),
        "seed": str(config.seed),
    }
    first, last = summary["first_time"], summary["last_time"]
    if isinstance(first, float) and isinstance(last, float):
        lines["time"] = " to ".join(datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d") for moment in (first, last))
    return lines


def enrichment(run: Run) -> dict[str, str]:
    """What a language model was asked, how often in vain, and what it cost; nothing if the run has no such stage."""
    file = run.folder / "enrich" / LEDGER
    return {"enrichment by a language model": str(Ledger.load(file))} if file.is_file() else {}


def chances(config: GenreConfig, run: Run, dataset: Dataset) -> dict[str, str]:
    """How far the chances of rankers that learnt them from histories may be believed, on the test part."""
    found: dict[str, str] = {}
    for name, settings in config.rankers.items():
        if not isinstance(settings, DeepRanker.Config) or dataset.impressions is not None:
            continue
        ranker = Ranker.load(run.path(f"rank/{name}"))
        assert isinstance(ranker, DeepRanker)
        truth = dataset.ground_truth("test").draw(config.evaluate.users, config.data.seed)
        asked = as_asked(truth.queries, truth.user_idx_B, len(dataset.users), run.path("enrich") if settings.synthetic else None)
        found[f"chances of {name} on the test part"] = str(ranker.believed(replace(truth, queries=asked)))
    return found


def examples(config: GenreConfig, run: Run, dataset: Dataset) -> list[Example]:
    """Two test users: what they did, what each of the first and the served rung would show, what really came next."""
    truth = dataset.ground_truth("test")
    truth = truth.take(np.sort(np.random.default_rng(config.seed).choice(len(truth), min(EXAMPLES, len(truth)), replace=False)))
    shown, users = dataset.items["shown"], dataset.users["user_id"]
    lists: dict[str, list[list[str]]] = {}
    for name in dict.fromkeys((next(iter(config.rankers)), config.served)):
        ranker = Ranker.load(run.path(f"rank/{name}"))
        enriched = run.path("enrich") if ranker.config.synthetic else None
        scores_BN = ranker.score(as_asked(truth.queries, truth.user_idx_B, len(users), enriched))
        best_BK, _ = top_k(scores_BN, LIST, None if dataset.repeats else truth.queries.seen)
        lists[name] = [[shown[i] for i in best_K.tolist() if i >= 0] for best_K in best_BK]
    return [
        Example(
            user=users[int(truth.user_idx_B[b])],
            history=[shown[int(i)] for i in truth.queries.items(b)[::-1][:HISTORY]],
            lists={name: found[b] for name, found in lists.items()},
            targets=[shown[int(i)] for i in truth.targets(b)],
        )
        for b in range(len(truth))
    ]


def _rungs(run: Run, config: GenreConfig) -> list[str]:
    """A policy chosen after the evaluation, for training on everything, has not been evaluated and is no rung."""
    judged = (run.folder / "evaluate" / POLICY_RUNG / "manifest.json").is_file()
    return [name for name in config.rungs if judged or name != POLICY_RUNG]


def _step(run: Run, config: GenreConfig, name: str) -> Step:
    ranker, label = (config.served, f"{config.served} + {config.policy.use}") if name == POLICY_RUNG else (name, name)
    folder = run.path(f"evaluate/{name}")
    spent = json.loads((folder / COST).read_text()) if (folder / COST).is_file() else cost(run, f"rank/{ranker}")
    return Step(name, label, [Result.load(folder)], *spent)
