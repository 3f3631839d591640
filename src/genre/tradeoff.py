"""The trade-off: what variety, coverage and the long tail cost in accuracy, policy by policy, setting by setting."""

# B queries, N items, U users, n places of a slate, K candidates

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genre.component import build
from genre.config import GenreConfig, load_run_config
from genre.data.dataset import Dataset, Part
from genre.deciding import shelf_of
from genre.evaluation import beyond_accuracy as beyond
from genre.evaluation.drawing import Panel, Series, write_panels
from genre.evaluation.intervals import Interval, bootstrap
from genre.evaluation.metrics import all_metrics
from genre.index import top_k
from genre.policies import Policy
from genre.policies.placing import CANDIDATES
from genre.progress import track
from genre.rankers import Ranker
from genre.runs import Run
from genre.types import Candidates, Floats, GroundTruth, Ints

BATCH = 256
SWEEPS: dict[str, tuple[str, tuple[float, ...]]] = {
    "mmr": ("diversity", (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)),
    "dpp": ("strength", (0.03, 0.1, 0.3, 1.0, 3.0)),
    "calibrated": ("weight", (0.2, 0.4, 0.6, 0.8, 0.95)),
    "caps": ("most", (5, 3, 2, 1)),
    "long_tail": ("strength", (0.1, 0.2, 0.3, 0.5, 0.8)),
    "epsilon": ("epsilon", (0.02, 0.05, 0.1, 0.2, 0.4)),
    "plackett_luce": ("temperature", (0.05, 0.1, 0.2, 0.3, 0.5)),
    "linucb": ("alpha", (0.03, 0.1, 0.3, 1.0, 3.0)),
    "thompson": ("noise", (0.003, 0.01, 0.03, 0.1, 0.2)),
}
"""The setting of each policy that goes from accuracy to something else, and the values tried; bandits as they are before they learn."""
COMPARE, COUNT = ("mmr", "dpp"), ("calibrated", "caps")
"""Policies that read vectors, and policies that read categories."""


@dataclass(frozen=True)
class Point:
    """One policy with one setting.

    Attributes:
        ndcg: over users, with its interval; `diversity` is None where there are no vectors.
    """

    policy: str
    setting: str
    ndcg: Interval
    diversity: float | None
    coverage: float
    tail_share: float


@dataclass(frozen=True)
class Curve:
    """Points of all policies, greedy first, and how they were measured."""

    points: tuple[Point, ...]
    k: int
    users: int
    part: str

    def table(self) -> tuple[list[str], list[list[str]]]:
        """A header and a row of text a point."""
        header = ["policy", "setting", f"ndcg@{self.k}", f"diversity@{self.k}", f"coverage@{self.k}", f"tail share@{self.k}"]
        rows = [
            [
                point.policy, point.setting, str(point.ndcg), "–" if point.diversity is None else f"{point.diversity:.3f}",
                f"{point.coverage:.3f}", f"{point.tail_share:.3f}",
            ]
            for point in self.points
        ]  # fmt: skip
        return header, rows

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return asdict(self)

    def draw(self, file: Path) -> None:
        """NDCG against diversity (where there are vectors), coverage and tail share: one line a policy, from greedy on."""
        measures = {
            "diversity": "diversity: mean of 1 − cosine in a list",
            "coverage": "coverage: share of the catalogue in some list",
            "tail_share": "tail share: places outside the head",
        }
        start = self.points[0]
        if start.diversity is None:
            del measures["diversity"]
        lines = {
            policy: [start, *(point for point in self.points if point.policy == policy)]
            for policy in dict.fromkeys(point.policy for point in self.points[1:])
        }
        panels = []
        for measure, x in measures.items():
            panels.append(Panel(x, [Series(name, *_places(line, measure)) for name, line in lines.items()]))
        words = f"{self.users:,} users, {self.part} part, full ranking; every line starts at greedy; hover for settings"
        write_panels(file, "What variety, coverage and the long tail cost", f"NDCG@{self.k}", panels, words)


