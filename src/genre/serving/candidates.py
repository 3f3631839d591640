"""What a policy may read of its candidates while serving: the same as in training (`policies.shelf`), also of items added since."""

# K candidates, L events of the history, C categories, D dimensions

from __future__ import annotations

import numpy as np

from genre.data.categories import SEPARATOR, spread
from genre.policies import Policy
from genre.policies.shelf import mean_direction
from genre.serving.world import World
from genre.types import Candidates, Floats, Ints


def candidates_of(world: World, policy: Policy, item_idx_K: Ints, scores_K: Floats, history_L: Ints) -> Candidates:
    """Candidates for the user of a history; with their scores alone if the policy reads nothing else.

    An index beyond the catalogue is an item that nothing is known of.

    Raises:
        ValueError: the items have no column that the policy names.
    """
    if policy.scores_alone:
        return Candidates(item_idx_K, scores_K)
    past_LD = world.vectors(history_L)
    shares, history_shares = {}, {}
    for name in policy.config.attributes():
        shares[name], history_shares[name] = shares_of(world, name, item_idx_K, history_L)
    return Candidates(
        item_idx_K, scores_K, world.vectors(item_idx_K), counts_of(world, item_idx_K), shares, history_shares,
        None if past_LD is None or not len(history_L) else mean_direction(past_LD),
    )  # fmt: skip


def counts_of(world: World, item_idx_K: Ints) -> Ints:
    """Interactions of each in the training data."""
    known_N = world.popular.values.first(world.popular.values.n)
    inside_K = item_idx_K < len(known_N)
    return np.where(inside_K, known_N[np.where(inside_K, item_idx_K, 0)], 0).astype(np.int64)


def shares_of(world: World, name: str, item_idx_K: Ints, history_L: Ints) -> tuple[Floats, Floats]:
    """Mixes of the candidates (K, C) and of the history (C,) over the categories that occur in either."""
    if name not in world.catalogue.columns:
        raise ValueError(f"the policy reads the item column {name!r}; there are {', '.join(world.catalogue.columns)}")
    labels = [_labels(world, name, i) for i in [*item_idx_K.tolist(), *history_L.tolist()]]
    column = {label: c for c, label in enumerate(dict.fromkeys(label for of_item in labels for label in of_item))}
    label_E = np.array([column[label] for of_item in labels for label in of_item], np.int64)
    place_E = np.repeat(np.arange(len(labels)), [len(of_item) for of_item in labels])
    mix_C = spread(label_E, place_E, (len(labels), len(column)))
    share_KC, past_LC = mix_C[: len(item_idx_K)], mix_C[len(item_idx_K) :]
    return share_KC, past_LC.sum(0) / np.float32(max(float(past_LC.sum()), 1e-12))


def _labels(world: World, name: str, i: int) -> list[str]:
    value = world.catalogue.columns[name].get(i) if i < world.catalogue.n else None
    parts = value if isinstance(value, list) else [] if value is None else str(value).split(SEPARATOR)
    return list(dict.fromkeys(text for part in parts if (text := str(part).strip())))
