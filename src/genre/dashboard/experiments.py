"""Experiments: what runs, what was found, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genre.dashboard.charts import Chart, Series, Unit
from genre.dashboard.frame import Frame, State, render
from genre.experiments.analysis import Analysis
from genre.experiments.comparison import Comparison, change
from genre.experiments.confidence import Interval
from genre.experiments.definition import ExperimentConfig
from genre.experiments.planning import Outlook, in_days
from genre.experiments.state import Status

VERDICTS: dict[str, State] = {"ship": "good", "hold": "idle", "stop": "bad"}
EXAMPLE = """name: home-variety
hypothesis: Lists with more variety are clicked at least as often.
surface: home
variants:
  now: {}
  varied: {serve: {policy: {use: mmr, diversity: 0.3}}}
metrics:
  clicks: {use: mean, event: click}
  hides: {use: mean, event: hide, better: lower}
primary: clicks
guardrails:
  hiding: {use: metric, metric: hides, margin: 0.1}
days: 14
"""
RAILS: dict[str, State] = {"ok": "good", "open": "idle", "broken": "bad"}


@dataclass(frozen=True)
class ExperimentLine:
    """An experiment in the list; times in unix seconds."""

    name: str
    status: Status
    surface: str = ""
    hypothesis: str = ""
    started: float | None = None
    stopped: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Rail:
    """A guardrail and what was found."""

    name: str
    variant: str
    state: str
    text: str

    @property
    def mood(self) -> State:
        """For the badge."""
        return RAILS[self.state]


@dataclass(frozen=True)
class Findings:
    """An experiment's analysis as the page shows it; `of_analysis` makes it.

    Attributes:
        split: in words, and whether it is as planned.
        header, rows: every metric as a table.
    """

    sentence: str
    mood: State
    reasons: tuple[str, ...]
    split: str
    split_state: State
    charts: tuple[tuple[str, Chart], ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    guardrails: tuple[Rail, ...]
    novelty: tuple[tuple[str, str, Chart], ...]
    units: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Planned:
    """What an experiment will take, in a sentence and as a table; `of_outlook` makes it."""

    sentence: str
    basis: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class ExperimentsView:
    """All experiments, or one.

    Attributes:
        experiments: newest first.
        opened: the one that was asked for, with findings or a plan, or why there is none (`waiting`).
        missing: a name that was asked for, and is none.
        definition: of the opened one, as YAML; `terms` says in a sentence what was agreed before the start.
        draft: what stands in the form. If it was `refused`, there is nothing else on the page.
    """

    frame: Frame
    experiments: tuple[ExperimentLine, ...] = ()
    opened: ExperimentLine | None = None
    findings: Findings | None = None
    waiting: str = ""
    plan: Planned | None = None
    definition: str = ""
    terms: str = ""
    missing: str = ""
    draft: str = EXAMPLE
    refused: bool = False


def render_experiments(view: ExperimentsView) -> str:
    """The page: an experiment, or all of them."""
    return render("experiments.html", view, "experiments")


def of_outlook(outlook: Outlook, config: ExperimentConfig) -> Planned:
    """What the page shows of a plan."""
    (first, *numbers), rows = outlook.table()
    header = (first, *(f"#{name}" for name in numbers))
    return Planned(outlook.sentence(config), outlook.caption(), header, tuple(map(tuple, rows)))


def terms_of(config: ExperimentConfig) -> str:
    """What was agreed beforehand, defaults included."""
    once = "read on any day" if config.decide_by == "anytime" else "read once, at the end"
    stops = [name for name, rail in config.guardrails.items() if rail.stop]
    return (
        f"{in_days(config.days)} or {config.planned_units:,} users are planned, {once}, with {config.alpha:.0%} false alarms. The smallest "
        f"change of {config.primary} worth having is {config.min_effect:.1%}. Nothing is shipped before {in_days(config.min_days)}. "
        + (f"It stops by itself when {' or '.join(stops)} breaks." if stops else "Nothing stops it by itself.")
    )


def of_analysis(analysis: Analysis) -> Findings:
    """What the page shows of an analysis."""
    config, decision = analysis.config, analysis.decision
    header, rows = analysis.table()
    primary = [found for found in analysis.comparisons if found.metric == config.primary]
    broken = analysis.ratio.alarm is not None
    strangers = "events that credit neither variant" if config.interleave else "events of strangers"
    left_out = {"units left out for two variants": analysis.crossed, strangers: analysis.strangers}
    return Findings(
        sentence=decision.sentence,
        mood=VERDICTS[decision.verdict],
        reasons=decision.reasons,
        split=analysis.split,
        split_state="bad" if broken else "good",
        charts=tuple((f"{found.metric}: {found.variant} against {config.control}", course(found)) for found in primary),
        header=tuple(header),
        rows=tuple(tuple(row) for row in rows),
        guardrails=tuple(Rail(rail.name, rail.variant, rail.state, rail.text) for rail in analysis.guardrails),
        novelty=tuple(
            (
                view.variant,
                view.text,
                _chart(f"lift of {view.variant} by day since first show", range(1, len(view.days) + 1), view.days, "change"),
            )
            for view in analysis.novelty
        ),
        units=tuple(analysis.units.items()),
        notes=(
            *filter(None, [analysis.adjusted]),
            *(why for metric, why in analysis.silent.items() if metric != config.primary),
            *(f"{n:,} {what}" for what, n in left_out.items() if n),
        ),
    )


def course(found: Comparison) -> Chart:
    """The anytime-valid interval, day by day."""
    label = f"{found.metric} of {found.variant}, any-time interval by day; now {change(found.last.anytime, found.relative)}"
    days = [look.day + 1 for look in found.looks]
    return _chart(label, days, [look.anytime for look in found.looks], "change" if found.relative else "number")


def _chart(label: str, days: Sequence[int], intervals: Sequence[Interval], unit: Unit) -> Chart:
    series = (
        Series("high", tuple(at.high for at in intervals), "high"),
        Series("low", tuple(at.low for at in intervals), "low"),
        Series("change", tuple(at.value for at in intervals)),
    )
    return Chart(label, tuple(map(float, days)), series, unit, days=True)
