"""What a list is besides right: how much of the catalogue it shows, how surprising, varied, true to the user's mix."""

# B lists, K places (-1 where a list is short), N items, D embedding, C categories

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from genre.data.categories import SEPARATOR, Categories
from genre.evaluation.metrics import Values
from genre.types import Floats, Histories, Ints


def coverage(list_BK: Ints, n_items: int) -> float:
    """Share of the catalogue that is in at least one list."""
    return float(np.count_nonzero(exposure(list_BK, n_items)) / n_items)


def gini(list_BK: Ints, n_items: int) -> float:
    """Inequality of the places items get: 0 if all get as many, towards 1 if one gets all."""
    places_N = np.sort(exposure(list_BK, n_items))
    weight_N = 2 * np.arange(1, n_items + 1) - n_items - 1
    return float(weight_N @ places_N / (n_items * max(1, places_N.sum())))


def novelty(list_BK: Ints, counts_N: Ints) -> Values:
    """Mean of -log2 P(item) over a list, P by training interactions with one added to each, shape (B,); NaN for an empty list."""
    bits_N = -np.log2((counts_N + 1) / (counts_N.sum() + len(counts_N)))
    return _mean_over_places(bits_N, list_BK)


def tail_share(list_BK: Ints, counts_N: Ints, head: float = 0.8) -> Values:
    """Share of a list's places outside the head: the fewest items that hold `head` of the training interactions, shape (B,)."""
    return _mean_over_places(~head_items(counts_N, head), list_BK)


def head_items(counts_N: Ints, head: float = 0.8) -> npt.NDArray[np.bool_]:
    """True for the fewest most popular items that hold at least the share `head` of interactions; ties by index."""
    order = np.argsort(-counts_N, kind="stable")
    held = np.cumsum(counts_N[order])
    # Without rounding the target first, 0.8 * 10 may ask for one item more than 8 interactions need.
    size = int(np.searchsorted(held, round(head * float(counts_N.sum()), 6))) + 1
    is_head = np.zeros(len(counts_N), bool)
    is_head[order[:size]] = counts_N[order[:size]] > 0
    return is_head


def intra_list_diversity(list_BK: Ints, vectors_ND: Floats) -> Values:
    """Mean of 1 - cosine over the pairs of a list, shape (B,); NaN with fewer than two items. A zero vector is at cosine 0 to all."""
    unit_ND = vectors_ND / np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-12)
    value_B = np.full(len(list_BK), np.nan)
    for b, row in enumerate(list_BK):
        unit_KD = unit_ND[row[row >= 0]]
        if (k := len(unit_KD)) > 1:
            # The sum over pairs is that over all couples, without each item with itself, halved.
            both = float(np.square(unit_KD.sum(0)).sum() - np.square(unit_KD).sum())
            value_B[b] = 1 - both / (k * (k - 1))
    return value_B


def category_shares(category_N: pl.Series, separator: str = SEPARATOR) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Each item's mix of categories, shape (N, C), rows summing to 1 (0 where an item has none), and the categories' names."""
    categories = Categories.of(category_N, separator)
    return categories.shares(np.arange(len(categories))).astype(np.float32), categories.names


def mixes(list_BK: Ints, histories: Histories, category_NC: Floats) -> tuple[Values, Values]:
    """The category mix of each history and of each list, both of shape (B, C); a row without any category is all 0."""
    history_BC = np.zeros((len(histories), category_NC.shape[1]))
    np.add.at(history_BC, histories.owner_E(), category_NC[histories.item_idx_E])
    listed_BC = np.where(list_BK[:, :, None] >= 0, category_NC[list_BK], 0).sum(1, dtype=np.float64)
    return _normalised(history_BC), _normalised(listed_BC)


def miscalibration(history_BC: Values, listed_BC: Values, smoothing: float = 0.01) -> Values:
    """KL divergence in bits of the list's category mix from the history's (Steck, 2018), shape (B,); NaN where either is empty."""
    softened_BC = (1 - smoothing) * listed_BC + smoothing * history_BC
    return np.where(_both(history_BC, listed_BC), _kl(history_BC, softened_BC), np.nan)


def jensen_shannon(history_BC: Values, listed_BC: Values) -> Values:
    """Jensen-Shannon divergence in bits of the two mixes: 0 if equal, 1 if they share nothing, shape (B,); NaN where either is empty."""
    middle_BC = (history_BC + listed_BC) / 2
    return np.where(_both(history_BC, listed_BC), (_kl(history_BC, middle_BC) + _kl(listed_BC, middle_BC)) / 2, np.nan)


def exposure(list_BK: Ints, n_items: int) -> npt.NDArray[np.int64]:
    """Places each item got, shape (N,)."""
    return np.bincount(list_BK[list_BK >= 0], minlength=n_items)


def _mean_over_places(value_N: npt.NDArray[np.generic], list_BK: Ints) -> Values:
    filled_BK = list_BK >= 0
    total_B = np.where(filled_BK, value_N[list_BK], 0).sum(1, dtype=np.float64)
    n_B = filled_BK.sum(1)
    return np.where(n_B > 0, total_B / np.maximum(n_B, 1), np.nan)


def _normalised(mix_BC: Values) -> Values:
    total_B1 = mix_BC.sum(1, keepdims=True)
    return mix_BC / np.where(total_B1 > 0, total_B1, 1)


def _both(p_BC: Values, q_BC: Values) -> npt.NDArray[np.bool_]:
    return np.asarray((p_BC.sum(1) > 0) & (q_BC.sum(1) > 0))


def _kl(p_BC: Values, q_BC: Values) -> Values:
    ratio_BC = np.where(p_BC > 0, p_BC, 1) / np.where(p_BC > 0, np.maximum(q_BC, 1e-300), 1)
    return np.asarray((p_BC * np.log2(ratio_BC)).sum(1))
