"""The experiment page from a real analysis."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from made_views import frame

from genre.dashboard.experiments import ExperimentLine, ExperimentsView, of_analysis, render_experiments
from genre.experiments.analysis import analyse
from genre.experiments.loading import parse_experiment
from genre.experiments.logs import read_logs

START, DAY = 1_750_000_000.0, 86_400.0


def test_what_was_found_is_on_the_page(tmp_path: Path) -> None:
    n = 800
    pl.DataFrame(
        {"unit": [f"u{i}" for i in range(n)], "variant": ["old", "new"] * (n // 2), "time": [START + 8 * DAY * i / n for i in range(n)]}
    ).write_csv(tmp_path / "exposures.csv")
    clicks = [(f"u{i}", START + 8 * DAY * i / n + DAY * k) for i in range(n) for k in range(i % 5 + 2 * (i % 2))]
    pl.DataFrame(clicks, schema=["unit", "time"], orient="row").with_columns(pl.lit("click").alias("event")).write_csv(
        tmp_path / "events.csv"
    )
    config = parse_experiment(
        {
            "name": "home", "variants": {"old": {}, "new": {}}, "primary": "clicks", "planned_units": n,
            "metrics": {"clicks": {"use": "mean", "event": "click"}, "saves": {"use": "mean", "event": "save"}},
            "logs": {"exposures": "exposures.csv", "events": "events.csv"},
        },
        folder=tmp_path,
    )  # fmt: skip
    findings = of_analysis(analyse(config, read_logs(config)))
    assert (findings.sentence, findings.mood, findings.split_state) == ("Ship new", "good", "good")
    (title, chart), *_ = findings.charts
    assert title == "clicks: new against old" and chart.unit == "change" and chart.days
    high, low, change = (series.values for series in chart.series)
    assert all(a is not None and b is not None and c is not None and b < c < a for a, b, c in zip(high, low, change, strict=True))
    assert "every unit of 'old' and 'new' has the same value" in findings.notes[0]
    line = ExperimentLine("home", "running", started=START)
    page = render_experiments(ExperimentsView(frame(), (line,), line, findings))
    assert "Ship new" in page and "new is better" in page and 'action="/dashboard/experiments/stop"' in page
