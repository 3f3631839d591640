"""What an evaluation found: values with intervals and protocol, per user and per group, to and from plain files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import polars as pl

from genre.data.findings import several
from genre.evaluation.intervals import Interval
from genre.evaluation.protocol import Measured, Protocol


@dataclass(frozen=True)
class Group:
    """The same metrics over some of the targets; `metrics` is empty where the group is.

    Attributes:
        kind: `items`, `users` or `history`.
        users: users with such a target; `targets` of them in all.
    """

    kind: str
    label: str
    users: int
    targets: int
    metrics: dict[str, Interval]


@dataclass(frozen=True)
class Result:
    """One system under one protocol.

    Attributes:
        metrics: by printed name, `ndcg@10`, under `protocol`.
        other: the same with the mask the other way round: unmasked where the protocol masks the history.
        beyond: coverage, gini, novelty, tail share, and with vectors or categories diversity and calibration.
        groups: cold and warm items, cold and warm users, history lengths.
        nan_scores: scores that were not a number; anything but 0 is a defect of the scorer.
        per_user: `user_idx`, `history_length`, `targets` and one column a metric.
    """

    protocol: Protocol
    metrics: dict[str, Interval]
    other: dict[str, Interval]
    beyond: dict[str, float]
    groups: list[Group]
    nan_scores: int
    per_user: pl.DataFrame

    def __getitem__(self, name: str) -> Measured:
        if name not in self.metrics:
            raise KeyError(f"no metric {name!r}; measured: {', '.join(self.metrics)}")
        return Measured(name, self.metrics[name], self.protocol)

    def group(self, label: str) -> Group:
        """The group whose label begins so: `cold items`."""
        for group in self.groups:
            if group.label.startswith(label):
                return group
        raise KeyError(f"no group {label!r}; there are: {', '.join(group.label for group in self.groups)}")

    def lines(self, *names: str) -> list[str]:
        """Printed values with their protocol, of all metrics or of some: under the protocol, with the mask the other way round, by group.

        Without names, what is beyond accuracy stands between them, and groups are told by their hit rates and NDCG.
        """
        there, other = names or tuple(self.metrics), self.protocol.masking_the_other_way()
        said = [str(self[name]) for name in there]
        said += [str(Measured(name, self.other[name], other)) for name in there]
        if not names:
            said += [f"{name} {value:.4f} ({self.protocol})" for name, value in self.beyond.items()]
            said += [f"scores that are no numbers: {self.nan_scores:,} ({self.protocol})"] if self.nan_scores else []
        for group in self.groups:
            label = f"history of {group.label} events" if group.kind == "history" else group.label
            about = f"{label}, {several(group.targets, 'target', 'targets')} of {several(group.users, 'user', 'users')}"
            told = names or tuple(name for name in group.metrics if name.startswith(("hit_rate@", "ndcg@")))
            said += [str(Measured(name, group.metrics[name], self.protocol, about)) for name in told if group.metrics]
        return said

    def as_dict(self) -> dict[str, Any]:
        """JSON-like, all but `per_user`."""
        plain = {name: getattr(self, name) for name in ("beyond", "nan_scores")}
        return {
            "protocol": asdict(self.protocol),
            "metrics": {name: asdict(interval) for name, interval in self.metrics.items()},
            "other": {name: asdict(interval) for name, interval in self.other.items()},
            "groups": [asdict(group) for group in self.groups],
            **plain,
        }

    @classmethod
    def of(cls, saved: Mapping[str, Any], per_user: pl.DataFrame) -> Self:
        """Back from `as_dict` and the frame."""
        return cls(
            protocol=Protocol.of(saved["protocol"]),
            metrics=_intervals(saved["metrics"]),
            other=_intervals(saved["other"]),
            beyond=dict(saved["beyond"]),
            groups=[Group(**(group | {"metrics": _intervals(group["metrics"])})) for group in saved["groups"]],
            nan_scores=saved["nan_scores"],
            per_user=per_user,
        )

    def save(self, folder: Path) -> None:
        """Write `metrics.json` and `per_user.parquet`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "metrics.json").write_text(json.dumps(self.as_dict(), indent=2, allow_nan=False) + "\n")
        self.per_user.write_parquet(folder / "per_user.parquet")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is none.
        """
        file = folder / "metrics.json"
        if not file.is_file():
            raise FileNotFoundError(f"{folder} holds no evaluation: metrics.json is missing")
        return cls.of(json.loads(file.read_text()), pl.read_parquet(folder / "per_user.parquet"))


def _intervals(saved: Mapping[str, Mapping[str, float]]) -> dict[str, Interval]:
    return {name: Interval(**interval) for name, interval in saved.items()}
