"""The closed loop, small: a real server over HTTP, and everything that is said of it is what was counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from genre.demo.loop import CONTROL, EXPERIMENT, TREATMENT, LoopConfig, run_loop
from genre.demo.report import Claim, LoopReport

TOO_SOON = LoopConfig(users=240, items=60, rounds=1, min_days=1)
"""For the test to find for the new model, whatever its users happen to do."""
TELLING = LoopConfig(users=600, items=60, rounds=2, temperature=0.3)
"""A cold policy shows each user much more of their own taste than of everybody's."""
TESTED = [
    ("register", "000001"),
    ("promote", "000001"),
    ("register", "000002"),
    ("define experiment", EXPERIMENT),
    ("start experiment", EXPERIMENT),
    ("stop experiment", EXPERIMENT),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> LoopReport:
    said: list[str] = []
    return run_loop(TOO_SOON, tmp_path_factory.mktemp("demo") / "loop", said.append)


def test_what_the_test_does_not_show_is_not_promoted(found: LoopReport) -> None:
    assert (found.report["verdict"], found.report["sentence"]) == ("hold", "Stopped without a decision")
    assert [(line["action"], line["target"]) for line in found.audit] == TESTED
    served = [set(stage.shown.model_L.tolist()) for stage in found.stages]
    assert served == [{"000001"}, {"000001"}, {"000001", "000002"}]
    assert all(len(stage.shown) == 240 and stage.shown.degraded == 0 for stage in found.stages)
    assert "000001 is kept: " in found.outcome and "nothing to roll back" in found.outcome


def test_what_the_test_shows_is_promoted_and_rolled_back_from(tmp_path: Path) -> None:
    said: list[str] = []
    found = run_loop(TELLING, tmp_path / "loop", said.append)
    assert found.report["verdict"] == "ship"
    assert [(line["action"], line["target"]) for line in found.audit] == [*TESTED, ("promote", "000002"), ("rollback", "000001")]
    served = [set(stage.shown.model_L.tolist()) for stage in found.stages]
    assert served == [{"000001"}, {"000001"}, {"000001", "000002"}, {"000002"}, {"000001"}]
    assert "000002 was promoted: " in found.outcome and any(line.startswith("promote 000002; ship: personal is better") for line in said)


def test_what_the_server_reports_is_what_its_users_did(found: LoopReport) -> None:
    tested, measured, units = found.stages[2].shown, found.claims[1], found.report["units"]
    for arm, model in ((CONTROL, "000001"), (TREATMENT, "000002")):
        assert units[arm] == (tested.variant_L == f"{EXPERIMENT}/{arm}").sum() == (tested.model_L == model).sum()
    # CUPED moves both arms to where they would be had they been alike before: what one gains the other loses.
    assert units[CONTROL] * measured.control + units[TREATMENT] * measured.treatment == pytest.approx(tested.clicks_L.sum())


def test_the_three_answers_are_to_the_same_question(found: LoopReport) -> None:
    told, measured, known = found.claims
    assert told.control == pytest.approx(found.stages[1].clicks.mean), "the log that was estimated from, and nothing else of it"
    for claim in found.claims:
        assert claim.low < claim.lift < claim.high
    assert known.high - known.low < measured.high - measured.low, "the world knows chances, the test saw clicks"
    assert "popularity, to learn from" in str(found.tables())


def test_claims_agree_where_their_difference_may_be_nothing() -> None:
    one = Claim("", 1, 1.3, 0.3, 0.0, 0.6)
    other = Claim("", 1, 1.7, 0.7, 0.4, 1.0)
    assert one.agrees(other) and one.apart(other) == pytest.approx((0.4, 0.4 - 0.18**0.5, 0.4 + 0.18**0.5))
    assert not one.agrees(Claim("", 1, 1.8, 0.8, 0.5, 1.1))


def test_it_begins_in_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    with pytest.raises(FileExistsError, match="not empty"):
        run_loop(LoopConfig(), tmp_path, print)
