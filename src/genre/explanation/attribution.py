"""Attribution by leaving out: the event without which an item's score would fall the most."""

# L events of a history, n items of a list, N catalogue

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from genre.types import Histories, Ints

LOOK_BACK = 30


def strongest_event(score: Callable[[Histories], npt.NDArray[np.float32]], query: Histories, items: Ints) -> list[int | None]:
    """For each item, the position in the history that its score owes most to; None where no event raises it.

    What an event is worth is the fall of the item's score, in standard deviations over the catalogue, when the model is asked again
    without that event: true to the model whatever it is, and comparable between histories. Looks at the newest 30 events.

    Args:
        score: (B queries) -> scores (B, N).
        query: one history.
        items: (n,) the recommended items.
    """
    length = len(query.item_idx_E)
    first = max(0, length - LOOK_BACK)
    if length == 0:
        return [None] * len(items)
    without = [np.delete(query.item_idx_E, e) for e in range(first, length)]
    times = [np.delete(query.time_E, e) for e in range(first, length)]
    shorter = Histories.of([query.item_idx_E, *without], [query.time_E, *times])
    asked = query.take(np.zeros(len(shorter), np.int64))  # the same moment and context for each
    scores_LN = score(replace(asked, item_idx_E=shorter.item_idx_E, time_E=shorter.time_E, offsets=shorter.offsets, disliked=None))
    scores_LN = (scores_LN - scores_LN.mean(axis=1, keepdims=True)) / np.maximum(scores_LN.std(axis=1, keepdims=True), 1e-9)
    fall_Ln = scores_LN[0, items] - scores_LN[1:, items]
    best = fall_Ln.argmax(axis=0)
    return [int(first + e) if fall_Ln[e, i] > 0 else None for i, e in enumerate(best)]
