"""Plan, start, report and stop, as verbs on files and as commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from made_logs import DAY, METRICS, START, define, make
from typer.testing import CliRunner

from genre.cli import app
from genre.experiments.course import report, running, start, stop
from genre.experiments.definition import ExperimentError
from genre.experiments.planning import look_ahead
from genre.experiments.state import Experiment

TREE: dict[str, Any] = {
    "hypothesis": "New <b>lists</b> & more clicks.",
    "variants": {"old": {}, "new": {}},
    "metrics": METRICS,
    "primary": "clicks",
    "planned_units": 2000,
    "guardrails": {"hiding": {"use": "metric", "metric": "hides", "margin": 0.5}},
    "logs": {"exposures": "exposures.csv", "events": "events.csv"},
}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with logs and home.yaml, and the working directory."""
    make(tmp_path, lift=0.3)
    (tmp_path / "home.yaml").write_text(yaml.safe_dump(TREE, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


def genre(*words: str) -> str:
    done = CliRunner().invoke(app, ["experiment", *words])
    assert done.exit_code == 0, repr(done.exception)
    return done.output


def test_the_four_commands(shop: Path) -> None:
    planned = genre("plan", "home.yaml", "--now", str(START))
    assert re.search(r"planned_units: \d+", planned) and "+2.0%" in planned
    assert "old 50.0%, new 50.0%" in genre("start", "home.yaml", "--now", str(START))
    with pytest.raises(ExperimentError, match="was started before; it is running"):
        start(define(shop), START)
    said = genre("report", "home", "--out", "page.html")
    assert "Ship new" in said and "new is better" in said and "split as planned" in said
    page = (shop / "page.html").read_text()
    assert "<script" not in page and "&lt;b&gt;lists&lt;/b&gt; &amp; more" in page
    assert page.count('class="outer"') >= 14 and "Ship new" in page
    assert "is stopped: shipped it" in genre("stop", "home", "--reason", "shipped it")
    assert running(shop / "experiments") == []
    assert "stopped: shipped it" in genre("report", "home")


def test_an_external_log_needs_no_start(shop: Path) -> None:
    assert "Ship new" in genre("report", "home.yaml")
    assert (shop / "home.html").is_file()


def test_once_started_the_definition_is_fixed(shop: Path) -> None:
    genre("start", "home.yaml", "--now", str(START))
    (shop / "home.yaml").write_text(yaml.safe_dump({**TREE, "primary": "hides"}, sort_keys=False))
    analysis, _, _ = report("home")
    assert analysis.config.primary == "clicks"


def test_logs_may_be_named_in_place_of_the_definitions(shop: Path) -> None:
    pl.read_csv("events.csv").write_parquet("later.parquet")
    Path("events.csv").unlink()
    assert "Ship new" in genre("report", "home.yaml", "--events", "later.parquet", "--exposures", "exposures.csv")


def test_what_must_stop_is_stopped_by_its_report(shop: Path) -> None:
    make(shop, hides=0.5)
    genre("start", "home.yaml", "--now", str(START))
    said = genre("report", "home")
    assert "Stop: keep the control" in said and "stopped: guardrail hiding is broken by new" in said
    assert Experiment.load(shop / "experiments" / "home.json").status == "stopped"


def test_two_experiments_of_a_layer_cannot_run_at_once(shop: Path) -> None:
    start(define(shop), START, shop / "runs")
    with pytest.raises(ExperimentError, match="overlap in layer 'default'"):
        start(define(shop, name="other"), START, shop / "runs")
    stop("home", "done", START + DAY, shop / "runs")
    start(define(shop, name="other"), START, shop / "runs")
    assert [experiment.config.name for experiment in running(shop / "runs")] == ["other"]


def test_a_report_after_the_stop_looks_at_the_time_before(shop: Path) -> None:
    start(define(shop), START, shop / "runs")
    stop("home", "enough", START + 5 * DAY, shop / "runs")
    analysis, page, _ = report("home", folder=shop / "runs")
    assert analysis.days == pytest.approx(5)
    assert analysis.decision.verdict == "hold" and analysis.decision.sentence == "Stopped without a decision"
    assert "keep it running" not in page.read_text()
    assert report("home.yaml", START + 5 * DAY)[0].decision.sentence == "Hold: keep it running"


def test_a_plan_is_of_the_log_before(shop: Path) -> None:
    config = define(shop, days=7)
    found = look_ahead(config, START + 7 * DAY)
    events = pl.read_csv("events.csv").filter(pl.col("time").is_between(START, START + 7 * DAY))
    clicks = (events["event"] == "click").sum() / events["unit"].n_unique()
    assert found.units == events["unit"].n_unique()
    assert found.baseline.value == pytest.approx(clicks)
    one = next(line.plan for line in found.lines if line.plan.min_effect == config.min_effect)
    assert one.units_cuped <= one.units < one.units_anytime
    assert found.planned_units == one.units_anytime
    assert look_ahead(define(shop, days=7, decide_by="fixed"), START + 7 * DAY).planned_units == one.units_cuped


def test_a_ramp_and_a_slice_make_it_longer(shop: Path) -> None:
    quick = look_ahead(define(shop, days=7, min_effect=0.2), START + 7 * DAY)
    slow = look_ahead(define(shop, days=7, min_effect=0.2, layer={"stop": 0.25}), START + 7 * DAY)
    pairs = [(one.days, other.days) for one, other in zip(quick.lines, slow.lines, strict=True) if one.days and other.days]
    assert pairs and pairs[0][1] > 3 * pairs[0][0] and all(other >= one for one, other in pairs)


def test_a_day_of_log_does_not_tell_how_many_days_it_takes(shop: Path) -> None:
    short = define(shop, min_effect=0.3)
    found = look_ahead(short, START - 6.2 * DAY)  # the log begins a week before the first show
    assert found.units < 2000 and found.covered < 1
    assert {line.days for line in found.lines} == {None} and {row[3] for row in found.table()[1]} == {"not known"}
    told = found.sentence(short)
    assert "cannot be told from 0.7 days of log" in told and " a day" not in told
    assert look_ahead(short, START + 7 * DAY).sentence(short).count(" a day") == 1


def test_a_plan_says_that_there_are_only_so_many_users(shop: Path) -> None:
    few = define(shop, days=7, min_effect=0.01)
    found = look_ahead(few, START + 7 * DAY)
    assert found.lines[0].plan.units > found.units
    assert f"The log knows {found.units:,} users in all: the others must be new" in found.sentence(few)
    enough = define(shop, days=7, min_effect=0.9)
    assert "must be new" not in look_ahead(enough, START + 7 * DAY).sentence(enough)


def test_the_command_says_what_the_plan_means(shop: Path) -> None:
    planned = genre("plan", "home.yaml", "--now", str(START))
    assert "To find a change of 2.0% in clicks takes" in planned and "That is longer than the 14 days planned" in planned


def test_what_cannot_be_planned_is_said(shop: Path) -> None:
    with pytest.raises(ExperimentError, match=r"logs.events does not say"):
        look_ahead(define(shop, logs={}))
    with pytest.raises(ExperimentError, match="counts lists shown"):
        look_ahead(define(shop, primary="worth"))
    with pytest.raises(ExperimentError, match="0 units did anything"):
        look_ahead(define(shop), START - 99 * DAY)
    with pytest.raises(ExperimentError, match="'saves' is 0 for every unit"):
        look_ahead(define(shop, primary="saves", metrics={"saves": {"use": "mean", "event": "save"}}))
