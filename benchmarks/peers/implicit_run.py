"""implicit in the contest: ALS, BPR and neighbours by BM25 or cosine, each over a small grid, chosen on validation."""

# B queries, N items

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import implicit  # type: ignore
import numpy as np
from contest import Contest, Rows, Scorer, counts
from implicit.als import AlternatingLeastSquares  # type: ignore
from implicit.bpr import BayesianPersonalizedRanking  # type: ignore
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender  # type: ignore
from scipy import sparse

contest = Contest.from_arguments(model=("als", "als, bpr or knn"), seed=(0, "of every random choice"))
options = contest.options
Fit = Callable[[Any], Scorer]
"""From interactions, a sparse matrix of users and items, to a scorer."""


def interactions() -> Any:
    """Those that are to be learnt from now."""
    ones = np.ones(len(contest.item_E), np.float32)
    return sparse.csr_matrix((ones, (contest.user_E, contest.item_E)), shape=(contest.n_users, contest.n_items))


def als() -> Iterator[tuple[str, Fit]]:
    """Factors, regularisation and confidence; users are folded in anew from whatever history is asked about."""
    for factors, alpha, regularization in itertools.product((64, 128, 32), (1.0, 10.0), (0.1, 3.0, 10.0, 30.0)):

        def fit(train: Any, factors: int = factors, alpha: float = alpha, regularization: float = regularization) -> Scorer:
            model = AlternatingLeastSquares(
                factors, regularization, alpha, iterations=15, num_threads=1, random_state=options.seed, use_gpu=False
            )  # fmt: skip
            model.fit(train, show_progress=False)

            def score(histories: Rows, user_B: Any) -> Any:
                user_BD = model.recalculate_user(np.arange(len(histories)), counts(histories, contest.n_items))
                return user_BD @ model.item_factors.T

            return score

        yield f"{factors} factors, alpha {alpha:g}, regularization {regularization:g}", fit


def bpr() -> Iterator[tuple[str, Fit]]:
    """Factors, rate and passes; a user keeps the vector learnt in training, since it has no way to fold in."""
    for factors, rate, regularization, iterations in itertools.product((64, 128), (0.01, 0.03), (0.01, 0.05), (20, 50, 150)):

        def fit(
            train: Any, factors: int = factors, rate: float = rate, regularization: float = regularization, iterations: int = iterations
        ) -> Scorer:
            model = BayesianPersonalizedRanking(
                factors, rate, regularization, iterations=iterations, num_threads=1, random_state=options.seed, use_gpu=False
            )  # fmt: skip
            model.fit(train, show_progress=False)

            def score(histories: Rows, user_B: Any) -> Any:
                return model.user_factors[user_B] @ model.item_factors.T

            return score

        yield f"{factors} factors, rate {rate:g}, regularization {regularization:g}, {iterations} passes", fit


def knn() -> Iterator[tuple[str, Fit]]:
    """Item neighbours by three weightings and as many as are kept."""
    kinds = {"BM25": BM25Recommender, "TF-IDF": TFIDFRecommender, "cosine": CosineRecommender}
    for neighbours, (name, kind) in itertools.product((100, 20, 500), kinds.items()):

        def fit(train: Any, neighbours: int = neighbours, kind: Any = kind) -> Scorer:
            model = kind(K=neighbours, num_threads=1)
            model.fit(train, show_progress=False)

            def score(histories: Rows, user_B: Any) -> Any:
                return (counts(histories, contest.n_items) @ model.similarity).toarray()

            return score

        yield f"{name}, {neighbours} neighbours", fit


contest.begin(implicit.__version__, {"model": options.model})
train = interactions()
for tried, (label, fit) in enumerate({"als": als, "bpr": bpr, "knn": knn}[options.model](), 1):
    scorer = fit(train)
    if not contest.offer(tried, scorer, lambda found=(fit, scorer): found, label=label):  # type: ignore
        break
contest.finish(lambda found: found[0](interactions()) if contest.refits else found[1])
