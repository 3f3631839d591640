"""Live experiments: which arm somebody gets on a surface, and the engine that answers for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from genre.experiments.assignment import Assigner
from genre.experiments.definition import INTERLEAVED, ExperimentConfig, ExperimentError, Variant
from genre.experiments.loading import parse_experiment
from genre.experiments.state import Experiment
from genre.serving.contract import Answering, Engine, RequestError
from genre.serving.interleaving import Interleaving
from genre.serving.store import registry
from genre.serving.store.assignments import label
from genre.surfaces import DEFAULT, Surface

COLUMNS = {"latency": "ms", "degraded": "degraded", "items": "items"}
"""What the served log calls what guardrails read."""
TEAMS = {"team": "team", "first": "first"}
"""And what credit is given by, of an interleaved experiment."""


@dataclass(frozen=True)
class Arm:
    """What answers, and what the log calls it."""

    label: str
    engine: Answering


class Live:
    """The experiments that run, as one worker serves them; built anew whenever one starts or stops."""

    def __init__(self, experiments: Sequence[Experiment] = (), engines: Mapping[str, Engine] | None = None) -> None:
        """Make every arm.

        Args:
            engines: of every model that an arm names.
        """
        self.experiments = tuple(experiments)
        self._assigner = Assigner(experiments)
        self._on: dict[str, list[str]] = {}
        self._arms: dict[tuple[str, str], Arm] = {}
        for one in experiments:
            if one.config.hold_out:
                continue  # its units get what serves, or what the other experiments give them
            self._on.setdefault(one.config.surface, []).append(one.config.name)
            assert engines is not None
            for name, engine in arms_of(one.config, engines).items():
                self._arms[one.config.name, name] = Arm(label(one.config.name, name), engine)

    def concerns(self, surface: str) -> bool:
        """Whether anything runs there."""
        return surface in self._on

    def arm(self, surface: str, root: str, now: float) -> Arm | None:
        """What somebody gets, by the id that they are assigned by; None for who takes part in nothing there."""
        for experiment in self._on.get(surface, ()):
            got = self._assigner.assign(root, experiment, now)
            if got.variant is not None:
                return self._arms[experiment, got.variant]
        return None

    def left_out(self, surface: str, root: str, now: float) -> dict[str, str]:
        """The experiments there in which somebody takes no part, each with the reason."""
        found = {name: self._assigner.assign(root, name, now) for name in self._on.get(surface, ())}
        return {name: got.why for name, got in found.items() if got.variant is None}


def arms_of(config: ExperimentConfig, engines: Mapping[str, Engine]) -> dict[str, Answering]:
    """What answers for each arm, by its name."""
    found: dict[str, Answering] = {}
    for name in (config.control, *config.treatments):
        model, changes = parts(config.variants[name])
        assert model is not None  # written out at the start
        found[name] = engines[model].varied(config.surface, changes)
    return {INTERLEAVED: Interleaving(found)} if config.interleave else found


def columns(interleave: bool) -> dict[str, str]:
    """What an experiment reads of the served log."""
    return TEAMS if interleave else COLUMNS


def parts(variant: Variant) -> tuple[str | None, dict[str, Any]]:
    """The model that a variant names, and what it changes of the surface."""
    changes = dict(variant.serve)
    return changes.pop("model", None), changes


def parse_live(tree: Mapping[str, Any]) -> ExperimentConfig:
    """A definition whose logs are the server's own.

    Raises:
        ExperimentError: with every mistake, each with its path.
    """
    if tree.get("logs"):
        raise ExperimentError("logs: the server reads its own log; leave this out")
    # Two people of two variants may turn out to be one: that is nobody's mistake here.
    surface = "" if tree.get("hold_out") is True else DEFAULT
    config = parse_experiment({"surface": surface, "crossed": "drop", **tree, "logs": columns(tree.get("interleave") is True)})
    for name, variant in config.variants.items():
        model, changes = parts(variant)
        if model is not None and not isinstance(model, str):
            raise ExperimentError(f"variants.{name}.serve.model: must be a model's name, not {model!r}")
        try:
            Surface.model_validate(changes)
        except ValidationError as error:
            first = error.errors()[0]
            where, what = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
            raise ExperimentError(
                f"variants.{name}.serve.{where}: {what}; it may hold `model` and settings of a surface: {', '.join(Surface.model_fields)}"
            ) from error
    return config


def check_named(connection: sa.Connection, config: ExperimentConfig, serving: Engine | None) -> None:
    """The models that a definition names are registered and have its surface, and the surface can be changed so.

    Args:
        serving: what answers now; None where no model is loaded yet, and then surface and settings are tried at the start alone.

    Raises:
        ExperimentError: with the path of what is not there, and what is.
    """
    trial = copy(serving)
    if trial is not None:
        trial.heads = dict(trial.heads)  # what is only tried learns nothing
    for name, variant in {} if config.hold_out else config.variants.items():
        where = f"variants.{name}.serve"
        model, changes = parts(variant)
        try:
            facts = {} if model is None else registry.get(connection, model)["manifest"].get("facts", {})
        except registry.RegistryError as error:
            raise ExperimentError(f"{where}.model: {error}; make one with: genre publish RUN") from error
        if "surfaces" in facts and config.surface not in (there := (DEFAULT, *facts["surfaces"])):
            why = f"{model!r} has no surface {config.surface!r}, only {', '.join(there)}"
            raise ExperimentError(f"{where}.model: {why}; name one of these, or publish it anew")
        try:
            if trial is not None:
                trial.varied(config.surface, changes)
        except RequestError as error:
            path = {"surface": "surface", config.surface: where}.get(error.where, f"{where}.{error.where}")
            raise ExperimentError(f"{path}: {error.why}") from error


def pinned(config: ExperimentConfig, current: str | None) -> ExperimentConfig:
    """With the model of every arm written out: what is promoted while it runs changes no arm.

    Raises:
        ExperimentError: an arm names no model, and none serves.
    """
    if config.hold_out:
        return config
    variants = {}
    for name, variant in config.variants.items():
        if (model := variant.serve.get("model", current)) is None:
            raise ExperimentError(f"variants.{name}.serve names no model, and none serves yet; promote one, or name it")
        variants[name] = variant.model_copy(update={"serve": {**variant.serve, "model": model}})
    return config.model_copy(update={"variants": variants})


def models_of(experiments: Sequence[Experiment]) -> list[str]:
    """Every model that an arm names."""
    found = [parts(variant)[0] for one in experiments for variant in one.config.variants.values()]
    return sorted({model for model in found if model is not None})
