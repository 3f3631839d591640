"""Assignment: a salted hash decides who sees what, so any process gives the same answer at any time, without asking anybody."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from genre.experiments.definition import ExperimentConfig, ExperimentError
from genre.experiments.state import Experiment

SPAN = 2.0**-64
DAY = 86_400.0


def position(salt: str, unit: str) -> float:
    """Where a unit lies in [0, 1) under a salt: uniform over units, independent between salts, the same on every machine."""
    # The zero byte cannot be in a salt, so no salt and unit run together into another pair.
    digest = hashlib.blake2b(f"{salt}\0{unit}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return min(int.from_bytes(digest, "big") * SPAN, 1 - 2.0**-53)


@dataclass(frozen=True)
class Assignment:
    """What a unit gets.

    Attributes:
        variant: its name, or None for who does not take part.
        why: `assigned`, or the reason that a unit is left out.
    """

    experiment: str
    unit: str
    variant: str | None
    why: str = "assigned"


class Assigner:
    """Assigns units to the variants of running experiments. Holds no state: it can be rebuilt from the experiments at any time."""

    def __init__(self, experiments: Iterable[Experiment], roots: Mapping[str, str] | None = None) -> None:
        """Prepare the thresholds once.

        Args:
            experiments: one of them may be a hold-out, whose control takes part in none of the others.
            roots: of merged users, the id they were first assigned by (see `Merges`).

        Raises:
            ExperimentError: two running experiments of a layer overlap, or two are hold-outs.
        """
        self.roots = roots if roots is not None else {}
        self.experiments = {experiment.config.name: experiment for experiment in experiments}
        running = [experiment.config for experiment in self.experiments.values() if experiment.status == "running"]
        check_layers(running)
        self._hold_out = next((config for config in running if config.hold_out), None)
        self._thresholds = {name: thresholds(experiment.config) for name, experiment in self.experiments.items()}

    def assign(self, unit: str, experiment: str, now: float) -> Assignment:
        """The variant of a unit at a moment (unix seconds); a pure function of its arguments, a few microseconds.

        Raises:
            ExperimentError: no such experiment, or a unit without an id.
        """
        found = self.experiments.get(experiment)
        if found is None:
            raise ExperimentError(f"there is no experiment {experiment!r}; there is {', '.join(self.experiments) or 'none'}")
        if not unit:
            raise ExperimentError("a unit without an id cannot be assigned: give a user or session id")
        config = found.config
        why = self._left_out(root := self.roots.get(unit, unit), found, now)
        if why is not None:
            return Assignment(experiment, unit, None, why)
        at = position(f"{config.salt or config.name}/variant", root)
        return Assignment(experiment, unit, next(name for name, edge in self._thresholds[experiment] if at < edge))

    def _left_out(self, unit: str, experiment: Experiment, now: float) -> str | None:
        config = experiment.config
        if experiment.status != "running" or experiment.started is None or now < experiment.started:
            return f"the experiment is {experiment.status}"
        hold_out = self._hold_out
        if hold_out is not None and hold_out is not config and self.assign(unit, hold_out.name, now).variant == hold_out.control:
            return "held out of all experiments"
        layer = config.layer
        whole = layer.start == 0 and layer.stop == 1
        if not whole and not layer.start <= position(f"layer/{layer.name}", unit) < layer.stop:
            return "another slice of the layer"
        share = traffic(config, (now - experiment.started) / DAY)
        if share < 1 and position(f"{config.salt or config.name}/traffic", unit) >= share:
            return "not yet ramped up"
        return None


def traffic(config: ExperimentConfig, day: float) -> float:
    """The share of the slice that takes part, so many days after the start."""
    return max((step.share for step in config.ramp if step.day <= day), default=0.0)


def thresholds(config: ExperimentConfig) -> list[tuple[str, float]]:
    """Each variant with the upper edge of its part of [0, 1), by name: a store may not keep the order of keys."""
    shares = sorted(config.shares().items())
    edges = [*itertools.accumulate(share for _, share in shares)]
    edges[-1] = 1.0  # rounding must leave nobody without a variant
    return [(name, edge) for (name, _), edge in zip(shares, edges, strict=True)]


def check_layers(configs: Iterable[ExperimentConfig]) -> None:
    """Slices of one layer may touch, not overlap; a hold-out is beside all layers.

    Raises:
        ExperimentError: naming the two experiments that would share units, or that are hold-outs.
    """
    configs = [*configs]
    if len(apart := [config.name for config in configs if config.hold_out]) > 1:
        raise ExperimentError(f"{' and '.join(map(repr, sorted(apart)))} are both hold-outs; stop the one before you start the other")
    in_order = sorted((config for config in configs if not config.hold_out), key=lambda config: (config.layer.name, config.layer.start))
    for one, next_one in itertools.pairwise(in_order):
        if one.layer.name == next_one.layer.name and next_one.layer.start < one.layer.stop:
            held = " and ".join(f"{each.name!r} {each.layer.start:g} to {each.layer.stop:g}" for each in (one, next_one))
            raise ExperimentError(
                f"experiments {one.name!r} and {next_one.name!r} overlap in layer {one.layer.name!r}: of it they take {held}; stop the one "
                "that runs, or give the new one a slice that is free (layer.start, layer.stop) or a layer of its own (layer.name)"
            )