def tradeoff(folder: Path, part: Part = "valid", k: int = 10, users: int | None = None, seed: int = 0) -> Curve:
    """Sweep every policy that the run has what it reads of, on top of the ranker it serves.

    Raises:
        FileNotFoundError: there is no run.
        ValueError: the part has no queries.
    """
    run, config = Run(folder), load_run_config(folder)
    dataset = Dataset.load(run.path("prepare"))
    truth = dataset.ground_truth(part, users, config.data.seed)
    if not len(truth):
        raise ValueError(f"{folder}: the {part} part has no queries; the run was made with data.split.use={config.data.split.use}")
    attributes = () if config.evaluate.category is None else (config.evaluate.category,)
    prepared = _prepared(config, run, dataset, truth, attributes)
    found = [Point("greedy", "–", *_measure(build(Policy, {"use": "greedy"}), *prepared, truth, k, seed))]
    for name, setting, value in track(list(_settings(config)), "sweeping policies"):
        policy = build(Policy, _configured(name, setting, value, config.evaluate.category))
        found.append(Point(name, f"{setting} {value:g}", *_measure(policy, *prepared, truth, k, seed)))
    return Curve(tuple(found), k, len(np.unique(truth.user_idx_B)), part)


def _places(line: list[Point], measure: str) -> tuple[list[tuple[float, float]], list[str]]:
    """Where the points of a line are, and what they say."""
    said = [f"{point.setting}: ndcg {point.ndcg}, coverage {point.coverage:.3f}, tail {point.tail_share:.3f}" for point in line]
    return [(float(getattr(point, measure)), point.ndcg.mean) for point in line], said


def _settings(config: GenreConfig) -> Iterable[tuple[str, str, float]]:
    """What can be swept: without an encoder nothing that compares items, without a category nothing that counts them."""
    for name, (setting, values) in SWEEPS.items():
        if (name in COMPARE and not config.encoders) or (name in COUNT and config.evaluate.category is None):
            continue
        for value in values:
            yield name, setting, value


def _configured(name: str, setting: str, value: float, category: str | None) -> dict[str, Any]:
    """A policy's settings."""
    match name:
        case "caps":
            return {"use": name, setting: {category: value}}
        case "calibrated":
            return {"use": name, setting: value, "attribute": category}
        case _:
            return {"use": name, setting: value}


def _prepared(
    config: GenreConfig, run: Run, dataset: Dataset, truth: GroundTruth, attributes: Iterable[str]
) -> tuple[list[Candidates], Ints, Floats | None]:
    """Every query's candidates, once for all policies."""
    ranker = Ranker.load(run.path(f"rank/{config.served}"))
    shelf = shelf_of(config, run, dataset, attributes=attributes)
    found: list[Candidates] = []
    for start in track(range(0, len(truth), BATCH), "scoring"):
        queries = truth.queries.take(slice(start, min(start + BATCH, len(truth))))
        best_BK, score_BK = top_k(ranker.score(queries), CANDIDATES, None if dataset.repeats else queries.seen)
        for b, (item_K, score_K) in enumerate(zip(best_BK, score_BK, strict=True)):
            there_K = item_K >= 0
            found.append(shelf.candidates(item_K[there_K], score_K[there_K], queries.items(b)))
    return found, shelf.counts_N, shelf.vectors_ND


def _measure(
    policy: Policy, candidates: list[Candidates], counts_N: Ints, vectors_ND: Floats | None, truth: GroundTruth, k: int, seed: int
) -> tuple[Interval, float | None, float, float]:
    """NDCG, diversity, coverage and tail share of a policy's slates."""
    rng = np.random.default_rng(seed)
    list_BK = np.full((len(candidates), k), -1, np.int64)
    for b, given in enumerate(candidates):
        shown = policy.select(given, k, rng).item_idx
        list_BK[b, : len(shown)] = shown
    # A target's rank is its place; what is not on the list is at no place that counts.
    at_EK = list_BK[truth.owner_E()] == truth.target_E[:, None]
    rank_E = np.where(at_EK.any(1), at_EK.argmax(1) + 1.0, np.inf)
    ndcg_B = all_metrics(rank_E, truth.offsets, (k,))[f"ndcg@{k}"]
    _, user_B = np.unique(truth.user_idx_B, return_inverse=True)
    ndcg_U = np.bincount(user_B, ndcg_B) / np.bincount(user_B)
    diversity = None if vectors_ND is None else float(np.nanmean(beyond.intra_list_diversity(list_BK, vectors_ND)))
    tail = float(np.nanmean(beyond.tail_share(list_BK, counts_N)))
    return bootstrap(ndcg_U[:, None], seed=seed)[0], diversity, beyond.coverage(list_BK, len(counts_N)), tail
