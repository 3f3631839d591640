"""What the loop found: three answers to one question side by side, the reward by stage, and who did what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from genre.demo.visitors import Shown
from genre.evaluation.intervals import Interval
from genre.evaluation.off_policy.study import Study
from genre.updating import Outcome

Table = tuple[str, list[str], list[list[str]]]
"""A caption, a header, rows."""


TELLING = 25
"""Effective lists below which an estimate's agreement with anything says nothing."""


@dataclass(frozen=True)
class Claim:
    """An answer to "how much better is it?": clicks of control and treatment, the lift with its 95 % interval as shares of control."""

    name: str
    control: float
    treatment: float
    lift: float
    low: float
    high: float

    def apart(self, other: Claim) -> tuple[float, float, float]:
        """How much more the other lift is, with a 95 % interval, the two being independent."""
        half = (((self.high - self.low) / 2) ** 2 + ((other.high - other.low) / 2) ** 2) ** 0.5
        return other.lift - self.lift, other.lift - self.lift - half, other.lift - self.lift + half

    def agrees(self, other: Claim) -> bool:
        """Whether the difference of the two lifts could be nothing. A wide interval agrees with much: `apart` says how wide."""
        _, low, high = self.apart(other)
        return bool(low <= 0 <= high)


@dataclass(frozen=True)
class Stage:
    """A time during which users came."""

    name: str
    shown: Shown

    @property
    def clicks(self) -> Interval:
        """A list."""
        return self.shown.a_list()


@dataclass(frozen=True)
class LoopReport:
    """The whole course.

    Attributes:
        claims: off-policy; measured; what the world knows.
        off_policy: the study that the first claim is from.
        report: of the experiment, as the server gave it.
        audit: oldest first.
        outcome: what was done of what the experiment said.
    """

    users: int
    update: Outcome
    claims: tuple[Claim, Claim, Claim]
    off_policy: Study
    report: Mapping[str, Any]
    stages: tuple[Stage, ...]
    audit: tuple[Mapping[str, Any], ...]
    outcome: str
    seconds: float

    @property
    def agree(self) -> bool:
        """Whether the estimate made before the launch agrees with the test."""
        return self.claims[0].agrees(self.claims[1])

    @property
    def conclusion(self) -> str:
        """In a line."""
        told, measured = self.claims[:2]
        if self.off_policy.overlap.effective < TELLING:
            return f"the log could not tell beforehand ({told.low:+.0%} to {told.high:+.0%}); measured: {measured.lift:+.1%}"
        apart, low, high = told.apart(measured)
        agree = "they agree" if self.agree else "they DISAGREE"
        return f"told before: {told.lift:+.1%}; measured: {measured.lift:+.1%}; {apart:+.1%} apart ({low:+.1%} to {high:+.1%}): {agree}"

    @property
    def offline(self) -> str:
        """What a ranking metric on the log said of the new model."""
        now, new, by = self.update.current, self.update.candidate, self.update.difference
        return (
            f"ndcg@10 on the newest clicks, all of them on what popularity had shown: popular {now}, personal {new}, "
            f"difference {by.mean:+.4f} ({by.low:+.4f} to {by.high:+.4f})"
        )

    @property
    def estimate(self) -> str:
        """What the off-policy study said."""
        study = self.off_policy
        return f"{study.verdict}; the log's {study.requests:,} lists are worth {study.overlap.effective:,.0f} of the candidate's own"

    def tables(self) -> list[Table]:
        """Everything as tables."""
        claims = [
            [one.name, f"{one.control:.3f}", f"{one.treatment:.3f}", f"{one.lift:+.1%}", f"{one.low:+.1%} to {one.high:+.1%}"]
            for one in self.claims
        ]
        stages = [
            [stage.name, f"{len(stage.shown):,}", f"{stage.clicks.mean:.3f}", f"{stage.clicks.low:.3f} to {stage.clicks.high:.3f}"]
            for stage in self.stages
        ]
        audit = [
            [datetime.fromtimestamp(line["time"], UTC).strftime("%H:%M:%S"), line["actor"], line["action"], line["target"] or ""]
            for line in self.audit
        ]
        return [
            ("the same question, asked three times", ["", "popular", "personal", "lift", "95 %"], claims),
            ("reward by stage", ["stage", "lists", "clicks a list", "95 %"], stages),
            ("audit trail", ["UTC", "who", "what", "of what"], audit),
        ]
