"""Bayesian linear regression, one observation at a time: what a bandit believes, and how sure it is."""

# H heads (regressions with one prior), F features, E observations, K candidates

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from genre.component import Arrays
from genre.types import Bools, Floats, Ints

REFRESH = 1000
"""Updates of a head after which its inverse is computed anew, so that rounding does not add up."""


class LinearPosterior:
    """H regressions of a reward on F features. Head 0 is there from the start; `add_heads` adds others, all with the same prior."""

    def __init__(self, prior_F: Floats, ridge: float) -> None:
        n_features = len(prior_F)
        self.prior_F = prior_F
        self.ridge = ridge
        self.precision_HFF = np.zeros((0, n_features, n_features))
        self.inverse_HFF = np.zeros((0, n_features, n_features))
        self.target_HF = np.zeros((0, n_features))
        self.mean_HF = np.zeros((0, n_features))
        self.count_H = np.zeros(0, np.int64)
        self.add_heads(1)

    def __len__(self) -> int:
        return len(self.count_H)

    def add_heads(self, m: int) -> None:
        """M more regressions that have seen nothing."""
        eye_FF = np.eye(len(self.prior_F))
        self.precision_HFF = np.concatenate([self.precision_HFF, np.tile(self.ridge * eye_FF, (m, 1, 1))])
        self.inverse_HFF = np.concatenate([self.inverse_HFF, np.tile(eye_FF / self.ridge, (m, 1, 1))])
        self.target_HF = np.concatenate([self.target_HF, np.tile(self.ridge * self.prior_F, (m, 1))])
        self.mean_HF = np.concatenate([self.mean_HF, np.tile(self.prior_F, (m, 1))])
        self.count_H = np.pad(self.count_H, (0, m))

    def learn(self, head_E: Ints, x_EF: Floats, reward_E: Floats, shown_E: Bools | None = None) -> None:
        """Observations, in any number: the inverses follow by the formula of Sherman and Morrison (1950), all heads at once.

        Args:
            shown_E: False for a reward of what was learnt of before, as it was shown, with a reward of 0: it is added to that. None: all
                are observations of their own. All of it adds up, so the order does not matter.
        """
        if not len(head_E):
            return
        seen_E = np.ones(len(head_E), bool) if shown_E is None else shown_E
        np.add.at(self.target_HF, head_E, reward_E[:, None] * x_EF)
        if len(self) == 1 and np.count_nonzero(seen_E) >= len(self.prior_F):
            self._see_many(x_EF[seen_E])
        else:
            for rows in _passes(head_E[seen_E]):
                self._see(head_E[seen_E][rows], x_EF[seen_E][rows])
        touched = np.unique(head_E)
        self.mean_HF[touched] = np.einsum("hfg,hg->hf", self.inverse_HFF[touched], self.target_HF[touched])

    def _see(self, head_H: Ints, x_HF: Floats) -> None:
        """One observation of each of some heads."""
        self.precision_HFF[head_H] += x_HF[:, :, None] * x_HF[:, None, :]
        self.count_H[head_H] += 1
        along_HF = np.einsum("hfg,hg->hf", self.inverse_HFF[head_H], x_HF)
        shrink_H = 1.0 + np.einsum("hf,hf->h", x_HF, along_HF)
        self.inverse_HFF[head_H] -= along_HF[:, :, None] * along_HF[:, None, :] / shrink_H[:, None, None]
        due = head_H[self.count_H[head_H] % REFRESH == 0]
        self.inverse_HFF[due] = np.linalg.inv(self.precision_HFF[due])

    def _see_many(self, x_EF: Floats) -> None:
        """As many observations of the one head as it has features, or more: one inverse costs less than so many steps."""
        self.precision_HFF[0] += x_EF.T @ x_EF
        self.count_H[0] += len(x_EF)
        self.inverse_HFF[0] = np.linalg.inv(self.precision_HFF[0])

    def predict(self, head_K: Ints, x_KF: Floats) -> tuple[Floats, Floats]:
        """Expected reward of each candidate, and its standard deviation in units of the noise, both (K,)."""
        if len(self) == 1:
            variance_K = np.einsum("kf,kf->k", x_KF @ self.inverse_HFF[0], x_KF)
            mean_K = x_KF @ self.mean_HF[0]
        else:
            variance_K = np.einsum("kf,kf->k", (x_KF[:, None] @ self.inverse_HFF[head_K])[:, 0], x_KF)
            mean_K = np.einsum("kf,kf->k", x_KF, self.mean_HF[head_K])
        return np.asarray(mean_K), np.sqrt(np.maximum(variance_K, 0.0))

    def deviations(self, width_K: Floats, x_KF: Floats, draws: int, rng: np.random.Generator) -> Floats:
        """Draws from the posterior of each candidate's expected reward, less its mean, in units of the noise, float32 (draws, K).

        `width_K` is what `predict` says of the same candidates.
        """
        if len(self) == 1:  # one set of weights: candidates that are alike go up and down together
            root_FF = np.linalg.cholesky(self.inverse_HFF[0])
            return np.asarray(rng.standard_normal((draws, len(root_FF)), np.float32) @ (x_KF @ root_FF).T.astype(np.float32))
        # Heads know nothing of each other, and a head stands for one item: every candidate goes its own way.
        return np.asarray(rng.standard_normal((draws, len(x_KF)), np.float32) * width_K.astype(np.float32))

    def absorb(self, base: LinearPosterior, replicas: Sequence[LinearPosterior]) -> None:
        """Become `base` with everything that replicas learnt since they were copies of it. All have the same heads.

        Raises:
            ValueError: a replica knows less than the base, so it was no copy of it.
        """
        if any((replica.count_H < base.count_H).any() for replica in replicas):
            raise ValueError("a replica has seen less than the policy it is merged into: it was not loaded from this one")
        self.precision_HFF = base.precision_HFF + sum(replica.precision_HFF - base.precision_HFF for replica in replicas)
        self.target_HF = base.target_HF + sum(replica.target_HF - base.target_HF for replica in replicas)
        self.count_H = np.asarray(base.count_H + sum(replica.count_H - base.count_H for replica in replicas), np.int64)
        self.inverse_HFF = np.asarray(np.linalg.inv(self.precision_HFF), np.float64)
        self.mean_HF = np.einsum("hfg,hg->hf", self.inverse_HFF, self.target_HF)

    def state(self) -> Arrays:
        """All of it, the inverses too, so that what is loaded decides bit for bit as what was saved."""
        return {name: getattr(self, name) for name in ("precision_HFF", "inverse_HFF", "target_HF", "mean_HF", "count_H")}

    def restore(self, state: Arrays) -> None:
        """Take it back, as a copy."""
        for name in ("precision_HFF", "inverse_HFF", "target_HF", "mean_HF", "count_H"):
            setattr(self, name, np.array(state[name]))


def _passes(head_E: Ints) -> Iterator[Ints]:
    """Rows in groups in which each head occurs at most once, in order."""
    if len(head_E) <= 1:
        yield from [np.zeros(1, np.int64)] * len(head_E)
        return
    order = np.argsort(head_E, kind="stable")
    starts = np.flatnonzero(np.diff(head_E[order], prepend=-1))
    occurrence_E = np.empty(len(head_E), np.int64)
    occurrence_E[order] = np.arange(len(head_E)) - np.repeat(starts, np.diff(starts, append=len(head_E)))
    for turn in range(int(occurrence_E.max(initial=-1)) + 1):
        yield np.flatnonzero(occurrence_E == turn)
