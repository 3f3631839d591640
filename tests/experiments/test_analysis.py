"""From logs to a decision: effects that are there are found, and what must not get worse is seen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from made_logs import DAY, METRICS, START, define, make
from scipy import stats

from genre.experiments.analysis import Analysis, analyse
from genre.experiments.definition import ExperimentError
from genre.experiments.logs import read_logs
from genre.experiments.report import render_report

FULL = {"exposures": "exposures.csv", "events": "events.csv", "latency": "latency_ms", "degraded": "degraded", "items": "items"}


def analysed(folder: Path, started: float | None = None, now: float | None = None, **more: Any) -> Analysis:
    config = define(folder, **more)
    return analyse(config, read_logs(config, started, now))


@pytest.fixture(scope="module")
def gain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """New gets 30 % more clicks."""
    folder = tmp_path_factory.mktemp("gain")
    make(folder, lift=0.3)
    return folder


@pytest.fixture(scope="module")
def same(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No difference."""
    folder = tmp_path_factory.mktemp("same")
    make(folder, seed=1)
    return folder


def test_a_gain_is_shipped_with_its_interval(gain: Path) -> None:
    found = analysed(gain)
    assert (found.decision.verdict, found.decision.variant) == ("ship", "new")
    assert "new is better: clicks +" in found.decision.reasons[0]
    clicks = found.of("clicks", "new")
    assert clicks is not None and clicks.last.anytime.low < 0.3 < clicks.last.anytime.high
    assert clicks.last.fixed.low > clicks.last.anytime.low and clicks.reduction > 0.3
    assert found.adjusted.startswith("Values are as if both arms had been alike before: CUPED took variance away, ")
    assert f"{clicks.reduction:.0%} of clicks" in found.adjusted and not analysed(gain, cuped_days=None).adjusted
    assert {row[0] for row in found.table()[1] if row[-1].startswith("p ")} == {"clicks"}
    assert [look.day for look in clicks.looks] == sorted(look.day for look in clicks.looks)
    assert found.ratio.alarm is None


def test_the_last_look_is_what_one_computes_from_the_raw_rows(gain: Path) -> None:
    found = analysed(gain, cuped_days=None).of("spend", "new")
    exposures, events = pl.read_csv(gain / "exposures.csv"), pl.read_csv(gain / "events.csv")
    spent = events.filter(pl.col("event") == "purchase").group_by("unit").agg(pl.col("value").cast(pl.Float64).sum())
    of_unit = exposures.join(spent, on="unit", how="left").fill_null(0.0)
    old, new = (of_unit.filter(pl.col("variant") == name)["value"].to_numpy() for name in ("old", "new"))
    assert found is not None
    assert (found.control, found.treatment) == pytest.approx((old.mean(), new.mean()))
    assert found.p == pytest.approx(stats.ttest_ind(old, new, equal_var=False).pvalue, rel=1e-6)


def test_each_look_knows_what_was_known_then(gain: Path) -> None:
    whole = analysed(gain).of("clicks", "new")
    then = analysed(gain, now=START + 9 * DAY - 1e-3).of("clicks", "new")
    assert whole is not None and then is not None
    assert then.last.day == 8
    assert whole.looks[: len(then.looks)] == pytest.approx(then.looks) or [
        look.fixed.value for look in whole.looks[: len(then.looks)]
    ] == pytest.approx([look.fixed.value for look in then.looks], abs=1e-6)


def test_no_difference_is_held_and_in_the_end_stopped(same: Path) -> None:
    early = analysed(same, now=START + 8 * DAY)
    assert early.decision.verdict == "hold"
    assert "day 8.0 of 14" in early.decision.reasons[-1]
    late = analysed(same)
    assert late.decision.verdict == "stop" and not late.decision.must_stop
    assert "planned 14 days are over" in late.decision.reasons[-1]


def test_a_gain_waits_for_a_whole_week(gain: Path) -> None:
    early = analysed(gain, now=START + 6 * DAY)
    assert early.decision.verdict == "hold"
    assert early.decision.reasons[0].startswith("new is better")
    assert "of at least 7" in early.decision.reasons[-1]


def test_the_fixed_horizon_ships_at_its_end_only(gain: Path) -> None:
    assert analysed(gain, now=START + 10 * DAY, decide_by="fixed").decision.verdict == "hold"
    shipped = analysed(gain, decide_by="fixed").decision
    assert shipped.verdict == "ship" and "fixed-horizon" in shipped.reasons[0]


