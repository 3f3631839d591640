"""Standing in: how members of a blend that know an item speak for those that do not."""

# M members, N items, P patterns of who knows an item

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genre.types import Bools, Floats


def weights_by_item(weight_M: Floats, covariance_MM: Floats, known_MN: Bools) -> npt.NDArray[np.float32]:
    """The weight of each member's score for each item, shape (M, N); 0 where the member does not know the item.

    A silent member's score is replaced by its best linear prediction from the scores of those that speak, by the covariance of the
    members' (centred) scores; the prediction is a weighted sum of theirs, so all that changes is their weights.
    """
    m, n = known_MN.shape
    if weight_M.shape != (m,) or covariance_MM.shape != (m, m):
        raise ValueError(f"shapes do not fit: weights {weight_M.shape}, covariance {covariance_MM.shape}, known {known_MN.shape}")
    if known_MN.all():
        return np.repeat(weight_M.astype(np.float32)[:, None], n, axis=1)
    code_P, pattern_N = np.unique((1 << np.arange(m)) @ known_MN, return_inverse=True)
    weight_MP = np.zeros((m, len(code_P)), np.float32)
    for p, code in enumerate(code_P):
        speaks_M = (code >> np.arange(m)) & 1 == 1
        taken_over = np.zeros(int(speaks_M.sum()))
        if speaks_M.any() and not speaks_M.all():
            heard_KK, silent_KU = covariance_MM[np.ix_(speaks_M, speaks_M)], covariance_MM[np.ix_(speaks_M, ~speaks_M)]
            taken_over = np.linalg.lstsq(heard_KK, silent_KU @ weight_M[~speaks_M], rcond=1e-6)[0]
        weight_MP[speaks_M, p] = weight_M[speaks_M] + taken_over
    return weight_MP[:, pattern_N]
