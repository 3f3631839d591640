"""Live experiments: on which surfaces one runs, who is shown which arm of it, and the engines that answer for the arms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from genre.experiments.assignment import Assigner
from genre.experiments.definition import Variant
from genre.experiments.state import Experiment
from genre.serving.contract import Engine, RequestError
from genre.serving.following import Following
from genre.serving.observability import log
from genre.serving.store import experiments

MODEL = "model"
"""The key of a variant's `serve` that names a published model; every other is a setting of the surface."""


@dataclass(frozen=True)
class Arm:
    """What answers a unit."""

    experiment: str
    variant: str
    engine: Engine


@dataclass(frozen=True)
class _Ready:
    """What runs, replaced as a whole so that no request sees half of a change."""

    serving: Following | None = None
    running: tuple[Experiment, ...] = ()
    assigner: Assigner = field(default_factory=lambda: Assigner(()))
    arms: Mapping[str, Mapping[str, Arm]] = field(default_factory=dict)


class Live:
    """The experiments that run, as this worker serves them.

    Args:
        hold_out: the share of units that no experiment touches.
        load: a model by its name in the registry; None if it cannot be loaded.

    Attributes:
        models: what arms answer with beside the model that serves, by name.
    """

    def __init__(self, hold_out: float, load: Callable[[sa.Connection, str], Following | None]) -> None:
        self.models: dict[str, Following] = {}
        self._hold_out = hold_out
        self._load = load
        self._ready = _Ready()

    def look(self, connection: sa.Connection, serving: Following | None) -> None:
        """Once: what was started, what was stopped, and whether another model serves the arms that name none."""
        running = tuple(experiments.running(connection))
        if running == self._ready.running and serving is self._ready.serving:
            return
        before = {**self.models, **({serving.model: serving} if serving else {})}
        models: dict[str, Following] = {}
        arms = {found.config.name: self._arms(found, serving, before, models, connection) for found in running} if serving else {}
        able = {name: of for name, of in arms.items() if of}
        self._ready = _Ready(serving, running, Assigner((one for one in running if one.config.name in able), self._hold_out), able)
        self.models = models

    def serves(self, name: str) -> bool:
        """Whether an experiment runs here."""
        return name in self._ready.arms

    def on(self, surface: str) -> bool:
        """Whether an experiment runs on a surface."""
        return any(found.config.surface == surface for found in self._ready.assigner.experiments.values())

    def arm(self, surface: str, unit: str, seen: Mapping[str, str], now: float) -> Arm | None:
        """What answers a unit on a surface: what it saw before, else what its hash says; None where it takes no part.

        Args:
            seen: the variant that it was first shown, by experiment.
        """
        ready = self._ready
        here = [name for name, found in ready.assigner.experiments.items() if found.config.surface == surface]
        for name in here:
            if seen.get(name) in ready.arms[name]:
                return ready.arms[name][seen[name]]
        for name in here:
            variant = ready.assigner.assign(unit, name, now).variant
            if variant is not None:
                return ready.arms[name][variant]
        return None

    def _arms(
        self,
        experiment: Experiment,
        serving: Following,
        before: Mapping[str, Following],
        models: dict[str, Following],
        connection: sa.Connection,
    ) -> dict[str, Arm]:
        """An experiment's arms by variant; none at all if one of them cannot be served, for half an experiment compares nothing."""
        config, arms = experiment.config, dict[str, Arm]()
        for variant, what in config.variants.items():
            model = what.serve.get(MODEL)
            following = serving if model is None else models.get(model) or before.get(model) or self._load(connection, model)
            if following is None:
                log.error("experiment not served", experiment=config.name, variant=variant, reason=f"model {model} cannot be loaded")
                return {}
            if model is not None:
                models[model] = following
            try:
                arms[variant] = Arm(config.name, variant, engine_of(following.engine, config.surface, what))
            except RequestError as error:
                log.error("experiment not served", experiment=config.name, variant=variant, reason=str(error))
                return {}
        return arms


def engine_of(engine: Engine, surface: str, variant: Variant) -> Engine:
    """An engine as a variant wants its surface.

    Raises:
        RequestError: a surface or a setting that there is not.
    """
    changes = {key: value for key, value in variant.serve.items() if key != MODEL}
    return engine.varied(surface, changes) if changes else engine