def test_the_fixed_horizon_is_read_once_whenever_one_looks(tmp_path: Path) -> None:
    make(tmp_path, lift=0.3)
    rail = {"hiding": {"use": "metric", "metric": "hides", "margin": 0.5}}
    at_the_end = analysed(tmp_path, now=START + 7 * DAY - 1, days=7, decide_by="fixed", guardrails=rail)
    later = analysed(tmp_path, days=7, decide_by="fixed", guardrails=rail)
    assert later.units_DV[-1].sum() > 1.8 * at_the_end.units_DV[-1].sum()
    assert later.decision == at_the_end.decision
    assert [one.last.fixed for one in later.comparisons] == [one.last.fixed for one in at_the_end.comparisons]
    assert [one.last.units for one in later.comparisons] == [one.last.units for one in at_the_end.comparisons]
    # what must not get worse is watched for as long as it runs
    assert later.guardrails != at_the_end.guardrails


def test_q_may_be_read_any_day(same: Path) -> None:
    found = analysed(same)
    (primary,) = (one for one in found.comparisons if one.metric == "clicks")
    assert primary.q == primary.p_anytime
    assert all(one.q >= one.p_anytime for one in found.comparisons)


def test_harm_is_stopped(gain: Path) -> None:
    swapped = analysed(gain, control="new")
    assert swapped.decision.verdict == "stop"
    assert "old is worse" in swapped.decision.reasons[0]


def test_for_a_metric_that_should_fall_a_fall_is_a_gain(gain: Path) -> None:
    metrics = METRICS | {"clicks": {"use": "mean", "event": "click", "better": "lower"}}
    assert analysed(gain, metrics=metrics).decision.verdict == "stop"
    assert analysed(gain, metrics=metrics, control="new").decision.variant == "old"


def test_the_metrics_that_did_not_move_are_not_called(gain: Path) -> None:
    found = analysed(gain)
    q = {one.metric: one.q for one in found.comparisons}
    assert q["ctr"] < 0.01 and q["clicked"] < 0.05
    assert q["spend"] > 0.05 and q["hides"] > 0.05


def test_a_broken_split_stops_whatever_the_metrics_say(tmp_path: Path) -> None:
    make(tmp_path, n=3000, lift=0.5, share=0.42)
    found = analysed(tmp_path)
    assert found.decision.verdict == "stop" and found.decision.must_stop
    assert "sample ratio mismatch" in found.decision.reasons[0]
    assert analysed(tmp_path, variants={"old": {"weight": 58}, "new": {"weight": 42}}).ratio.alarm is None


def test_a_broken_guardrail_stops_a_gain_if_it_may(tmp_path: Path) -> None:
    make(tmp_path, lift=0.4, hides=0.4)
    rail = {"use": "metric", "metric": "hides", "margin": 0.5}
    found = analysed(tmp_path, guardrails={"hiding": rail})
    (outcome,) = found.guardrails
    assert outcome.state == "broken" and outcome.worse is not None and outcome.worse.low > 0.5
    assert found.decision.verdict == "stop" and found.decision.must_stop
    assert "guardrail hiding is broken by new" in found.decision.reasons[0]
    softer = analysed(tmp_path, guardrails={"hiding": rail | {"stop": False}}).decision
    assert softer.verdict == "hold" and "though it does not stop by itself" in softer.reasons[-1]


def test_what_control_never_had_is_a_share_of_the_most_it_may_have(same: Path, tmp_path: Path) -> None:
    for name in ("exposures.csv", "events.csv"):
        (tmp_path / name).write_text((same / name).read_text())
    exposures = pl.read_csv(same / "exposures.csv")
    reporting = exposures.filter((pl.col("variant") == "new") & pl.col("unit").str.ends_with("1"))
    with (tmp_path / "events.csv").open("a") as file:
        file.writelines(f"{unit},{time + 5},report,\n" for unit, time in reporting.select("unit", "time").iter_rows())
    metrics = METRICS | {"reports": {"use": "mean", "event": "report", "better": "lower"}}
    for margin, state in ((1, "broken"), (50, "open")):
        rails = {"reported": {"use": "metric", "metric": "reports", "margin": margin}}
        (outcome,) = analysed(tmp_path, metrics=metrics, guardrails=rails).guardrails
        assert outcome.state == state and "at least" in outcome.text


def test_a_guardrail_that_must_be_proven_holds_until_it_is(gain: Path) -> None:
    rail = {"use": "metric", "metric": "hides", "margin": 0.01, "prove": True}
    found = analysed(gain, guardrails={"hiding": rail})
    assert found.decision.verdict == "hold" and "must be proven" in found.decision.reasons[-1]
    assert found.guardrails[0].state == "open"


