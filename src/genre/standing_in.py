"""Standing in: how members of a blend that know an item speak for those that do not."""

# M members, N items, P patterns of who knows an item, K members that speak, U that are silent

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genre.types import Bools, Floats, Ints


def standing_in(covariance_MM: Floats, known_MN: Bools) -> tuple[npt.NDArray[np.float64], Ints]:
    """Who speaks for whom about which item.

    A silent member's score is replaced by its best linear prediction from the scores of those that speak, by the covariance of the
    members' scores, each query's centred and in units of their spread. The prediction is a weighted sum of theirs, so all that changes
    is their weights: for the items of pattern p they are `share_PMM[p] @ weight_M`, 0 for a member that is silent.

    Returns:
        share_PMM: for each pattern, what a speaker (row) takes over of a member's (column) weight: a speaker's own it keeps.
        pattern_N: each item's pattern; of shape (1,) where every member knows every item.
    """
    m = len(known_MN)
    if covariance_MM.shape != (m, m):
        raise ValueError(f"shapes do not fit: covariance {covariance_MM.shape}, known {known_MN.shape}")
    if known_MN.all():
        return np.eye(m)[None], np.zeros(1, np.int64)
    code_P, pattern_N = np.unique((1 << np.arange(m)) @ known_MN, return_inverse=True)
    share_PMM = np.zeros((len(code_P), m, m))
    for share_MM, code in zip(share_PMM, code_P, strict=True):
        speaks_M = (code >> np.arange(m)) & 1 == 1
        share_MM[speaks_M, speaks_M] = 1
        if speaks_M.any() and not speaks_M.all():
            heard_KK, silent_KU = covariance_MM[np.ix_(speaks_M, speaks_M)], covariance_MM[np.ix_(speaks_M, ~speaks_M)]
            share_MM[np.ix_(speaks_M, ~speaks_M)] = np.linalg.lstsq(heard_KK, silent_KU, rcond=1e-6)[0]
    return share_PMM, pattern_N
