"""Decisions where there is nothing to compare yet."""

from __future__ import annotations

import pytest

from genre.experiments.confidence import Interval
from genre.experiments.decision import decide
from genre.experiments.guardrails import Outcome
from genre.experiments.loading import parse_experiment
from genre.experiments.srm import RatioCheck

CONFIG = parse_experiment(
    {"name": "x", "variants": {"a": {}, "b": {}, "c": {}}, "metrics": {"clicks": {"use": "mean", "event": "click"}}, "primary": "clicks"}
)
FINE = RatioCheck(1.0, 1.0, None)


def rail(variant: str, stop: bool = True) -> Outcome:
    return Outcome("hiding", variant, "broken", Interval(1.0, 0.5, 1.5), 0.1, "worse by 100 %", stop, False)


@pytest.mark.parametrize(
    ("broken", "verdict", "must"),
    [
        ([rail("b"), rail("c")], "stop", True),
        ([rail("b")], "hold", False),
        ([rail("b"), rail("c", stop=False)], "hold", False),
        ([], "hold", False),
    ],
)
def test_a_broken_guardrail_stops_what_has_no_primary_metric_yet(broken: list[Outcome], verdict: str, must: bool) -> None:
    found = decide(CONFIG, 0.5, 80, FINE, [], broken)
    assert (found.verdict, found.must_stop) == (verdict, must)
    assert ("guardrail hiding is broken by b" in found.reasons[0]) == bool(broken)
    assert ("too early" in found.reasons[-1]) != must
