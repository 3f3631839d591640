"""Which negatives a sequential ranker should learn against: uniform, by popularity, half of each, or with an adversary's picks beside them.

    python benchmarks/negatives.py [--seeds 3] [--epochs 10]

MovieLens-100K, validation items of leave-last-out, full ranking, history masked. All rows share the settings, epochs and 256 draws a step;
the best epoch is chosen on the same validation users, so the figures are validation figures. The adversary's weight and picks are
the only things tried in more than one setting, and all settings tried are shown.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from genre.config import parse_config
from genre.data.dataset import Dataset
from genre.evaluation.intervals import bootstrap, paired_difference
from genre.pipeline import prepare
from genre.rankers.sequential import SequentialRanker
from genre.runs import Run
from genre.types import Floats, GroundTruth, Training
from genre.validation import ndcg_B

ROWS: dict[str, dict[str, Any]] = {
    "uniform": {"popularity_share": 0.0},
    "popularity": {"popularity_share": 1.0},
    "half of each": {"popularity_share": 0.5},
    "uniform + adversary 0.1": {"popularity_share": 0.0, "adversarial": 0.1},
    "uniform + adversary 0.5": {"popularity_share": 0.0, "adversarial": 0.5},
    "half of each + adversary 0.1": {"popularity_share": 0.5, "adversarial": 0.1},
    "all items (full softmax)": {"loss": "full"},
}
SHARED: dict[str, Any] = {
    "loss": "sampled", "negatives": 256, "embedding_dim": 64, "schedule": "cosine", "learning_rate": 5e-3, "dropout": 0.2,
    "input_dropout": 0.2, "warmup_steps": 50, "device": "cpu",
}  # fmt: skip


def main() -> None:
    """Train every row with every seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    asked = parser.parse_args()
    reader = {"use": "movielens-100k"}
    tree = {"name": "negatives", "data": {"reader": reader, "text": "{title}"}, "rankers": {"popularity": {"use": "popularity"}}}
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(Path(scratch))
        prepare(parse_config(tree), run)
        dataset = Dataset.load(run.path("prepare"))
        truth = dataset.ground_truth("valid")
        print(f"{len(truth)} users, {dataset.n_items:,} films, {asked.epochs} epochs, seeds: {asked.seeds}, intervals over users.\n")
        print("| negatives | NDCG@10 | minus uniform | CPU s a seed |\n|---|---|---|---|", flush=True)
        uniform_SUM = np.empty(0)
        for name, settings in ROWS.items():
            started, parts = time.process_time(), []
            for seed in range(asked.seeds):
                training = Training(dataset.training, dataset.n_items, None, truth, dataset.repeats, seed=seed)
                ranker = SequentialRanker(SequentialRanker.Config.model_validate({**SHARED, "epochs": asked.epochs, **settings}))
                ranker.fit(training, Path(scratch) / name / str(seed))
                parts.append(judged(ranker, truth, dataset.repeats))
            seconds, found_SUM = (time.process_time() - started) / asked.seeds, np.stack(parts).astype(np.float64)[:, :, None]
            if name == "uniform":
                uniform_SUM = found_SUM
            gain = "" if name == "uniform" else f"{paired_difference(found_SUM, uniform_SUM)[0]}"
            print(f"| {name} | {bootstrap(found_SUM.mean(0))[0]} | {gain} | {seconds:.0f} |", flush=True)


def judged(ranker: SequentialRanker, truth: GroundTruth, repeats: bool) -> Floats:
    """NDCG@10 of each user."""
    parts = [truth.take(slice(start, start + 256)) for start in range(0, len(truth), 256)]
    return np.concatenate([ndcg_B(ranker.score(part.queries), part, repeats) for part in parts])


if __name__ == "__main__":
    main()
