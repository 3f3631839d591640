"""Judges a scorer against what really came next, over the whole catalogue, in batches of bounded memory."""

# B queries of one batch, U users, N items, E targets, K places of a list, D embedding, C categories

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, PositiveFloat, PositiveInt

from genre.component import Settings
from genre.evaluation import beyond_accuracy as beyond
from genre.evaluation.intervals import Interval, bootstrap
from genre.evaluation.metrics import Values, all_metrics, target_ranks
from genre.evaluation.protocol import Protocol
from genre.evaluation.result import Group, Result
from genre.index import top_k
from genre.progress import track
from genre.types import Floats, GroundTruth, Histories, Ints

Scorer = Callable[[Histories], Floats]

CHUNK = 4096
"""Lists whose category mixes are held at once."""


class EvaluationConfig(Settings):
    """How lists are judged; all of it ends in the printed protocol or beside it."""

    cutoffs: tuple[PositiveInt, ...] = Field((5, 10, 20), min_length=1)
    """The k of every metric."""
    list_length: PositiveInt = 10
    """Places of the lists that coverage, novelty, diversity and the like are computed from."""
    resamples: int = Field(1000, ge=100)
    """Bootstrap resamples of users behind every interval."""
    level: float = Field(0.95, gt=0.5, lt=1)
    """Coverage of the intervals."""
    cold_user: PositiveInt = 3
    """A user with fewer events than this in the history is cold."""
    buckets: tuple[PositiveInt, ...] = (3, 10, 30, 100)
    """Borders of the history lengths that are reported apart: below 3, 3 to 9, and so on."""
    head: float = Field(0.8, gt=0, lt=1)
    """The head is the fewest items that hold this share of training interactions; the rest is the tail."""
    memory_mb: PositiveFloat = 256
    """Scores held at once."""
    seed: int = 0
    """Of the bootstrap."""


@dataclass(frozen=True)
class Catalogue:
    """What is known of the items that are ranked.

    Attributes:
        counts_N: training interactions an item; an item with none is cold.
        vectors_ND: content vectors, for diversity; None leaves it out.
        category_NC: category mix an item (`beyond_accuracy.category_shares`), for calibration; None leaves it out.
    """

    counts_N: Ints
    vectors_ND: Floats | None = None
    category_NC: Floats | None = None

    def __len__(self) -> int:
        return len(self.counts_N)


def evaluate(
    score: Scorer,
    truth: GroundTruth,
    catalogue: Catalogue,
    split: str,
    config: EvaluationConfig | None = None,
    repeats: bool = False,
    dropped: Mapping[str, int] | None = None,
    what: str = "evaluating",
    asked: Histories | None = None,
) -> Result:
    """All metrics with intervals, under the mask and without it in one pass.

    Args:
        score: histories to scores of shape (B, N); NaN is counted and never a hit.
        split: the splitting's name, which every printed value carries.
        repeats: whether items of the history may be right; decides which of the two is the main one, and the lists.
        dropped: what was left out before, and how often.
        asked: the queries as the scorer sees them, where that is more than what users did: synthetic events. Nothing else looks at it: what
            is masked, whose history is how long and what is right are those of the truth.

    Raises:
        ValueError: nothing to judge, an item outside the catalogue, or scores of another shape.
    """
    config = config or EvaluationConfig()
    _check(truth, len(catalogue))
    truth = truth.distinct(repeats=True)  # bought twice in the test period is still one right item
    rank_E, masked_E, list_BK, n_nan = _rank(score, truth, asked or truth.queries, len(catalogue), config, repeats, what)
    main_E, other_E = (rank_E, masked_E) if repeats else (masked_E, rank_E)
    users, user_of_B = np.unique(truth.user_idx_B, return_inverse=True)
    protocol = Protocol(split, len(users), len(truth), len(catalogue), repeats, dict(dropped or {}), config.level)

    values = all_metrics(main_E, truth.offsets, config.cutoffs)
    per_user = pl.DataFrame(
        {
            "user_idx": users,
            "history_length": _by_user(truth.queries.lengths.astype(np.float64), user_of_B),
            "targets": np.bincount(user_of_B, np.diff(truth.offsets)).astype(np.int64),
            **{name: _by_user(value, user_of_B) for name, value in values.items()},
        }
    )
    other = all_metrics(other_E, truth.offsets, config.cutoffs)
    return Result(
        protocol=protocol,
        metrics=_intervals(values, user_of_B, config),
        other=_intervals(other, user_of_B, config),
        beyond=_beyond(list_BK, truth.queries, catalogue, config),
        groups=_groups(main_E, truth, catalogue, user_of_B, config),
        nan_scores=n_nan,
        per_user=per_user,
    )


