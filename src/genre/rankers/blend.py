"""Blend: a weighted sum of other rankers' scores, the weights learnt on held-out queries."""

# B queries, N items, M members, E candidates of a batch one after another, Q held-out queries, C candidates of each (padded)

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from genre.component import Arrays
from genre.progress import track
from genre.rankers import Ranker
from genre.rankers.shortlists import Shortlists
from genre.rankers.weighing import cross_validated, search
from genre.types import GroundTruth, Histories, Training

log = logging.getLogger(__name__)

CELLS_AT_ONCE = 1 << 26
"""Scores (4 bytes each) held at a time while the members score the held-out queries."""
SCALE_QUERIES = 1000
"""Training histories on which the members' scales are measured."""
FEW_QUERIES = 20
"""With fewer held-out queries than this, nothing is chosen by cross-validation."""


class BlendRanker(Ranker):
    """Adds up its members' scores, each in units of its own spread, by weights that maximise NDCG on the validation queries.

    One number a member is learnt, and no more, so that it holds beyond the queries it was learnt on. Weights that one run has `chosen`
    can be given to the next, which may then train on everything.
    """

    class Config(Ranker.Config):
        use: str = "blend"
        of: tuple[str, ...] = Field(min_length=1)
        """Names of the rankers to add up."""
        weights: dict[str, NonNegativeFloat] | None = None
        """A weight for every member, for example those that an earlier run learnt; None learns them on the validation queries."""
        scaling: Literal["auto", "shared", "query"] = "auto"
        """Spread of a member's scores: one number for all queries, so that a member which knows little of a user says little,
        or each query's own; auto takes what does better in cross-validation (and shared where weights are given)."""
        k: PositiveInt = 10
        """Cut-off of the NDCG that is maximised."""
        shortlist: PositiveInt = 100
        """Best items of each member among which a held-out query's targets are ranked while weights are tried."""
        validation_users: PositiveInt = 5000
        """Held-out queries used at most, drawn at random."""

        @model_validator(mode="after")
        def _weights_fit_members(self) -> Self:
            if len(set(self.of)) < len(self.of):
                raise ValueError(f"of: a ranker is named twice in {list(self.of)}")
            if self.weights is not None and set(self.weights) != set(self.of):
                raise ValueError(f"weights: needs a weight for each of {sorted(self.of)} and nothing else, has {sorted(self.weights)}")
            if self.weights is not None and not any(self.weights.values()):
                raise ValueError("weights: at least one must be above 0")
            return self

        def members(self) -> tuple[str, ...]:
            """See Ranker.Config.members."""
            return self.of

    config: Config

    def fit(self, training: Training, folder: Path) -> None:
        """Measure the members' scales on training histories and learn their weights on the validation queries; see Ranker.fit.

        The members come fitted.

        Raises:
            ValueError: a member is missing, or there is neither validation nor `weights`.
        """
        config = self.config
        missing = [name for name in config.of if name not in training.members]
        if missing:
            raise ValueError(f"blend: no fitted ranker called {', '.join(missing)}; there are: {', '.join(training.members) or 'none'}")
        if config.weights is None and not (training.validation and len(training.validation)):
            raise ValueError(
                "blend: there are no validation queries to learn weights from, as with data.split.use=none. Run with a split first, "
                f"or give weights: {{{', '.join(f'{name}: 1.0' for name in config.of)}}}"
            )
        rng = np.random.default_rng(training.seed)
        self.members = {name: training.members[name] for name in config.of}
        rows = np.sort(rng.permutation(len(training.histories))[:SCALE_QUERIES])
        self.scale_M = spreads(self.members.values(), training.histories.take(rows), training.n_items)
        self.by_query = config.scaling == "query"
        if config.weights is not None:
            self.weight_M = np.array([config.weights[name] for name in config.of], np.float64)
        elif training.validation is not None:
            self._learn(training.validation, training.repeats, training.n_items, rng)

    def chosen(self) -> dict[str, Any]:
        """The weights and the scaling: with them in the config, fitting needs no validation."""
        weights = {name: float(weight) for name, weight in zip(self.config.of, self.weight_M, strict=True)}
        return {"weights": weights, "scaling": "query" if self.by_query else "shared"}

    def leaves(self) -> list[Ranker]:
        """The plain rankers inside, each once, blends among the members opened."""
        found: dict[int, Ranker] = {}
        for member in self.members.values():
            for leaf in member.leaves():
                found[id(leaf)] = leaf
        return list(found.values())

    def score(self, queries: Histories) -> npt.NDArray[np.float32]:
        """The weighted sum; members of weight 0 are not asked."""
        total: npt.NDArray[np.float32] | None = None
        for member, weight, scale in zip(self.members.values(), self.weight_M, self.scale_M, strict=True):
            if weight > 0:
                part = np.float32(weight) * scaled(member.score(queries), scale, self.by_query)
                total = part if total is None else total + part
        assert total is not None  # some weight is above 0
        return total

    def extend(self, content_MD: npt.NDArray[np.float32] | None, m: int) -> None:
        """Extends the `leaves`. A blend itself keeps nothing about items, so whoever has their content extends each leaf with its own.

        Raises:
            ValueError: a leaf reads content, whose columns cannot be told apart from here.
        """
        leaves = self.leaves()
        readers = [leaf.config.use for leaf in leaves if leaf.config.encoders()]
        if readers:
            raise ValueError(f"blend: {', '.join(readers)} read content; extend each of leaves() with the vectors of its config.encoders()")
        for leaf in leaves:
            leaf.extend(None, m)

    def state(self) -> Arrays:
        """Weights, scales and which scaling."""
        return {"weight_M": self.weight_M, "scale_M": self.scale_M, "by_query": np.array([self.by_query], np.uint8)}

    def restore(self, state: Arrays) -> None:
        """Take them back."""
        self.weight_M, self.scale_M, self.by_query = state["weight_M"], state["scale_M"], bool(state["by_query"][0])

    def save(self, folder: Path) -> None:
        """The members go into `members/NAME`."""
        super().save(folder)
        for name, member in self.members.items():
            member.save(folder / "members" / name)

    def load_state(self, folder: Path) -> None:
        """Load the members, too."""
        super().load_state(folder)
        self.members = {name: Ranker.load(folder / "members" / name) for name in self.config.of}

    def _learn(self, validation: GroundTruth, repeats: bool, n_items: int, rng: np.random.Generator) -> None:
        """Choose the scaling, then the weights, on a sample of the validation queries."""
        config = self.config
        truth = validation.take(np.sort(rng.permutation(len(validation))[: config.validation_users]))
        scalings = [config.scaling == "query"] if config.scaling != "auto" or len(truth) < FEW_QUERIES else [False, True]
        found: dict[bool, list[Shortlists]] = {by_query: [] for by_query in scalings}
        size = batch_size(n_items, len(self.members))
        for start in track(range(0, len(truth), size), "scoring validation queries"):
            batch = truth.take(slice(start, start + size))
            score_MBN = [member.score(batch.queries) for member in self.members.values()]
            for by_query in scalings:
                parts = [scaled(score_BN, scale, by_query) for score_BN, scale in zip(score_MBN, self.scale_M, strict=True)]
                found[by_query].append(Shortlists.of(parts, batch, config.shortlist, repeats))
        joined = {by_query: Shortlists.joined(parts) for by_query, parts in found.items()}
        reached = dict.fromkeys(scalings, 0.0)
        if len(scalings) > 1:
            reached = {by_query: cross_validated(lists, config.k, rng) for by_query, lists in track(joined.items(), "weighing")}
        self.by_query = max(scalings, key=reached.__getitem__)
        self.weight_M = search(joined[self.by_query], config.k)
        log.info("blend: %s; NDCG@%d by scaling, cross-validated: %s", self.chosen(), config.k, reached)


def scaled(score_BN: npt.NDArray[np.float32], scale: float, by_query: bool) -> npt.NDArray[np.float32]:
    """Scores in units of their spread: of one spread for all queries, or centred and in each query's own."""
    if not by_query:
        return score_BN / np.float32(scale)
    spread_B1 = np.std(score_BN, axis=1, keepdims=True)
    centred_BN: npt.NDArray[np.float32] = score_BN - score_BN.mean(axis=1, keepdims=True)
    centred_BN /= np.where(spread_B1 > 0, spread_B1, 1)
    return centred_BN


def spreads(members: Iterable[Ranker], queries: Histories, n_items: int) -> npt.NDArray[np.float64]:
    """Standard deviation of each ranker's scores over the catalogue, averaged over queries; 1 where a ranker never tells items apart."""
    batches = list(queries.batches(batch_size(n_items, 1)))
    total_M = np.array([sum(float(member.score(batch).std(axis=1).sum()) for batch in batches) for member in members])
    return np.where(total_M > 0, total_M / max(len(queries), 1), 1.0)


def batch_size(n_items: int, members: int) -> int:
    """Queries whose scores by all members fit in `CELLS_AT_ONCE`."""
    return max(1, CELLS_AT_ONCE // (max(n_items, 1) * members))
