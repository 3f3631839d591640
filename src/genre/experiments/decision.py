"""Decision: ship, hold or stop, in words, with the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from genre.experiments.comparison import Comparison
from genre.experiments.definition import ExperimentConfig
from genre.experiments.guardrails import Outcome
from genre.experiments.srm import RatioCheck

Verdict = Literal["ship", "hold", "stop"]


@dataclass(frozen=True)
class Decision:
    """What to do now.

    Attributes:
        variant: the one to ship.
        must_stop: a guardrail that is configured to stop is broken, or the split is; waiting makes it worse.
        ended: it was stopped already, so nothing is left to wait for.
    """

    verdict: Verdict
    variant: str | None
    reasons: tuple[str, ...]
    must_stop: bool = False
    ended: bool = False

    @property
    def sentence(self) -> str:
        """The verdict in a line."""
        wait = "Stopped without a decision" if self.ended else "Hold: keep it running"
        return {"ship": f"Ship {self.variant}", "hold": wait, "stop": "Stop: keep the control"}[self.verdict]


def decide(
    config: ExperimentConfig,
    days: float,
    units: int,
    ratio: RatioCheck,
    primary: Sequence[Comparison],
    guardrails: Sequence[Outcome],
    unsaid: str = "",
) -> Decision:
    """By fixed rules, in this order: a broken split, broken guardrails, harm, a shown gain, the planned end.

    Args:
        unsaid: why nothing can be said of the primary metric for the treatments that are missing in `primary`.
    """
    if ratio.alarm is not None:
        return Decision("stop", None, mismatch(config, ratio), True)
    days = round(days, 1)  # a log ends a little before the day does
    over = days >= config.days
    broken = [rail for rail in guardrails if rail.state == "broken" and rail.stop]
    if broken:
        return Decision("stop", None, _broke(config, broken, primary, over), True)
    if not primary:
        return _without_primary(config, over, unsaid)
    reasons: list[str] = []
    alive = []
    for found in primary:
        good, bad = _direction(config, found, over)
        if bad:
            worse = f"{config.control} is preferred" if config.interleave else f"{found.variant} is worse"
            reasons.append(f"{worse}: {say(found, config, over)}")
        else:
            alive.append((found, good))
    measured = {found.variant for found in primary}
    unmeasured = [] if config.interleave else [name for name in config.treatments if name not in measured]
    if not alive and not unmeasured:
        return Decision("stop", None, tuple(reasons))
    gains = [found for found, good in alive if good]
    if gains:
        best = max(gains, key=lambda found: abs(found.last.anytime.value))
        doubts = _doubts(config, days, best, guardrails)
        reasons.insert(0, f"{best.variant} is {'preferred' if config.interleave else 'better'}: {say(best, config, over)}")
        if config.interleave:
            reasons.append("a preference says which ranking is better, not by how much a metric moves; an experiment of two arms says that")
        return Decision("hold" if doubts else "ship", None if doubts else best.variant, (*reasons, *doubts))
    nothing = "no preference" if config.interleave else "no difference"
    reasons += [f"{found.variant}: {nothing} shown; {say(found, config, over)}" for found, _ in alive]
    if unmeasured:
        reasons.append(f"{' and '.join(unmeasured)}: too early; {unsaid}")
    if over:
        reasons.append(f"the planned {config.days} days are over; a larger effect than the interval holds is ruled out")
        return Decision("stop", None, tuple(reasons))
    reasons.append(f"day {days:.1f} of {config.days}, {units:,} of {config.planned_units:,} planned units")
    return Decision("hold", None, tuple(reasons))


def _broke(config: ExperimentConfig, broken: Sequence[Outcome], primary: Sequence[Comparison], over: bool) -> tuple[str, ...]:
    """What was broken, and what else there is to lose by stopping: one arm cannot be taken out of an experiment that runs."""
    guilty = {rail.variant for rail in broken}
    better = [found for found in primary if found.variant not in guilty and _direction(config, found, over)[0]]
    return (
        *(f"guardrail {rail.name} is broken by {rail.variant}: {rail.text}" for rail in broken),
        *(
            f"{found.variant} is better: {say(found, config, over)}; start it again without {' and '.join(sorted(guilty))}"
            for found in better
        ),
    )


def _without_primary(config: ExperimentConfig, over: bool, unsaid: str) -> Decision:
    if over:
        return Decision("stop", None, (f"the planned {config.days} days are over, and nothing can be said; {unsaid}",))
    return Decision("hold", None, (f"too early; {unsaid}",))


def say(found: Comparison, config: ExperimentConfig, over: bool) -> str:
    """A comparison in a line, with the interval that decides."""
    at = found.last.fixed if config.decide_by == "fixed" and over else found.last.anytime
    kind = "fixed-horizon" if at is found.last.fixed else "anytime-valid"
    numbers = [f"{value:+.2%}" if found.relative else f"{value:+.4g}" for value in (at.value, at.low, at.high)]
    led = "lead in " if config.interleave else ""
    told = f"{led}{found.metric} {numbers[0]} ({kind} {config.level}% interval {numbers[1]} to {numbers[2]})"
    return f"{told}; {found.note}" if found.note else told


def mismatch(config: ExperimentConfig, ratio: RatioCheck) -> tuple[str, str]:
    """What a broken split means, and where to look."""
    told = f"sample ratio mismatch (p {ratio.p:.1g})"
    if config.interleave:
        return f"{told}: one variant picks first too often, so no credit can be trusted", "find out why: lists that are not logged, or lost"
    return (
        f"{told}: the arms do not have the sizes they should, so no figure can be trusted",
        "find out why: redirects, bots, a variant that fails to log, units dropped afterwards",
    )


def _direction(config: ExperimentConfig, found: Comparison, over: bool) -> tuple[bool, bool]:
    """Whether it is shown to be better, and to be worse."""
    at = found.last.anytime
    if config.decide_by == "fixed" and over:
        at = found.last.fixed
    up = found.better == "higher"
    good, bad = (at.above_zero, at.below_zero) if up else (at.below_zero, at.above_zero)
    # With one look at the end, harm is still watched for by the interval that may be looked at before it.
    return (good and (config.decide_by == "anytime" or over)), bad


def _doubts(config: ExperimentConfig, days: float, best: Comparison, guardrails: Sequence[Outcome]) -> list[str]:
    doubts = []
    if days < config.min_days:
        doubts.append(f"day {days:.1f} of at least {config.min_days}: behaviour differs over the week")
    for rail in guardrails:
        if rail.variant != best.variant:
            continue
        if rail.state == "broken":
            doubts.append(f"guardrail {rail.name} is broken, though it does not stop by itself: {rail.text}")
        elif rail.prove and rail.state != "ok":
            doubts.append(f"guardrail {rail.name} must be proven and is not yet: {rail.text}")
    return doubts