def test_answers_that_got_slower_are_seen(tmp_path: Path) -> None:
    make(tmp_path, n=4000)
    rails = {"slow": {"use": "latency", "margin": 0.2, "quantile": 0.95}}
    assert analysed(tmp_path, guardrails=rails, logs=FULL, planned_units=4000).guardrails[0].state == "ok"
    slower = pl.read_csv(tmp_path / "exposures.csv").with_columns(
        pl.when(pl.col("variant") == "new").then(pl.col("latency_ms") * 1.6).otherwise(pl.col("latency_ms")).alias("latency_ms")
    )
    slower.write_csv(tmp_path / "exposures.csv")
    (outcome,) = analysed(tmp_path, guardrails=rails, logs=FULL, planned_units=4000).guardrails
    assert outcome.state == "broken" and "p95" in outcome.text


def test_a_narrower_catalogue_is_seen(tmp_path: Path) -> None:
    make(tmp_path)
    rails = {"narrow": {"use": "coverage", "margin": 0.2}}
    assert analysed(tmp_path, guardrails=rails, logs=FULL).guardrails[0].state == "ok"
    pl.read_csv(tmp_path / "exposures.csv").with_columns(
        pl.when(pl.col("variant") == "new").then(pl.lit("1|2 3")).otherwise(pl.col("items")).alias("items")
    ).write_csv(tmp_path / "exposures.csv")
    (outcome,) = analysed(tmp_path, guardrails=rails, logs=FULL).guardrails
    assert outcome.state == "broken" and "500 → 3 distinct items" in outcome.text


def test_a_share_of_degraded_lists_is_a_metric_like_any_other(same: Path) -> None:
    metrics = METRICS | {"degraded": {"use": "degraded"}}
    found = analysed(same, metrics=metrics, logs=FULL).of("degraded", "new")
    assert found is not None and found.control == pytest.approx(0.01, abs=0.006) and found.better == "lower"


