"""An experiment, defined before it starts: variants, who takes part, what decides, and what must not get worse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, StrictBool, ValidationInfo, field_validator, model_validator

from genre.component import Settings
from genre.experiments.metrics import SHOWN, Degraded, Mean, Metric, Value

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100)]
Share = Annotated[float, Field(gt=0, le=1)]
INTERLEAVED = "interleaved"
"""What a unit of an interleaved experiment gets: both variants in one list."""


class ExperimentError(ValueError):
    """A mistake in a definition, its logs or its course; the message names the place and the fix."""


class TooEarlyError(ExperimentError):
    """Nothing can be said yet; waiting is the fix."""


class Variant(Settings):
    """What some of the units get."""

    weight: PositiveFloat = 1.0
    """Its share is its weight over the sum of all. Weights do not change while the experiment runs; the ramp does."""
    serve: dict[str, Any] = Field(default_factory=dict)
    """What the server changes for it: a model, a policy, or any part of the surface's configuration."""


class Layer(Settings):
    """Experiments in one layer share no unit, if their slices do not overlap; experiments of different layers mix independently."""

    name: Name = "default"
    start: Annotated[float, Field(ge=0, lt=1)] = 0.0
    stop: Share = 1.0

    @model_validator(mode="after")
    def _in_order(self) -> Layer:
        if self.start >= self.stop:
            raise ValueError(f"a slice from {self.start} to {self.stop} holds nobody; `start` must be below `stop`")
        return self


class Step(Settings):
    """From this day on, this share of the slice takes part."""

    day: Annotated[float, Field(ge=0)]
    share: Share


class MetricGuardrail(Settings):
    """A metric that may not get worse by more than a margin."""

    use: Literal["metric"] = "metric"
    metric: str
    """One of the experiment's metrics, whose `better` says which way is worse."""
    margin: Annotated[float, Field(ge=0)] = 0.05
    """The tolerated worsening, as a share of control's value."""
    stop: bool = True
    """Stop the experiment when it breaks; otherwise it is only said."""
    prove: bool = False
    """Ship only once it is shown to be within the margin, not merely not shown to be outside."""


class LatencyGuardrail(Settings):
    """A high quantile of the answers' time."""

    use: Literal["latency"] = "latency"
    quantile: Annotated[float, Field(gt=0.5, lt=1)] = 0.99
    margin: Annotated[float, Field(ge=0)] = 0.2
    """The tolerated increase over control's quantile, as a share of it."""
    stop: bool = True
    """See the metric guardrail."""
    prove: bool = False
    """See the metric guardrail."""


class CoverageGuardrail(Settings):
    """Distinct items shown, at an equal number of units: a narrower variant sells less of the catalogue."""

    use: Literal["coverage"] = "coverage"
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """The tolerated loss, as a share of control's."""
    stop: bool = True
    """See the metric guardrail."""
    prove: bool = False
    """See the metric guardrail."""


Guardrail = Annotated[MetricGuardrail | LatencyGuardrail | CoverageGuardrail, Field(discriminator="use")]


