"""Judging: the rankers of a run, by what happened in the part of the data that they did not learn from."""

# N items, D content dimensions

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genre.config import GenreConfig, load_run_config
from genre.data.dataset import Dataset, Part
from genre.data.enriched import as_asked
from genre.encoders.catalogue import load_vectors
from genre.evaluation.beyond_accuracy import category_shares
from genre.evaluation.evaluator import Catalogue, Scorer, evaluate
from genre.evaluation.result import Result
from genre.rankers import Ranker
from genre.runs import Run


def judge(
    config: GenreConfig,
    run: Run,
    dataset: Dataset,
    score: Scorer,
    content_ND: npt.NDArray[np.float32] | None,
    part: Part,
    name: str,
    synthetic: bool,
) -> Result:
    """A scorer's metrics on a part of the split, with the protocol in words."""
    settings = config.evaluate
    everyone = dataset.ground_truth(part)
    truth = everyone.draw(settings.users, config.data.seed)
    categories = category_shares(dataset.items[settings.category])[0] if settings.category else None
    counts_N = dataset.training.item_counts(dataset.n_items)
    protocol = f"{dataset.summary['protocol']}{'' if part == 'test' else ', validation'}"
    enriched = run.path("enrich") if synthetic else None
    return evaluate(
        score,
        truth,
        Catalogue(counts_N, content_ND, categories),
        protocol,
        settings,
        dataset.repeats,
        dataset.left_out(part, len(everyone)),
        what=f"evaluating {name}",
        asked=as_asked(truth.queries, truth.user_idx_B, len(dataset.users), enriched),
    )


def measure(folder: Path, names: Sequence[str] = (), part: str = "valid") -> Iterator[tuple[str, Result]]:
    """Rankers of a finished run on a part of the split, without writing anything.

    Raises:
        ValueError: no such ranker or part.
    """
    if part not in ("valid", "test"):
        raise ValueError(f"there is no part {part!r}; valid or test")
    run, config = Run(folder), load_run_config(folder)
    if missing := [name for name in names if name not in config.rankers]:
        raise ValueError(f"{folder} has no ranker {missing[0]!r}; it has {', '.join(config.rankers)}")
    if part == "valid" and config.data.split.refit:
        raise ValueError(f"{folder} learnt from the validation part, too (data.split.refit); judge it by the test part: --part test")
    if config.data.split.use == "none":
        raise ValueError(
            f"{folder} learnt from everything (data.split.use=none), so nothing is left to judge by; for figures run its configuration "
            "with a split and another name"
        )
    dataset = Dataset.load(run.path("prepare"))
    content = content_of(run, config.encoders)
    chosen: Part = "test" if part == "test" else "valid"
    for name in names or config.rankers:
        ranker = Ranker.load(run.path(f"rank/{name}"))
        yield name, judge(config, run, dataset, ranker.score, content, chosen, name, ranker.config.synthetic)


def content_of(run: Run, encoders: Iterable[str]) -> npt.NDArray[np.float32] | None:
    """The item vectors of some encoders side by side; None of none."""
    vectors = [load_vectors(run.path(f"embed/{name}")) for name in encoders]
    return np.concatenate(vectors, axis=1) if vectors else None
