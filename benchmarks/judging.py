"""The judge's side of the contest: writes the exchange folder, runs a peer in its own environment, and scores it with genre's metrics."""

# B queries, N items

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from genre.data.dataset import Dataset, Part
from genre.evaluation.evaluator import Catalogue, evaluate
from genre.evaluation.metrics import ndcg, target_ranks
from genre.types import Floats, GroundTruth, Histories
from outcome import K, Outcome

ROWS = 1024
"""Queries ranked at once."""
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

Scorer = Callable[[Histories], Floats]


class Judge:
    """Knows the right answers of one data set, with the history masked and, where items recur, with repeats allowed."""

    def __init__(self, dataset: Dataset, refit: Dataset | None = None, users: int | None = None) -> None:
        """Args: refit: the same, learnt anew from training and validation before the test."""
        self.dataset, self.refit = dataset, refit
        every = {name: replace(dataset, repeats=name == "repeats") for name in ("masked", "repeats")}
        self.truth: dict[tuple[str, str], GroundTruth] = {
            (name, part): one.ground_truth(part, users) for name, one in every.items() for part in ("valid", "test")
        }
        recur = any(len(self.truth["repeats", part].target_E) > len(self.truth["masked", part].target_E) for part in ("valid", "test"))
        self.protocols = ["masked", "repeats"] if recur else ["masked"]
        self.queries = {part: self.truth[self.protocols[-1], part] for part in ("valid", "test")}

    def fingerprint(self) -> str:
        """The same for the same training interactions, queries and targets only."""
        found = hashlib.sha256()
        training = self.dataset.training
        arrays = [training.item_idx_E, training.offsets, *([] if self.refit is None else [self.refit.training.item_idx_E])]
        for truth in self.truth.values():
            arrays += [truth.queries.item_idx_E, truth.queries.offsets, truth.target_E, truth.offsets, truth.user_idx_B]
        for array in arrays:
            found.update(np.ascontiguousarray(array, np.int64).tobytes())
        return found.hexdigest()[:16]

    def write(self, folder: Path) -> None:
        """The exchange folder: all that a peer may see. What is there stays, so that several processes may share it."""
        if (folder / "exchange.json").is_file():
            return
        folder.mkdir(parents=True, exist_ok=True)
        for name, learnt in (("train", self.dataset), ("refit", self.refit)):
            if learnt is not None:
                training = learnt.training
                order_E = np.arange(len(training.item_idx_E)) - np.repeat(training.offsets[:-1], training.lengths)
                user_E, item_E = training.owner_E().astype(np.int32), training.item_idx_E.astype(np.int32)
                np.savez(folder / f"{name}.npz", user_idx=user_E, item_idx=item_E, order=order_E)
        for part, truth in self.queries.items():
            item_E = truth.queries.item_idx_E.astype(np.int32)
            np.savez(folder / f"{part}.npz", user_idx=truth.user_idx_B, item_idx=item_E, offsets=truth.queries.offsets)
        facts = {"users": len(self.dataset.users), "items": self.dataset.n_items, "protocols": self.protocols}
        (folder / "exchange.json").write_text(json.dumps(facts, indent=2) + "\n")

    @property
    def protocol(self) -> str:
        """Of the test, in words."""
        return str((self.refit or self.dataset).summary["protocol"])

    def validate(self, protocol: str, score: Scorer) -> float:
        """NDCG@10 on the validation queries."""
        truth, masked = self.truth[protocol, "valid"], protocol == "masked"
        ranks = []
        for start in range(0, len(truth), ROWS):
            batch = truth.take(slice(start, start + ROWS))
            found = target_ranks(score(batch.queries), batch.target_E, batch.offsets, batch.queries if masked else None)
            ranks.append(found[int(masked)])
        return float(ndcg(np.concatenate(ranks), truth.offsets, K).mean())

    def test(self, protocol: str, score: Scorer) -> dict[str, tuple[float, float, float]]:
        """HR@10 and NDCG@10 with intervals on the test queries, by the evaluator that judges genre's own rankers."""
        truth, repeats = self.truth[protocol, "test"], protocol == "repeats"
        catalogue = Catalogue(self.dataset.training.item_counts(self.dataset.n_items))
        result = evaluate(score, truth, catalogue, self.protocol, repeats=repeats)
        named = {name: result.metrics[name] for name in (f"hit_rate@{K}", f"ndcg@{K}")}
        return {name: (interval.mean, interval.low, interval.high) for name, interval in named.items()}

    def replay(self, protocol: str, part: Part, file: str) -> Scorer:
        """A scorer that reads a peer's scores, which are in the order of the exchange folder's queries, in which it is asked."""
        scores_BN = np.load(file, mmap_mode="r")
        rows = np.searchsorted(self.queries[part].user_idx_B, self.truth[protocol, part].user_idx_B)
        place = 0

        def score(queries: Histories) -> Floats:
            nonlocal place
            place += len(queries)
            return np.asarray(scores_BN[rows[place - len(queries) : place]])

        return score

    def describe(self, protocol: str) -> str:
        """The protocol in words."""
        truth = self.truth[protocol, "test"]
        mask = "history masked" if protocol == "masked" else "repeats allowed"
        return f"{self.protocol}, full ranking of {self.dataset.n_items:,} items, {mask}, {len(truth):,} users"


def contend(judge: Judge, exchange: Path, name: str, command: list[str], cpu_minutes: float, folder: Path) -> dict[str, Outcome]:
    """Run one peer to its end and judge it whenever it asks; its output goes to `log.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {protocol: Outcome(name, budget=cpu_minutes) for protocol in judge.protocols}
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [*command[:2], str(exchange), "--cpu-seconds", str(cpu_minutes * 60), *command[2:]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | ONE_CORE, cwd=folder,
        )  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        for line in process.stdout:
            answer = _answer(judge, found, json.loads(line))
            with (folder / "trace.jsonl").open("a") as trace:
                trace.write(json.dumps(json.loads(line) | answer) + "\n")
            process.stdin.write(json.dumps(answer) + "\n")
            process.stdin.flush()
        if process.wait() != 0:
            tail = (folder / "log.txt").read_text().strip().splitlines()[-1:]
            for outcome in found.values():
                outcome.failed = f"exit {process.returncode}: {' '.join(tail)}"
    for scores in exchange.glob("scores-*.npy"):
        if scores.stem == f"scores-{process.pid}":
            scores.unlink()
    return found


def _answer(judge: Judge, found: dict[str, Outcome], question: dict[str, Any]) -> dict[str, Any]:
    """What the judge says to one line of a peer."""
    match question["ask"]:
        case "begin":
            for outcome in found.values():
                outcome.version, outcome.settings = question["version"], question["settings"]
            return {}
        case "valid":
            verdict = {}
            for protocol, outcome in found.items():
                verdict[protocol] = judge.validate(protocol, judge.replay(protocol, "valid", question["file"]))
                outcome.seen(question["epoch"], question["cpu_seconds"], verdict[protocol], question["label"])
            return verdict
        case "test":
            protocol = question["protocol"]
            found[protocol].test = judge.test(protocol, judge.replay(protocol, "test", question["file"]))
            return {}
        case "end":
            for outcome in found.values():
                outcome.cpu_seconds, outcome.cut = question["cpu_seconds"], question["cut"]
            return {}
        case other:
            raise ValueError(f"a peer asked {other!r}")