def _rank(
    score: Scorer, truth: GroundTruth, asked: Histories, n_items: int, config: EvaluationConfig, repeats: bool, what: str
) -> tuple[Values, Values, npt.NDArray[np.int64], int]:
    """Ranks of all targets without and with the mask, the lists, and how many scores were NaN."""
    # A scorer holds about three arrays of this shape while it works.
    size = int(np.clip(config.memory_mb * 1e6 / (3 * 4 * n_items), 1, 2048))
    ranks, masked_ranks, lists, n_nan = [], [], [], 0
    for start in track(range(0, len(truth), size), what):
        rows = slice(start, start + size)
        batch = truth.take(rows)
        scores_BN = score(asked.take(rows))
        if scores_BN.shape != (len(batch), n_items):
            raise ValueError(f"scores have shape {scores_BN.shape}, not (queries, items) = ({len(batch)}, {n_items})")
        rank_E, masked_E = target_ranks(scores_BN, batch.target_E, batch.offsets, batch.queries.seen)
        ranks.append(rank_E)
        masked_ranks.append(masked_E)
        lists.append(top_k(scores_BN, config.list_length, None if repeats else batch.queries.seen)[0])
        n_nan += int(np.isnan(scores_BN).sum())
    return np.concatenate(ranks), np.concatenate(masked_ranks), np.concatenate(lists), n_nan


def _beyond(list_BK: Ints, queries: Histories, catalogue: Catalogue, config: EvaluationConfig) -> dict[str, float]:
    k = config.list_length
    found = {
        f"coverage@{k}": beyond.coverage(list_BK, len(catalogue)),
        f"gini@{k}": beyond.gini(list_BK, len(catalogue)),
        f"novelty@{k}": _mean(beyond.novelty(list_BK, catalogue.counts_N)),
        f"tail_share@{k}": _mean(beyond.tail_share(list_BK, catalogue.counts_N, config.head)),
    }
    if catalogue.vectors_ND is not None:
        found[f"diversity@{k}"] = _mean(beyond.intra_list_diversity(list_BK, catalogue.vectors_ND))
    if catalogue.category_NC is not None and catalogue.category_NC.shape[1]:
        # A few thousand lists at a time: places times categories of all of them would be the largest array of the evaluation.
        parts = [slice(start, start + CHUNK) for start in range(0, len(queries), CHUNK)]
        strays, distances = [], []
        for part in parts:
            mixes = beyond.mixes(list_BK[part], queries.take(part), catalogue.category_NC)
            strays.append(beyond.miscalibration(*mixes))
            distances.append(beyond.jensen_shannon(*mixes))
        found[f"miscalibration@{k}"], found[f"mix_distance@{k}"] = _mean(np.concatenate(strays)), _mean(np.concatenate(distances))
    # A mean over nothing (every list empty) is left out: NaN is no JSON.
    return {name: value for name, value in found.items() if not np.isnan(value)}


def _groups(rank_E: Values, truth: GroundTruth, catalogue: Catalogue, user_of_B: Ints, config: EvaluationConfig) -> list[Group]:
    """Cold and warm items, cold users, and buckets of history length."""
    cold_E = catalogue.counts_N[truth.target_E] == 0
    length_B = truth.queries.lengths
    length_E = length_B[truth.owner_E()]
    borders = (0, *sorted(set(config.buckets)))
    wanted: list[tuple[str, str, npt.NDArray[np.bool_]]] = [
        ("items", "cold items (no training interaction)", cold_E),
        ("items", "warm items", ~cold_E),
        ("users", f"cold users (fewer than {config.cold_user} events)", length_E < config.cold_user),
        ("users", "warm users", length_E >= config.cold_user),
    ]
    for low, high in zip(borders, (*borders[1:], None), strict=True):
        label = f"{low:,} and more" if high is None else f"{low:,} to {high - 1:,}" if high - 1 > low else f"{low:,}"
        wanted.append(("history", label, (length_E >= low) & (length_E < (np.inf if high is None else high))))
    groups = []
    for kind, label, chosen_E in wanted:
        # A query counts for the targets of the group only: of two targets of which one is cold, the cold one.
        n_B = np.bincount(truth.owner_E()[chosen_E], minlength=len(truth))
        rows = np.flatnonzero(n_B)
        metrics: dict[str, Interval] = {}
        if len(rows):
            offsets = np.concatenate([[0], np.cumsum(n_B[rows])])
            values = all_metrics(rank_E[chosen_E], offsets, config.cutoffs)
            metrics = _intervals(values, np.unique(user_of_B[rows], return_inverse=True)[1], config)
        groups.append(Group(kind, label, len(np.unique(user_of_B[rows])), int(chosen_E.sum()), metrics))
    return groups


def _intervals(values: Mapping[str, Values], user_of_B: Ints, config: EvaluationConfig) -> dict[str, Interval]:
    value_UM = np.stack([_by_user(value_B, user_of_B) for value_B in values.values()], axis=1)
    return dict(zip(values, bootstrap(value_UM, config.resamples, config.level, config.seed), strict=True))


def _by_user(value_B: Values, user_of_B: Ints) -> Values:
    """Mean over each user's queries."""
    return np.asarray(np.bincount(user_of_B, value_B) / np.bincount(user_of_B))


def _mean(value_B: Values) -> float:
    known = value_B[~np.isnan(value_B)]
    return float(known.mean()) if len(known) else float("nan")


def _check(truth: GroundTruth, n_items: int) -> None:
    if not len(truth):
        raise ValueError("there is nothing to judge: the split left no user with a target; give more events or another data.split")
    named: Sequence[tuple[str, Ints]] = (("target", truth.target_E), ("history", truth.queries.item_idx_E))
    for name, item_idx_E in named:
        if len(item_idx_E) and not 0 <= item_idx_E.min() <= item_idx_E.max() < n_items:
            raise ValueError(f"a {name} has item {item_idx_E.max()} (or a negative one); the catalogue has items 0 to {n_items - 1}")
