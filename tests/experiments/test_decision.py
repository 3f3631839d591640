"""Decisions from made-up findings, and where there is nothing to compare yet."""

from __future__ import annotations

import pytest

from genre.experiments.comparison import Comparison, Look
from genre.experiments.confidence import Interval
from genre.experiments.decision import decide
from genre.experiments.definition import ExperimentError
from genre.experiments.guardrails import Outcome
from genre.experiments.loading import parse_experiment
from genre.experiments.srm import RatioCheck

CONFIG = parse_experiment(
    {"name": "x", "variants": {"a": {}, "b": {}, "c": {}}, "metrics": {"clicks": {"use": "mean", "event": "click"}}, "primary": "clicks"}
)
FINE = RatioCheck(1.0, 1.0, None)


def rail(variant: str, stop: bool = True) -> Outcome:
    return Outcome("hiding", variant, "broken", Interval(1.0, 0.5, 1.5), 0.1, "worse by 100 %", stop, False)


def compared(variant: str, low: float) -> Comparison:
    """Clearly better by more than `low`."""
    at = Interval(low + 0.1, low, low + 0.2)
    return Comparison("clicks", variant, "higher", 1.0, 1.1 + low, True, (Look(6, 800, at, at),), 0.001, 0.01, 0.01, 0.0, at)


@pytest.mark.parametrize(
    ("broken", "verdict", "must"),
    [
        ([rail("b"), rail("c")], "stop", True),
        ([rail("b")], "stop", True),
        ([rail("b"), rail("c", stop=False)], "stop", True),
        ([rail("b", stop=False)], "hold", False),
        ([], "hold", False),
    ],
)
def test_a_broken_guardrail_of_any_variant_stops_what_has_no_primary_metric_yet(broken: list[Outcome], verdict: str, must: bool) -> None:
    found = decide(CONFIG, 0.5, 80, FINE, [], broken)
    assert (found.verdict, found.must_stop) == (verdict, must)
    assert ("guardrail hiding is broken by b" in found.reasons[0]) == must
    assert ("too early" in found.reasons[-1]) != must


def test_after_its_end_an_experiment_of_too_few_does_not_wait_for_more() -> None:
    found = decide(CONFIG, 14.0, 80, FINE, [], [], "b has 40 units")
    assert found.verdict == "stop" and not found.must_stop
    assert "14 days are over, and nothing can be said; b has 40 units" in found.reasons[0]


def test_a_broken_guardrail_of_one_variant_stops_the_experiment_whatever_the_other_gains() -> None:
    found = decide(CONFIG, 8.0, 800, FINE, [compared("b", 0.1), compared("c", 0.2)], [rail("b")])
    assert (found.verdict, found.must_stop, found.variant) == ("stop", True, None)
    assert "guardrail hiding is broken by b" in found.reasons[0]
    assert any("c is better" in reason and "start it again without b" in reason for reason in found.reasons)
    softer = decide(CONFIG, 8.0, 800, FINE, [compared("b", 0.1), compared("c", 0.2)], [rail("b", stop=False)])
    assert (softer.verdict, softer.variant) == ("ship", "c")


def test_one_variant_that_loses_does_not_stop_another_of_which_nothing_can_be_said_yet() -> None:
    found = decide(CONFIG, 8.0, 800, FINE, [compared("b", -0.4)], [], "c has 40 units")
    assert found.verdict == "hold"
    assert any("b is worse" in reason for reason in found.reasons)
    assert "c: too early; c has 40 units" in found.reasons
    assert decide(CONFIG, 8.0, 800, FINE, [compared("b", -0.4), compared("c", -0.4)], []).verdict == "stop"


def test_a_hold_out_takes_everybody_from_the_first_day() -> None:
    shop = {"metrics": {"clicks": {"use": "mean", "event": "click"}}, "primary": "clicks", "variants": {"out": {}, "in": {}}}
    assert parse_experiment({"name": "x", **shop, "hold_out": True}).hold_out
    with pytest.raises(ExperimentError, match="leave out `ramp`"):
        parse_experiment({"name": "x", **shop, "hold_out": True, "ramp": [{"day": 0, "share": 0.2}, {"day": 5, "share": 1}]})
