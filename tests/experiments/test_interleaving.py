"""Team drafts are fair and whole; preferences are tested by unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_logs import DAY, START, define
from scipy import stats

from genre.experiments.analysis import Analysis, analyse
from genre.experiments.definition import ExperimentConfig, ExperimentError
from genre.experiments.interleaving import preference, team_draft
from genre.experiments.logs import read_logs
from genre.experiments.report import render_report

RANKING = st.lists(st.integers(0, 15), unique=True, max_size=12)


@given(RANKING, RANKING, st.integers(0, 14), st.integers(0, 5))
def test_a_draft_takes_turns_and_skips_what_is_taken(first: list[int], second: list[int], n: int, seed: int) -> None:
    drawn = team_draft(first, second, n, np.random.default_rng(seed))
    assert len(set(drawn.items)) == len(drawn.items) == len(drawn.teams) == min(n, len({*first, *second}))
    left = {0: list(first), 1: list(second)}
    for item, team in zip(drawn.items, drawn.teams, strict=True):
        assert item == left[team][0]
        left = {side: [other for other in ranking if other != item] for side, ranking in left.items()}


def test_teams_of_disjoint_rankings_are_even_and_either_may_begin() -> None:
    rng = np.random.default_rng(0)
    drafts = [team_draft(list("abcdef"), list("uvwxyz"), 6, rng) for _ in range(400)]
    assert all(sum(drawn.teams) == 3 for drawn in drafts)
    assert stats.binomtest(sum(drawn.teams[0] for drawn in drafts), 400).pvalue > 0.01


def test_equal_rankings_give_that_ranking_and_no_preference() -> None:
    drawn = team_draft("abcd", "abcd", 4, np.random.default_rng(0))
    assert drawn.items == tuple("abcd")


def test_a_preference_is_a_one_sample_test_over_units() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.poisson(0.5, 800), rng.poisson(0.8, 800)
    found = preference(first, second, planned=800)
    every = first + second
    lead = np.divide(second - first, every, out=np.zeros(800), where=every > 0)
    theirs = stats.ttest_1samp(lead, 0)
    low, high = theirs.confidence_interval(0.95)
    assert (found.fixed.low, found.fixed.high, found.p) == pytest.approx((low, high, theirs.pvalue), rel=1e-6)
    assert found.anytime.low < low and found.anytime.high > high
    assert found.share == pytest.approx((lead > 0).sum() / (lead != 0).sum())
    assert found.anytime.above_zero and "second ranking is preferred" in found.sentence


def test_a_thousand_equal_rankings_read_every_hundred_units() -> None:
    rng = np.random.default_rng(2)
    called = []
    for _ in range(1000):
        first, second = rng.poisson(0.5, 1000), rng.poisson(0.5, 1000)
        looks = [preference(first[:n], second[:n], planned=1000) for n in range(100, 1001, 100)]
        called.append(any(look.anytime.above_zero or look.anytime.below_zero for look in looks))
    assert np.mean(called) <= 0.05


def test_one_busy_unit_decides_nothing() -> None:
    first, second = np.ones(50), np.ones(50)
    second[0] = 10_000
    found = preference(first, second)
    assert not found.anytime.above_zero
    assert "no preference is shown" in found.sentence


@pytest.mark.parametrize(
    ("first", "second", "match"),
    [
        ([1.0], [1.0, 2.0], "one credit a unit"),
        ([1.0, float("nan")], [1.0, 1.0], "from 0 up"),
        ([-1.0, 1.0], [1.0, 1.0], "from 0 up"),
        ([0.0, 0.0, 1.0], [0.0, 0.0, 0.0], "1 units clicked"),
    ],
)
def test_credits_that_make_no_sense_are_refused(first: list[float], second: list[float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        preference(np.array(first), np.array(second))


CLICKS: dict[str, Any] = {"clicks": {"use": "mean", "event": "click"}, "spent": {"use": "mean", "event": "purchase", "of": "value"}}
FILES = {"exposures": "exposures.csv", "events": "events.csv", "team": "team", "first": "picked_first"}


def drafted(folder: Path, n: int = 400, edge: float = 0.0, fair: float = 0.5, **more: Any) -> ExperimentConfig:
    """A log of lists that old and new drafted: each unit clicks once, on new's picks with probability (1 + edge) / 2."""
    rng = np.random.default_rng(0)
    time = START + np.sort(rng.uniform(0, 9 * DAY, n))
    firsts = np.where(rng.random(n) < fair, "new", "old")
    teams = np.where(rng.random(n) < (1 + edge) / 2, "new", "old")
    units = [f"u{i}" for i in range(n)]
    pl.DataFrame({"unit": units, "time": time, "picked_first": firsts}).write_csv(folder / "exposures.csv")
    events = [*zip(units, ["click"] * n, time + 60, [1.0] * n, teams.tolist(), strict=True)]
    events += [("u0", "click", START + 8 * DAY, 1.0, ""), ("u0", "click", START - DAY, 1.0, "new"), ("nobody", "click", START, 1.0, "new")]
    events += [(unit, "purchase", float(at) + 90, 5.0, "old") for unit, at in zip(units[:30], time[:30], strict=True)]
    pl.DataFrame(events, schema=["unit", "event", "time", "value", "team"], orient="row").write_csv(folder / "events.csv")
    return define(folder, **{"interleave": True, "metrics": CLICKS, "logs": FILES, **more})


