"""Filters: an expression becomes a bitmap over the catalogue, one array operation a part."""

# N items

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from genre.serving.catalogue import Catalogue
from genre.serving.columns import Mask
from genre.surfaces.expressions import And, Compare, Has, In, Missing, Node, Not, Or, Seen
from genre.types import Floats, Ints

REMEMBERED = 256
"""Bitmaps kept, each a byte an item."""


@dataclass(frozen=True)
class SeenItems:
    """Which items somebody did something with, and how many seconds ago; NaN where nobody knows."""

    item_idx_L: Ints
    age_L: Floats

    def mask(self, seconds: float, n: int) -> Mask:
        """Those of the last so many seconds; an event without a time counts as long ago."""
        found = np.zeros(n, bool)
        found[self.item_idx_L[(self.age_L <= seconds) | (seconds == np.inf)]] = True
        return found


class Filters:
    """Evaluates expressions and remembers what does not depend on who asks."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._remembered: OrderedDict[tuple[str, int, int], Mask] = OrderedDict()

    def mask(self, expression: Node, seen: SeenItems, n: int, where: str = "filter") -> Mask:
        """Which of the first n items pass; not to be written to.

        Raises:
            RequestError: a column that the items do not have.
        """
        if any_seen(expression):
            return self._evaluated(expression, seen, n, where)
        key = (expression.model_dump_json(), self.catalogue.changes, n)
        found = self._remembered.get(key)
        if found is None:
            found = self._evaluated(expression, seen, n, where)
            self._remembered[key] = found
            while len(self._remembered) > REMEMBERED:
                self._remembered.pop(next(iter(self._remembered)), None)
        return found

    def _evaluated(self, part: Node, seen: SeenItems, n: int, where: str) -> Mask:
        match part:
            case Compare():
                return self.catalogue.column(part.field, where).compare(part.op, part.value, n)
            case In():
                return self.catalogue.column(part.field, where).is_in(part.values, n)
            case Has():
                return self.catalogue.column(part.field, where).has(part.value, n)
            case Missing():
                return self.catalogue.column(part.field, where).missing(n)
            case Seen():
                return seen.mask(part.seconds, n)
            case Not():
                return ~self.mask(part.part, seen, n, where)
            case And() | Or():
                found = np.full(n, isinstance(part, And))
                for inner in part.parts:
                    mask = self.mask(inner, seen, n, where)
                    if isinstance(part, And):
                        found &= mask
                    else:
                        found |= mask
                return found
        raise AssertionError(f"no such part of an expression: {part!r}")


def any_seen(expression: Node) -> bool:
    """Whether it depends on who asks."""
    if isinstance(expression, And | Or):
        return any(any_seen(part) for part in expression.parts)
    return isinstance(expression, Seen) or (isinstance(expression, Not) and any_seen(expression.part))
