"""Coverage as a guardrail: how many distinct items an arm shows, at an equal number of units."""

# S pairs of unit and item, N items, G groups of units

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from genre.experiments.comparison import early
from genre.experiments.confidence import Interval, anytime_half
from genre.experiments.definition import ExperimentConfig
from genre.experiments.logs import Log
from genre.types import Ints

GROUPS = 20


def of_coverage(config: ExperimentConfig, log: Log, variant: str, alpha: float) -> tuple[Interval | None, str]:
    """The loss of distinct items as a share of control's, at equal numbers of units; spread by the jackknife over groups of units."""
    variant_U = log.units["variant"].to_numpy()
    if log.shown.is_empty():
        return None, "no items shown yet"
    row_S = log.shown["row"].to_numpy()
    item_S = log.shown["item"].rank("dense").to_numpy().astype(np.int64) - 1
    n_items = int(item_S.max()) + 1
    groups = {}
    for name in (config.control, variant):
        seen = np.unique(row_S[variant_U[row_S] == name])
        if len(seen) < max(config.min_units, 2 * GROUPS):
            return None, f"{name}: {len(seen)} units with items are too few"
        group_S = np.searchsorted(seen, row_S) % GROUPS
        here = variant_U[row_S] == name
        counts_GN = np.bincount(group_S[here] * n_items + item_S[here], minlength=GROUPS * n_items).reshape(GROUPS, n_items)
        groups[name] = (counts_GN, np.bincount(np.arange(len(seen)) % GROUPS, minlength=GROUPS))
    m = int(0.9 * min(size_G.sum() for _, size_G in groups.values()))
    (control, control_se), (treatment, treatment_se) = (jackknifed(counts_GN, size_G, m) for counts_GN, size_G in groups.values())
    loss = 1 - treatment / control
    se = (1 - loss) * np.hypot(control_se / control, treatment_se / treatment)
    half = float(anytime_half(np.asarray(se), np.asarray(len(variant_U)), early(config), alpha))
    told = f"{control:,.0f} → {treatment:,.0f} distinct items in the lists of {m:,} units, {round(-loss, 4) + 0.0:+.1%}"
    return Interval(loss, loss - half, loss + half), told


def distinct_items(count_N: Ints, n: int, m: int) -> float:
    """Distinct items expected in the lists of m of n units, given how many units each item was shown to (rarefaction; Hurlbert, 1971)."""
    if not 0 < m <= n or (count_N > n).any():
        raise ValueError(f"cannot draw {m} of {n} units with items shown to up to {count_N.max(initial=0)}")
    left_N = (n - count_N[count_N > 0]).astype(np.float64)
    can = left_N >= m  # otherwise any m units have it
    absent = np.exp(gammaln(left_N[can] + 1) - gammaln(left_N[can] - m + 1) - gammaln(n + 1) + gammaln(n - m + 1))
    return float(len(left_N) - absent.sum())


def jackknifed(counts_GN: Ints, size_G: Ints, m: int) -> tuple[float, float]:
    """Distinct items among m units with the standard error of leaving out one group at a time, which errs on the wide side.

    Where nearly everything was shown, leaving out changes nothing, though one more unit may yet add an item: so at least one item.
    """
    count_N, n = counts_GN.sum(0), int(size_G.sum())
    without_G = np.array([distinct_items(count_N - counts_N, n - int(size), m) for counts_N, size in zip(counts_GN, size_G, strict=True)])
    spread = (len(size_G) - 1) / len(size_G) * ((without_G - without_G.mean()) ** 2).sum()
    return distinct_items(count_N, n, m), float(max(np.sqrt(spread), 1.0))