def read(config: ExperimentConfig) -> Analysis:
    return analyse(config, read_logs(config))


def test_a_log_with_teams_says_which_ranking_is_preferred(tmp_path: Path) -> None:
    found = read(drafted(tmp_path, edge=0.6))
    events = pl.read_csv(tmp_path / "events.csv")[:400]
    lead = pl.Series([1.0 if team == "new" else -1.0 for team in events["team"]])
    theirs = stats.ttest_1samp(lead.to_numpy(), 0)
    clicks, spent = found.of("clicks", "new"), found.of("spent", "new")
    assert clicks is not None and spent is not None
    assert (clicks.last.fixed.value, clicks.p) == pytest.approx((lead.mean(), theirs.pvalue))
    assert (clicks.control, clicks.treatment) == pytest.approx(((lead < 0).mean(), (lead > 0).mean()))
    assert len(clicks.looks) > 5 and not clicks.relative
    assert spent.last.fixed.value == pytest.approx(-30 / 400), "a purchase of a preferred item is credited to its team"
    assert (found.units, found.strangers, found.ratio.alarm) == ({"interleaved": 400}, 2, None)
    assert (found.decision.verdict, found.decision.variant) == ("ship", "new")
    assert "new is preferred: lead in clicks" in found.decision.reasons[0]
    assert "both pick first equally often" in found.caption()
    page = render_report(found)
    assert "Lead: a unit" in page and "events that credit neither variant" in page and "Does it last" not in page


def test_without_a_difference_none_is_preferred_and_a_worse_ranking_is_stopped(tmp_path: Path) -> None:
    even = read(drafted(tmp_path))
    assert even.decision.verdict == "hold" and "no preference shown" in even.decision.reasons[0]
    worse = read(drafted(tmp_path, edge=-0.6))
    assert worse.decision.verdict == "stop" and "old is preferred" in worse.decision.reasons[0]


def test_a_coin_that_is_not_fair_is_found(tmp_path: Path) -> None:
    found = read(drafted(tmp_path, fair=0.9))
    assert found.decision.must_stop and "one variant picks first too often" in found.decision.reasons[0]
    unknown = drafted(tmp_path, logs={name: column for name, column in FILES.items() if name != "first"})
    assert "who picks first is not logged" in read(unknown).caption()


def test_a_team_that_is_no_variant_is_named_with_its_row(tmp_path: Path) -> None:
    config = drafted(tmp_path)
    with (tmp_path / "events.csv").open("a") as file:
        file.write(f"u1,click,{START},1.0,blue\n")
    with pytest.raises(ExperimentError, match=r"events.csv row 434: the team 'blue' is none of home's: old, new"):
        read(config)
    with pytest.raises(ExperimentError, match=r"logs.team: say which column"):
        define(tmp_path, interleave=True, metrics=CLICKS, logs={"exposures": "exposures.csv", "events": "events.csv"})
    with pytest.raises(ExperimentError, match=r"add `interleave: true`"):
        define(tmp_path, metrics=CLICKS, logs=FILES)
