"""The deep ranker on impressions that were really shown (MIND), beside its members and plain counters.

    python benchmarks/deep.py --data ../shared/data --seeds 3

Everything before the last fifth of the impressions (by time) is learnt from, the last fifth is ordered as it was shown, each list with what
had been counted up to its moment. Settings were chosen on validation; the test part is looked at once. As the last rung of a ladder the
deep ranker is in `quality.py` (movielens-100k, complete-journey).
"""

# I impressions, E entries of all of them

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import genre
from genre.component import build
from genre.data.dataset import Dataset
from genre.data.impressions import impressions_of
from genre.encoders.catalogue import load_vectors
from genre.evaluation.intervals import bootstrap, paired_difference
from genre.evaluation.metrics import impression_metrics
from genre.rankers import Ranker
from genre.rankers.calibration import calibration_error, mean_log_loss
from genre.rankers.deep import DeepRanker
from genre.types import Floats, Impressions, Training

TEST_SHARE = 0.2
ENTRIES = "AUC", "MRR", "nDCG@5", "nDCG@10", "log-loss", "calibration error"
MEMBERS: dict[str, dict[str, Any]] = {
    "popularity": {"use": "popularity"},
    "content": {"use": "content", "content": ["text"]},
    "transitions": {"use": "transitions"},
}


def main() -> None:
    """Run what is asked for and print its table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GENRE_DATA", "../shared/data")), help="folder of data sets")
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    print(impressions(asked))


def impressions(asked: argparse.Namespace) -> str:
    """MIND: the deep ranker beside each of its members and plain counters, on the impressions of the last fifth."""
    with tempfile.TemporaryDirectory() as scratch:
        dataset, content_ND = mind(asked.data / "mind-sample", Path(scratch))
        assert dataset.impressions is not None
        shown = impressions_of(dataset, dataset.impressions.collect())
        now_I = shown.queries.now_B
        since = np.quantile(now_I, 1 - TEST_SHARE)
        test, learnt = shown.take(np.flatnonzero(now_I >= since)), shown.take(np.flatnonzero(now_I < since))
        histories = dataset.everything.only(~(dataset.everything.time_E >= since))
        rows: dict[str, list[Floats]] = {}
        chances: list[Floats] = []
        for seed in range(asked.seeds):
            training = Training(
                histories, dataset.n_items, content_ND, members={}, member_content={"content": content_ND}, impressions=learnt, seed=seed
            )
            members = {}
            for name, settings in MEMBERS.items():
                members[name] = build(Ranker, settings)
                members[name].fit(replace(training, impressions=None), Path(scratch) / f"{seed}" / name)
                rows.setdefault(name, []).append(listed(members[name].score, test))
            deep = DeepRanker(DeepRanker.Config(of=tuple(members), content=("text",), half_life_days=(1 / 24, 0.25, 1.0)))
            deep.fit(replace(training, members=members), Path(scratch) / f"{seed}" / "deep")
            rows.setdefault("deep, counters stopped at the split", []).append(deep.probabilities(test)["click"])
            everything = dataset.everything
            later = everything.time_E >= since
            deep.observe(everything.item_idx_E[later], everything.time_E[later])
            deep.observe(test.item_idx_E, test.queries.now_B[test.owner_E()], "shown")
            rows.setdefault("deep", []).append(deep.probabilities(test)["click"])
            # Clicks are fewer than what would be clicked in the first place.
            chances.append(rows["deep"][-1] * deep.examination(int(test.position_E.max()) + 1)[test.position_E])
            counted = deep.sources.features.counters
            moment_E = test.queries.now_B[test.owner_E()]
            touched, seen = (np.expm1(counted[what].at(test.item_idx_E, moment_E)[:, 3]) for what in ("touched", "shown"))
            rows.setdefault("clicks a view, fading", []).append((touched + 0.05) / (seen + 1.0))
        return table(test, rows, chances)


def mind(folder: Path, scratch: Path) -> tuple[Dataset, Floats]:
    """The sample as MIND's own files, read by its reader."""
    shown = pl.read_parquet(folder / "interactions.parquet")
    entry = pl.col("item_id") + "-" + pl.col("rating").cast(pl.Int8).cast(pl.String)
    lists = shown.group_by("impression_id", "user_id", "timestamp", maintain_order=True).agg(entry.str.join(" ").alias("shown"))
    time = pl.from_epoch("timestamp").dt.strftime("%m/%d/%Y %I:%M:%S %p")
    lists = lists.join(pl.read_parquet(folder / "histories.parquet"), on="user_id", how="left")
    lists.select("impression_id", "user_id", time, pl.col("history").fill_null(""), "shown").write_csv(
        scratch / "behaviors.tsv", separator="\t", include_header=False, quote_style="never"
    )
    news = pl.read_parquet(folder / "items.parquet").with_columns(pl.col(pl.String).str.replace_all(r"[\t\n\r]", " ").fill_null(""))
    empty = [pl.lit("").alias(name) for name in ("url", "entities", "others")]
    news.select("item_id", "categories", "subcategory", "title", "description", *empty).write_csv(
        scratch / "news.tsv", separator="\t", include_header=False, quote_style="never"
    )
    (scratch / "mind.yaml").write_text(
        "data:\n  reader: {use: mind, behaviors: behaviors.tsv, news: news.tsv}\n  text: '{category} {subcategory} {title}'\n"
        "  split: {use: none}\nencoders: {text: {use: tfidf, dim: 64, whiten: true}}\nrankers: {popularity: {use: popularity}}\n"
    )
    run = genre.run(scratch / "mind.yaml", folder=scratch / "run")
    return Dataset.load(run.path("prepare")), load_vectors(run.path("embed/text"))