def test_no_degraded_list_at_all_is_health_and_not_a_broken_log(gain: Path, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text((gain / "events.csv").read_text())
    pl.read_csv(gain / "exposures.csv").with_columns(pl.lit(0).alias("degraded")).write_csv(tmp_path / "exposures.csv")
    metrics = METRICS | {"degraded": {"use": "degraded"}, "saves": {"use": "mean", "event": "save", "better": "lower"}}
    rails = {name: {"use": "metric", "metric": metric, "prove": True} for name, metric in (("falling", "degraded"), ("saving", "saves"))}
    found = analysed(tmp_path, metrics=metrics, logs=FULL, guardrails=rails)
    falling, saving = found.guardrails
    assert (falling.state, saving.state) == ("ok", "open")
    # of 967 and 1033 units: 1 - 0.025 ** (1 / 967) is 0.38 %
    assert f"none in either: at most {1 - 0.025 ** (1 / found.units['old']):.2%} of units of old and 0.36% of units of new" in falling.text
    assert "none in any list" in found.silent["degraded"] and "in the log?" not in found.silent["degraded"]
    assert "in the log?" in found.silent["saves"]
    healthy = analysed(tmp_path, metrics=metrics, logs=FULL, guardrails={"falling": rails["falling"]}, planned_units=2000)
    assert (healthy.decision.verdict, healthy.decision.variant) == ("ship", "new")


def test_an_effect_that_fades_is_called_novelty_and_one_that_lasts_is_not(tmp_path: Path, gain: Path) -> None:
    make(tmp_path, n=6000, lift=1.2, fade=0.4)
    (view,) = analysed(tmp_path, cuped_days=None).novelty
    assert "wears off" in view.text
    assert [day.value for day in view.days] == pytest.approx([1.2, 0.8, 0.4, 0.0], abs=0.2)
    assert view.slope is not None and view.slope.low < -0.4 < view.slope.high
    (steady,) = analysed(gain).novelty
    assert steady.text == "no trend by day is shown" and len(steady.days) == 4
    assert all(day.low < 0.3 < day.high for day in steady.days)


def test_a_window_waits_until_units_are_ripe(gain: Path) -> None:
    found = analysed(gain, window_days=4).of("clicks", "new")
    assert found is not None
    assert found.looks[0].day == 5  # 143 units a day, ripe after four
    assert found.last.units < 2000 and found.last.anytime.value == pytest.approx(0.3, abs=0.1)


def test_three_variants_share_the_false_alarms(tmp_path: Path) -> None:
    make(tmp_path, n=3000, lift=0.3)
    thirds = pl.read_csv(tmp_path / "exposures.csv").with_row_index()
    thirds.with_columns(
        pl.when((pl.col("variant") == "old") & (pl.col("index") % 2 == 0))
        .then(pl.lit("also-old"))
        .otherwise(pl.col("variant"))
        .alias("variant")
    ).drop("index").write_csv(tmp_path / "exposures.csv")
    found = analysed(tmp_path, variants={"old": {"weight": 1}, "also-old": {"weight": 1}, "new": {"weight": 2}})
    assert found.decision.variant == "new"
    two = analysed(tmp_path, variants={"old": {"weight": 1}, "also-old": {"weight": 1}, "new": {"weight": 2}}, alpha=0.025)
    one, other = found.of("clicks", "new"), two.of("clicks", "new")
    assert one is not None and other is not None and other.last.fixed.low < one.last.fixed.low
    assert found.table()[0][4:6] == ["any time, 97.5%", "one look, 97.5%"] and "anytime-valid 97.5% interval" in found.decision.reasons[0]
    assert "97.5 % intervals" in render_report(found)


def test_a_guardrail_that_got_better_says_so(tmp_path: Path) -> None:
    make(tmp_path, hides=0.02)
    (outcome,) = analysed(tmp_path, guardrails={"hiding": {"use": "metric", "metric": "hides"}}).guardrails
    assert outcome.worse is not None and outcome.worse.value < 0
    assert re.search(r", \d+\.\d% better \(\d+\.\d% better to \d+\.\d% (worse|better)\); tolerated", outcome.text), outcome.text


def test_of_a_metric_that_nobody_has_it_is_said_and_of_the_primary_it_is_an_error(same: Path) -> None:
    metrics = METRICS | {"saves": {"use": "mean", "event": "save"}, "per_save": {"use": "ratio", "event": "click", "per": "save"}}
    found = analysed(same, metrics=metrics)
    assert "every unit of 'old' and 'new' has the same value, 0" in found.silent["saves"]
    assert "nobody has any save, which it divides by" in found.silent["per_save"]
    with pytest.raises(ExperimentError, match=r"metric 'saves': every unit .* are its events \(save\) in the log"):
        analysed(same, metrics=metrics, primary="saves")


def test_sixty_aa_experiments_from_files_to_decisions(tmp_path: Path) -> None:
    called, tempted = 0, 0
    for seed in range(60):
        make(tmp_path, n=500, seed=100 + seed)
        looks = analysed(tmp_path, planned_units=500, metrics={"clicks": METRICS["clicks"]}).comparisons[0].looks
        called += any(look.anytime.above_zero or look.anytime.below_zero for look in looks)
        tempted += any(look.fixed.above_zero or look.fixed.below_zero for look in looks)
    assert called <= 3 < tempted


def test_a_few_units_are_too_early_for_any_interval(same: Path) -> None:
    found = analysed(same, now=START + DAY)
    assert (found.decision.verdict, found.comparisons) == ("hold", ())
    assert found.decision.reasons[0] == f"too early; {found.silent['clicks']}"
    assert re.search(r"(old|new) has \d\d units; intervals are given from 100 on", found.silent["clicks"])
    assert "split as planned" in found.caption()


def test_each_treatment_of_which_nothing_can_be_said_has_its_reason(tmp_path: Path) -> None:
    make(tmp_path)
    rows = pl.read_csv(tmp_path / "exposures.csv").with_row_index()
    third = pl.when((pl.col("variant") == "new") & (pl.col("index") % 4 == 0)).then(pl.lit("newer")).otherwise("variant")
    rows.with_columns(variant=third).drop("index").write_csv(tmp_path / "exposures.csv")
    why = analysed(tmp_path, now=START + DAY, variants={"old": {}, "new": {}, "newer": {}}, guardrails={}).silent["clicks"]
    assert re.findall(r"(new|newer) has \d+ units", why) == ["new", "newer"]


def test_the_first_unit_says_nothing_of_the_split(same: Path) -> None:
    assert "units are too few to tell how they are split" in analysed(same, now=START + DAY / 4).split
    assert analysed(same, now=START + DAY, min_units=20).comparisons


def test_counts_of_units_add_up(same: Path) -> None:
    found = analysed(same)
    assert found.units_DV[-1].sum() == 2000 and (np.diff(found.units_DV, axis=0) >= 0).all()
