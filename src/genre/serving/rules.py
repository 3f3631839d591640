"""Rules: what is decided by hand. Exclusions and boosts before the policy chooses, caps and pins after."""

# N items, K candidates

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from genre.serving.catalogue import Catalogue
from genre.serving.columns import Labels, Mask, Numbers
from genre.serving.filters import Filters, SeenItems
from genre.surfaces import Boost, Cap, Exclude, Pin, Rule
from genre.types import Floats, Ints, Slate


@dataclass(frozen=True)
class Place:
    """One item of a list; a propensity of None says that no policy put it there."""

    item_idx: int
    propensity: float | None
    by: str = "policy"


def excluding(rules: Sequence[Rule], filters: Filters, seen: SeenItems, n: int) -> list[tuple[str, Mask]]:
    """What each exclusion leaves."""
    return [
        (rule.name or f"rule {i}", ~filters.mask(rule.exclude, seen, n, f"rules.{i}"))
        for i, rule in enumerate(rules)
        if isinstance(rule, Exclude)
    ]


def boosting(rules: Sequence[Rule], filters: Filters, seen: SeenItems, n: int) -> list[tuple[str, Mask, float]]:
    """What is boosted, and by how much."""
    return [
        (rule.name or f"rule {i}", filters.mask(rule.boost, seen, n, f"rules.{i}"), rule.by)
        for i, rule in enumerate(rules)
        if isinstance(rule, Boost)
    ]


def boosted(scores_K: Floats, item_idx_K: Ints, boosts: Sequence[tuple[str, Mask, float]]) -> Floats:
    """Scores with so many of their standard deviations added where a boost applies."""
    total_K = scores_K.astype(np.float64)
    if boosts and len(scores_K):
        spread = float(scores_K.std()) or 1.0
        for _, mask_N, by in boosts:
            total_K += by * spread * mask_N[item_idx_K]
    return total_K


def pins_of(rules: Sequence[Rule], catalogue: Catalogue, allowed_N: Mask, n: int, offset: int = 0) -> dict[int, int]:
    """The allowed items that stand at a place of this page, which begins after so many places of the pages before: place to item."""
    wanted = {rule.place - 1 - offset: catalogue.index[rule.pin] for rule in rules if isinstance(rule, Pin) and rule.pin in catalogue.index}
    return {place: i for place, i in wanted.items() if 0 <= place < n and i < len(allowed_N) and allowed_N[i]}


def arranged(
    slate: Slate, candidates: Ints, rules: Sequence[Rule], catalogue: Catalogue, pins: Mapping[int, int], n: int
) -> tuple[list[Place], dict[str, list[int]]]:
    """The list as it is shown, and what each late rule took from it.

    The policy's order, without what became unavailable meanwhile and what is beyond a cap; filled up with the best of the rest; pins at
    their places.

    Args:
        slate: the policy's choice, longer than n if some of it may fall.
        candidates: what the policy chose from, best first; without the pins.
        n: places to fill.
    """
    caps = [(rule, Counter[object]()) for rule in rules if isinstance(rule, Cap) and rule.cap in catalogue.columns]
    dropped = dict[str, list[int]]()
    for i in pins.values():
        for rule, counts in caps:
            counts.update(_values(catalogue, rule.cap, i))
    chosen = [Place(i, p) for i, p in zip(slate.item_idx.tolist(), slate.propensities.tolist(), strict=True)]
    picked = {place.item_idx for place in chosen}
    backfill = (Place(i, None, "backfill") for i in candidates.tolist() if i not in picked)
    kept: list[Place] = []
    for place in chain(chosen, backfill):
        if len(kept) + len(pins) >= n:
            break
        if not catalogue.available[place.item_idx]:
            dropped.setdefault("available", []).append(place.item_idx)
            continue
        full = next((rule for rule, counts in caps if _reached(catalogue, rule, counts, place.item_idx)), None)
        if full is not None:
            dropped.setdefault(f"cap {full.cap}", []).append(place.item_idx)
            continue
        for rule, counts in caps:
            counts.update(_values(catalogue, rule.cap, place.item_idx))
        kept.append(place)
    for at, i in sorted(pins.items()):
        kept.insert(min(at, len(kept)), Place(i, None, "pin"))
    return kept, dropped


def _reached(catalogue: Catalogue, cap: Cap, counts: Counter[object], i: int) -> bool:
    return any(counts[value] >= cap.most for value in _values(catalogue, cap.cap, i))


def _values(catalogue: Catalogue, name: str, i: int) -> list[object]:
    """What counts against a cap: a text or number, each part of a list; nothing where the item says nothing."""
    column: Numbers | Labels = catalogue.columns[name]
    value = column.get(i)
    return [] if value is None else list(dict.fromkeys(value)) if isinstance(value, list) else [value]