class Logs(Settings):
    """Where the logs are, and what their columns are called; text formats, Parquet, or folders of them."""

    exposures: Path | None = None
    """Who was shown what, first show or every show: unit, variant, time."""
    assignments: Path | None = None
    """Who was assigned what, where exposures were not logged: everybody assigned is then judged."""
    events: Path | None = None
    """What units did: unit, event, time, value. May reach back before the start, for CUPED."""
    unit: str = "unit"
    variant: str = "variant"
    time: str = "time"
    event: str = "event"
    value: str = "value"
    experiment: str | None = None
    """The column that names the experiment, where a log holds several."""
    latency: str | None = None
    """Of exposures: milliseconds that the answer took."""
    degraded: str | None = None
    """Of exposures: whether the answer was degraded, 0 or 1, true or false."""
    items: str | None = None
    """Of exposures: the items shown, a list or text separated by blanks or |."""
    team: str | None = None
    """Of events, of an interleaved experiment: the variant that picked the item; empty where the event is of no list."""
    first: str | None = None
    """Of exposures, of an interleaved experiment: the variant that picked first, a fair coin each time."""

    @field_validator("exposures", "assignments", "events")
    @classmethod
    def _beside(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        folder = (info.context or {}).get("folder")
        return path if path is None or folder is None else folder / path


class ExperimentConfig(Settings):
    """Everything that is decided before the first unit is assigned."""

    name: Name
    hypothesis: str = ""
    """What you expect and why, in a sentence; the report opens with it."""
    surface: str = ""
    """The placement it runs on."""
    salt: str | None = None
    """Of the hash; None takes the name. The same salt gives the same assignment, another an independent one."""
    variants: dict[Name, Variant] = Field(min_length=2)
    """What is compared."""
    interleave: StrictBool = False
    """Every unit sees one list that both variants draft in turn (team draft); each event counts for the one that picked its item."""
    hold_out: StrictBool = False
    """It measures what all other experiments together are worth: whoever is in its control takes part in none of them while it runs."""
    control: str = ""
    """The variant that the others are compared with; without one it is the first, and is written out."""
    layer: Layer = Field(default_factory=Layer)
    ramp: list[Step] = Field(default_factory=lambda: [Step(day=0, share=1)], min_length=1)
    """Shares grow: who takes part once keeps taking part."""
    metrics: dict[Name, Metric] = Field(min_length=1)
    primary: str
    """The one metric that decides; the others are read with Benjamini-Hochberg."""
    guardrails: dict[Name, Guardrail] = Field(default_factory=dict)
    days: PositiveInt = 14
    """Planned length; the fixed-horizon interval is valid at its end only."""
    min_days: NonNegativeInt = 7
    """Nothing is shipped before: a week has weekdays and a weekend. 0 where all days are alike, as in a simulation."""
    min_units: Annotated[int, Field(ge=10)] = 100
    """No interval is given before each arm has so many: all of them rest on sums of many units being normal."""
    planned_units: PositiveInt = 10_000
    """Units the plan asks for: where the anytime-valid interval is tightest. `genre experiment plan` says how many."""
    min_effect: PositiveFloat = 0.02
    """The smallest change worth having, as a share of control's value: what the plan looks for."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """False alarms tolerated; several treatments share it."""
    power: Annotated[float, Field(gt=0.5, lt=1)] = 0.8
    """How often the smallest effect is found."""
    decide_by: Literal["anytime", "fixed"] = "anytime"
    """`anytime` may be read every day; `fixed` is narrower and read once, at the end of the planned days."""
    srm_alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """False alarms of the sample-ratio check, over the whole experiment."""
    cuped_days: PositiveInt | None = 14
    """Days before a unit's first exposure that its later values are predicted from; None leaves CUPED out."""
    window_days: PositiveFloat | None = None
    """Judge each unit by so many days after its first exposure, and not before they have passed; None counts all there is so far."""
    crossed: Literal["error", "drop"] = "error"
    """What to do with units that were shown two variants."""
    logs: Logs = Field(default_factory=Logs)

    @model_validator(mode="before")
    @classmethod
    def _name_the_control(cls, tree: Any) -> Any:
        # Written out, since a store may not keep the order of keys (PostgreSQL's jsonb does not).
        if isinstance(tree, dict) and not tree.get("control") and isinstance(variants := tree.get("variants"), dict) and variants:
            return {**tree, "control": next(iter(variants))}
        return tree

    @model_validator(mode="before")
    @classmethod
    def _be_its_own_control(cls, tree: Any) -> Any:
        # A unit that sees both rankings is compared with itself: there is nothing left for CUPED to explain.
        return {"cuped_days": None, **tree} if isinstance(tree, dict) and tree.get("interleave") is True else tree

    @model_validator(mode="after")
    def _may_be_interleaved(self) -> ExperimentConfig:
        if not self.interleave:
            if self.logs.team is not None or self.logs.first is not None:
                raise ValueError("logs.team and logs.first are of an interleaved experiment; add `interleave: true`, or leave them out")
            return self
        if len(self.variants) != 2 or len({variant.weight for variant in self.variants.values()}) > 1:
            raise ValueError("interleave: a list is drafted by two variants that take turns; name two, without weights")
        if self.guardrails:
            raise ValueError("interleave: every list is of both variants, so no guardrail can tell them apart; leave out `guardrails`")
        if self.cuped_days is not None:
            raise ValueError("interleave: each unit sees both variants and is its own control; leave out `cuped_days`")
        for name, metric in self.metrics.items():
            plain = isinstance(metric, Mean) and metric.cap is None
            worth = isinstance(metric, Value) and metric.per is None and min(metric.weights.values()) >= 0
            if not (plain or worth) or SHOWN in metric.numerator():
                raise ValueError(
                    f"metrics.{name}: what is credited to a team is a `mean` without `cap`, or a `value` without `per` or negative weights"
                )
        if self.logs.events is not None and self.logs.team is None:
            raise ValueError("logs.team: say which column of the events names the variant that picked the item")
        if self.logs.assignments is not None:
            raise ValueError("logs.assignments: everybody gets the same; leave it out and name the exposures")
        return self

    @model_validator(mode="after")
    def _may_hold_out(self) -> ExperimentConfig:
        if not self.hold_out:
            return self
        if len(self.variants) != 2 or any(variant.serve for variant in self.variants.values()) or self.interleave:
            raise ValueError("hold_out: name two variants, who is held out and who takes part; without `serve` or `interleave`")
        if self.layer != Layer():
            raise ValueError("hold_out: it concerns everybody, in every layer; leave out `layer`")
        if self.ramp != [Step(day=0, share=1)]:
            raise ValueError("hold_out: who is not taken in yet would be neither held out nor taking part; leave out `ramp`")
        return self

    @model_validator(mode="after")
    def _hangs_together(self) -> ExperimentConfig:
        if self.control not in self.variants:
            raise ValueError(f"control is {self.control!r}, which is no variant; one of {', '.join(self.variants)}")
        if self.primary not in self.metrics:
            raise ValueError(f"primary is {self.primary!r}, which is no metric; one of {', '.join(self.metrics)}")
        for name, rail in self.guardrails.items():
            if isinstance(rail, MetricGuardrail) and rail.metric not in self.metrics:
                raise ValueError(f"guardrails.{name}: there is no metric {rail.metric!r}; one of {', '.join(self.metrics)}")
            column = {"latency": self.logs.latency, "coverage": self.logs.items}.get(rail.use, "")
            if column is None:
                wanted = "latency" if rail.use == "latency" else "items"
                raise ValueError(f"guardrails.{name}: say in logs.{wanted} which column of the exposures holds it")
        if self.logs.degraded is None and any(isinstance(metric, Degraded) for metric in self.metrics.values()):
            raise ValueError("a `degraded` metric needs logs.degraded, the column of the exposures that holds it")
        pairs = list(zip(self.ramp, self.ramp[1:], strict=False))
        if any(later.day <= earlier.day or later.share < earlier.share for earlier, later in pairs):
            raise ValueError("ramp: days and shares must grow; a share that shrinks would throw units out of their variant")
        if self.min_days > self.days:
            raise ValueError(f"min_days is {self.min_days}, longer than the {self.days} days planned")
        return self

    @property
    def treatments(self) -> list[str]:
        """The other variants."""
        return [name for name in self.variants if name != self.control]

    @property
    def alpha_each(self) -> float:
        """False alarms tolerated of each treatment (Bonferroni)."""
        return self.alpha / len(self.treatments)

    @property
    def level(self) -> str:
        """Of each treatment's intervals."""
        return f"{100 * (1 - self.alpha_each):.4g}"

    def shares(self) -> dict[str, float]:
        """Each variant's share of the units that take part; all of them get both where they are interleaved."""
        if self.interleave:
            return {INTERLEAVED: 1.0}
        total = sum(variant.weight for variant in self.variants.values())
        return {name: variant.weight / total for name, variant in self.variants.items()}
