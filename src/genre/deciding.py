"""Deciding: a run's policy on top of its served ranker, over the run's catalogue."""

# B queries, N items, n places of a slate

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from genre.config import GenreConfig
from genre.data.dataset import Dataset
from genre.encoders.catalogue import load_vectors
from genre.evaluation.evaluator import Scorer
from genre.policies import Policy
from genre.policies.placing import placed, slates
from genre.policies.shelf import Shelf
from genre.runs import Run
from genre.types import Floats, Histories
from genre.vectors import unit


def shelf_of(config: GenreConfig, run: Run, dataset: Dataset, attributes: Iterable[str] | None = None) -> Shelf:
    """What the run knows of its items from training: counts, the first encoder's vectors, item columns (those that its policy names)."""
    first = next(iter(config.encoders), None)
    vectors_ND = None if first is None else unit(load_vectors(run.path(f"embed/{first}")))
    columns = config.policy.attributes() if attributes is None else attributes
    return Shelf.of(dataset.items, dataset.training.item_counts(dataset.n_items), vectors_ND, columns)


def decided(policy: Policy, shelf: Shelf, score: Scorer, config: GenreConfig, repeats: bool) -> Scorer:
    """A ranker's scores with the policy's slates on top of them, so that a policy is judged as rankers are."""
    n, rng = max(*config.evaluate.cutoffs, config.evaluate.list_length), np.random.default_rng(config.seed)

    def decide(queries: Histories) -> Floats:
        scores_BN = score(queries)
        return placed(scores_BN, slates(policy, shelf, scores_BN, n, queries, None if repeats else queries.seen, rng))

    return decide
