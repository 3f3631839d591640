"""A peer's side of the contest: it reads the exchange folder, trains, and hands its scores to the judge, who alone computes metrics.

Runs inside the peer's own environment, so it needs numpy only. The judge is the parent process: questions go out as
lines of JSON on what was standard output, answers come back on standard input.
"""

# B queries, N items

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Rows = list["np.ndarray[Any, np.dtype[np.int32]]"]
Scorer = Callable[[Rows, Any], Any]
"""Histories, and the users whose they are, to float32 scores of shape (queries, items)."""

PATIENCE = 10
"""Stop after so many evaluations, and so many epochs, without a better validation score."""
CHUNK = 512
"""Queries scored at once."""


@dataclass
class Best:
    """The best validation score of one protocol, and what is needed to score with that model again."""

    ndcg: float = -1.0
    epoch: int = 0
    state: Any = None


@dataclass
class Contest:
    """One peer's run on one data set.

    Attributes:
        n_users, n_items: how many there are; indices are dense from 0.
        user_E, item_E: training interactions, by user, oldest first.
        budget: CPU seconds of training allowed.
        every: CPU seconds that have to pass between two evaluations.
    """

    folder: Path
    n_users: int
    n_items: int
    protocols: list[str]
    budget: float
    every: float
    options: argparse.Namespace
    best: dict[str, Best] = field(default_factory=dict)
    since: tuple[int, int] = (0, 0)
    evaluations: int = 0
    cut: bool = False

    def __post_init__(self) -> None:
        # Libraries print what they like; the judge gets a channel of its own.
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._spent = self._last = 0.0
        self._began = time.process_time()
        self._take("train")
        self.best = {name: Best() for name in self.protocols}
        self._queries = {split: self._read(split) for split in ("valid", "test")}

    @classmethod
    def from_arguments(cls, **options: tuple[Any, str]) -> Contest:
        """The contest that the command line names; `options` are the peer's own, as name=(default, help)."""
        parser = argparse.ArgumentParser()
        parser.add_argument("exchange", type=Path)
        parser.add_argument("--cpu-seconds", type=float, required=True)
        for name, (default, meaning) in options.items():
            parser.add_argument(f"--{name}", type=type(default), default=default, help=meaning)
        given = parser.parse_args()
        facts = json.loads((given.exchange / "exchange.json").read_text())
        every = given.cpu_seconds / 30
        return cls(given.exchange, facts["users"], facts["items"], facts["protocols"], given.cpu_seconds, every, given)

    def begin(self, version: str, settings: dict[str, Any]) -> None:
        """Training starts here; what was spent before, on imports, does not count."""
        self._ask({"ask": "begin", "version": version, "settings": settings})
        self._spent, self._last, self._began = 0.0, 0.0, time.process_time()

    @property
    def refits(self) -> bool:
        """Whether what was chosen is learnt anew from training and validation before the test."""
        return (self.folder / "refit.npz").is_file()

    def _take(self, name: str) -> None:
        with np.load(self.folder / f"{name}.npz") as file:
            self.user_E, self.item_E, self.order_E = file["user_idx"], file["item_idx"], file["order"]

    @property
    def cpu_seconds(self) -> float:
        """CPU time of training so far, of all threads, without evaluations."""
        return self._spent + time.process_time() - self._began

    def offer(self, epoch: int, score: Scorer, state: Callable[[], Any], label: str = "", at_once: bool = True) -> bool:
        """Have the model judged on the validation queries, if it is time to.

        Args:
            epoch: finished epochs, for the trace and for patience.
            state: copies what `finish` needs to score with this very model again; called when it is the best so far.
            at_once: False in the middle of an epoch: judge only when the budget is spent or `every` seconds have passed.

        Returns:
            Whether training should go on.
        """
        now = self.cpu_seconds
        spent = now >= self.budget
        if not spent and now - self._last < self.every and not (at_once and label):
            return True
        self._spent = now
        verdict = self._judge("valid", score, {"epoch": epoch, "label": label, "cpu_seconds": round(now, 2)})
        self.evaluations += 1
        for name, best in self.best.items():
            if verdict[name] > best.ndcg:
                self.best[name] = Best(verdict[name], epoch, state())
                self.since = (self.evaluations, epoch)
        self.cut = spent
        self._began, self._last = time.process_time(), now
        idle = self.evaluations - self.since[0] >= PATIENCE and epoch - self.since[1] >= PATIENCE
        return not spent and (bool(label) or not idle)

    def finish(self, restore: Callable[[Any], Scorer]) -> None:
        """Score the test queries with the model that was best on validation, once a protocol; `restore` learns it anew if `refits`."""
        if self.refits:
            self._take("refit")
        for name, best in self.best.items():
            if best.state is not None:
                self._judge("test", restore(best.state), {"protocol": name, "epoch": best.epoch})
        self._ask({"ask": "end", "cpu_seconds": round(self._spent, 2), "cut": self.cut})

    def _judge(self, split: str, score: Scorer, note: dict[str, Any]) -> dict[str, Any]:
        histories, user_B = self._queries[split]
        file = self.folder / f"scores-{os.getpid()}.npy"
        scores_BN = np.lib.format.open_memmap(file, "w+", np.float32, (len(histories), self.n_items))
        for start in range(0, len(histories), CHUNK):
            scores_BN[start : start + CHUNK] = score(histories[start : start + CHUNK], user_B[start : start + CHUNK])
        scores_BN.flush()
        answer = self._ask({"ask": split, "file": str(file), **note})
        file.unlink()
        return answer

    def _read(self, split: str) -> tuple[Rows, Any]:
        with np.load(self.folder / f"{split}.npz") as file:
            items, offsets, user_B = file["item_idx"], file["offsets"], file["user_idx"]
        return [items[a:b] for a, b in itertools.pairwise(offsets)], user_B

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        self._out.write(json.dumps(question) + "\n")
        self._out.flush()
        answer = sys.stdin.readline()
        if not answer:
            raise SystemExit("the judge is gone")
        found: dict[str, Any] = json.loads(answer)
        return found


def counts(histories: Rows, n_items: int) -> Any:
    """How often each item is in each history: a scipy sparse matrix of shape (queries, items)."""
    from scipy import sparse

    lengths = [len(history) for history in histories]
    rows = np.repeat(np.arange(len(histories)), lengths)
    values = np.ones(len(rows), np.float32)
    return sparse.csr_matrix((values, (rows, np.concatenate(histories))), shape=(len(histories), n_items))
