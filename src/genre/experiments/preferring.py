"""Preferring: an interleaved experiment's credit, day by day, as comparisons of the one variant with the other."""

# U units, M metrics

from __future__ import annotations

import numpy as np

from genre.experiments.comparison import Comparison, Look, days_read, with_q
from genre.experiments.definition import ExperimentConfig, TooEarlyError
from genre.experiments.interleaving import Preference, preference
from genre.experiments.logs import Log
from genre.experiments.srm import RatioCheck, check_ratio
from genre.experiments.sums import DAY
from genre.types import Floats


def preferred(config: ExperimentConfig, log: Log) -> tuple[list[Comparison], dict[str, str]]:
    """Every metric's preference, and in words why there is none of the others."""
    found, silent = [], {}
    for name in config.metrics:
        try:
            found.append(prefer(config, log, name))
        except TooEarlyError as error:
            silent[name] = str(error)
    return with_q(found, config.primary), silent


def prefer(config: ExperimentConfig, log: Log, name: str) -> Comparison:
    """The treatment's lead over control: the mean over units of its share of a unit's credit, less control's; from -1 to 1.

    Raises:
        TooEarlyError: nothing can be said yet.
    """
    exposed_R, variant_R = log.units["exposed"].to_numpy(), log.units["variant"].to_numpy()
    # The rows of a unit's two variants follow each other, so both are in the order of the units.
    rows = [np.flatnonzero(variant_R == variant) for variant in (config.control, *config.treatments)]
    credit_R, of_day = np.zeros(len(variant_R)), log.daily.partition_by("day", as_dict=True)
    looks: list[Look] = []
    last: Preference | TooEarlyError = TooEarlyError("")
    for day in range(days_read(config, log.days)):
        if (ours := of_day.get((day,))) is not None:
            np.add.at(credit_R, ours["row"].to_numpy(), ours[f"{name}.num"].to_numpy())
        ripe_U = exposed_R[rows[0]] + (config.window_days or 0) * DAY <= min(log.started + (day + 1) * DAY, log.now)
        first_U, second_U = (credit_R[one][ripe_U] for one in rows)
        try:
            last = _preference(config, name, first_U, second_U)
        except TooEarlyError as error:  # later days say more
            last = error
        else:
            looks.append(Look(day, last.units, last.anytime, last.fixed))
    if isinstance(last, TooEarlyError):
        raise last
    first, second = (float(credit_R[one][ripe_U].mean()) for one in rows)
    variant = config.treatments[0]
    return Comparison(
        name, variant, config.metrics[name].better, first, second, relative=False, looks=tuple(looks), p=last.p, p_anytime=last.p_anytime,
        q=float("nan"), reduction=0.0, note=f"of {last.decided:,} units with a preference, {last.share:.1%} prefer {variant}",
    )  # fmt: skip


def check_firsts(config: ExperimentConfig, log: Log) -> RatioCheck:
    """Whether the coin that says which variant picks first is a fair one."""
    count_DV = np.zeros((log.days, 2), np.int64)
    for day, variant, lists in log.firsts.iter_rows():
        count_DV[day, list(config.variants).index(variant)] = lists
    return check_ratio(count_DV.cumsum(0), np.full(2, 0.5), config.srm_alpha)


def _preference(config: ExperimentConfig, name: str, first_U: Floats, second_U: Floats) -> Preference:
    if len(first_U) < config.min_units:
        raise TooEarlyError(f"metric {name!r}: {len(first_U)} units; intervals are given from {config.min_units} on (min_units)")
    try:
        return preference(first_U, second_U, config.planned_units, config.alpha)
    except ValueError as error:
        events = ", ".join(config.metrics[name].numerator())
        raise TooEarlyError(f"metric {name!r}: {error}. Do its events ({events}) say which list they are of?") from error
