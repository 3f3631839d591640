"""No number without its protocol: how a list was judged, and a metric value that prints with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from genre.evaluation.intervals import Interval


@dataclass(frozen=True)
class Protocol:
    """How lists were judged; two numbers may be compared only where this is equal.

    Attributes:
        split: the splitting's name, `leave-last-out`.
        users: users judged.
        queries: lists judged; more than `users` where a user is asked for several times (then averaged within the user first).
        items: size of the catalogue, all of which is ranked.
        repeats: True where items of the history may be recommended and be right; False where they are masked.
        dropped: what was left out before judging and how often, `{"users with one interaction": 12}`.
        level: coverage of the intervals.
    """

    split: str
    users: int
    queries: int
    items: int
    repeats: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)
    level: float = 0.95

    @property
    def history(self) -> str:
        """What happens to the items of the history."""
        return "repeats allowed" if self.repeats else "history masked"

    def __str__(self) -> str:
        lists = f"{self.users:,} users" if self.queries == self.users else f"{self.queries:,} lists of {self.users:,} users"
        return f"{self.split}, full ranking, {self.history}, {lists}"

    def sentences(self) -> list[str]:
        """The protocol in words, for a page that has room."""
        said = [
            f"The split is {self.split}: {self.queries:,} lists of {self.users:,} users are judged.",
            f"Every list ranks the whole catalogue of {self.items:,} items; no negatives are sampled.",
            "Items of the history may be recommended again."
            if self.repeats
            else "Items of a user's history cannot be recommended, and are never counted as right.",
            "Ties are broken against the model; a score that is not a number is never a hit.",
        ]
        left_out = [f"{n:,} {what}" for what, n in self.dropped.items() if n]
        return [*said, f"Left out and counted: {'; '.join(left_out)}."] if left_out else said

    def masking_the_other_way(self) -> Protocol:
        """The same but for the mask: what `Result.other` was measured under."""
        return replace(self, repeats=not self.repeats)

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> Protocol:
        """Back from JSON."""
        return cls(**saved)


@dataclass(frozen=True)
class Measured:
    """A metric's value, which prints as `ndcg@10 0.1134 ±0.006 (leave-last-out, full ranking, history masked, 943 users)`."""

    name: str
    interval: Interval
    protocol: Protocol
    group: str = ""

    def __str__(self) -> str:
        where = f", {self.group}" if self.group else ""
        return f"{self.name} {self.interval} ({self.protocol}{where})"