def listed(score: Callable[..., Floats], shown: Impressions) -> Floats:
    """A ranker's scores of the entries of lists."""
    parts = []
    for start in range(0, len(shown), 256):
        batch = shown.take(slice(start, start + 256))
        parts.append(score(batch.queries)[batch.owner_E(), batch.item_idx_E])
    return np.concatenate(parts)


def table(test: Impressions, rows: dict[str, list[Floats]], chances: list[Floats]) -> str:
    """Means over seeds with bootstrap intervals over impressions; differences of the deep ranker to the best row without it."""
    clicked = test.labels["click"] > 0
    values = {}
    for name, scores in rows.items():
        metrics = [impression_metrics(score_E, clicked, test.offsets) for score_E in scores]
        values[name] = np.stack([np.stack([one[key] for key in one], axis=1) for one in metrics])
    useful = ~np.isnan(next(iter(values.values()))[0]).any(axis=1)
    lines = [f"| | {' | '.join(ENTRIES[:4])} |", "|---" * 5 + "|"]
    for name, value_SIM in values.items():
        lines.append(f"| {name} | {' | '.join(map(str, bootstrap(value_SIM[:, useful].mean(0))))} |")
    best = max((name for name in values if not name.startswith("deep")), key=lambda name: float(values[name][:, useful, 0].mean()))
    gains = paired_difference(values["deep"][:, useful], values[best][:, useful])
    lines.append(f"| deep − {best} | {' | '.join(map(str, gains))} |")
    label = test.labels["click"].astype(np.float64)
    loss, error = (np.mean([figure(p_E, label) for p_E in chances]) for figure in (mean_log_loss, calibration_error))
    plain = mean_log_loss(np.full(len(label), label.mean()), label)
    head = f"last fifth of the impressions by time ({int(useful.sum())} lists with a click), ordered as they were asked for, "
    seeds = f"mean of {len(chances)} seeds" if len(chances) > 1 else "1 seed"
    return "\n".join(
        [f"{head}{seeds}", "", *lines, "", f"Clicks: log-loss {loss:.4f} (their share alone: {plain:.4f}), calibration error {error:.4f}."]
    )


if __name__ == "__main__":
    main()
