"""The ledger: tokens, seconds and money that calls to a language model cost, and the budget that stops them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic import PositiveFloat, PositiveInt

from genre.component import Settings

LEDGER = "ledger.json"
"""What it is called in the folder of a stage."""


class Budget(Settings):
    """The most that a stage may cost; calls that an earlier attempt or run paid for count, so a killed stage cannot start anew."""

    tokens: PositiveInt | None = None
    """Read and written, together."""
    seconds: PositiveFloat | None = None
    """That calls took, those at the same time each for itself."""
    money: PositiveFloat | None = None
    """At the generator's prices."""


@dataclass
class Ledger:
    """What has been spent so far.

    Attributes:
        calls: answers paid for; `cached` of them by an earlier attempt or run.
        failures: requests without an answer and answers that were not usable, by reason.
        left_out: questions that were not asked, since the budget was used up.
        stopped_by: the limit that was reached.
    """

    budget: Budget = field(default_factory=Budget)
    calls: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    money: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    left_out: int = 0
    stopped_by: str | None = None

    def book(self, prompt_tokens: int, completion_tokens: int, seconds: float, money: float, cached: bool = False) -> None:
        """Count an answer."""
        self.calls += 1
        self.cached += cached
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        self.seconds += seconds
        self.money += money

    def used_up(self) -> str | None:
        """The first limit that is reached, if any; asked before each batch of calls."""
        spent = {"tokens": self.prompt_tokens + self.completion_tokens, "seconds": self.seconds, "money": self.money}
        for name, amount in spent.items():
            limit = getattr(self.budget, name)
            if limit is not None and amount >= limit:
                self.stopped_by = self.stopped_by or name
                return name
        return None

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        plain = {name: getattr(self, name) for name in ("calls", "cached", "prompt_tokens", "completion_tokens", "left_out", "stopped_by")}
        amounts = {"seconds": round(self.seconds, 3), "money": round(self.money, 6)}
        return {**plain, **amounts, "failures": dict(self.failures.most_common()), "budget": self.budget.model_dump()}

    def save(self, file: Path) -> None:
        """Write as JSON."""
        file.write_text(json.dumps(self.as_dict(), indent=2) + "\n")

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read what `save` wrote."""
        saved = json.loads(file.read_text())
        return cls(**(saved | {"failures": Counter(saved["failures"]), "budget": Budget(**saved["budget"])}))

    def __str__(self) -> str:
        failed = f", {self.failures.total():,} failures ({_most(self.failures)})" if self.failures else ""
        stopped = f"; stopped by the budget's {self.stopped_by}, {self.left_out:,} questions not asked" if self.stopped_by else ""
        spent = f"{self.prompt_tokens:,} tokens read, {self.completion_tokens:,} written, {self.seconds:,.0f} s, {self.money:.2f} in money"
        return f"{self.calls:,} calls ({self.cached:,} paid before), {spent}{failed}{stopped}"


def _most(failures: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in failures.most_common(3))
