"""Blend: a weighted sum of other rankers' scores, the weights learnt on held-out queries."""

# B queries, N items, M members, P patterns of who knows an item, Q held-out queries, C items that all know, of all queries

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from genre.component import Arrays
from genre.progress import track
from genre.rankers import Ranker
from genre.rankers.shortlists import Shortlists
from genre.rankers.weighing import WAYS, Aim, cross_validated, preferred
from genre.standing_in import standing_in
from genre.types import Bools, Floats, GroundTruth, Histories, Training

log = logging.getLogger(__name__)

CELLS_AT_ONCE = 1 << 26
"""Scores (4 bytes each) held at a time while the members score the held-out queries."""
SCALE_QUERIES = 1000
"""Training histories on which the members' scales, and how much they agree, are measured."""
FEW_QUERIES = 20
"""With fewer held-out queries than this, nothing is chosen by cross-validation."""


class BlendRanker(Ranker):
    """Adds up its members' scores, each above its mean for the query and in units of its spread, by weights under which the validation
    targets are likeliest, or best placed.

    One number a member is learnt, and no more, so that it holds beyond the queries it was learnt on. Weights that one run has `chosen`
    can be given to the next, which may then train on everything.

    A member that does not know an item (see Ranker.known) is taken to say what it says, on average, of items of which the others say
    the same, as far as it tells items apart for this query: an item nobody touched stands where its content puts it, neither last nor
    first.
    """

    class Config(Ranker.Config):
        use: str = "blend"
        of: tuple[str, ...] = Field(min_length=1)
        """Names of the rankers to add up."""
        weights: dict[str, NonNegativeFloat] | None = None
        """A weight for every member, for example those that an earlier run learnt; None learns them on the validation queries."""
        scaling: Literal["auto", "shared", "query"] = "auto"
        """Spread of a member's scores: one number for all queries, so that a member which knows little of a user says little,
        or each query's own; auto takes each query's own unless shared does better in cross-validation, by more than its standard error."""
        aim: Literal["auto", "likelihood", "ndcg"] = "auto"
        """What the weights are best for: the likelihood of the targets, or a smooth NDCG of them, which is better where a query has many;
        auto takes the likelihood unless NDCG does better in cross-validation, by more than its standard error."""
        k: PositiveInt = 10
        """Cut-off of the NDCG by which scaling and aim are chosen."""
        l2: NonNegativeFloat = 1e-3
        """Pulls the weights towards 0: half of it times their squares is taken off the mean log-likelihood."""
        shortlist: PositiveInt = 100
        """Best items of each member that a held-out query's targets compete with while the weights are learnt."""
        others: NonNegativeInt = 300
        """Further items, drawn at random, that stand for the rest of the catalogue."""
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
        histories = training.histories.take(np.sort(rng.permutation(len(training.histories))[:SCALE_QUERIES]))
        self.scale_M = spreads(self.members.values(), histories, training.n_items)
        self.covariance_MM = self._covariance(histories, training.n_items)
        self.by_query = config.scaling != "shared"
        if config.weights is not None:
            self.weight_M = np.array([config.weights[name] for name in config.of], np.float64)
        elif training.validation is not None:
            self._learn(training.validation, training.repeats, training.n_items, rng)

    def context_names(self) -> tuple[str, ...]:
        """See Ranker.context_names: what any member reads."""
        return tuple(dict.fromkeys(name for member in self.members.values() for name in member.context_names()))

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
        """The weighted sum, 0 for an item that no member knows; members of weight 0 are not asked."""
        asked = np.flatnonzero(self.weight_M)
        members = [list(self.members.values())[i] for i in asked]
        known_MN = np.stack(np.broadcast_arrays(*map(known, members)))
        share_PMM, pattern_N = standing_in(self.covariance_MM[np.ix_(asked, asked)], known_MN)
        parts = [standardised(member.score(queries)) for member in members]
        weight_MB = self.weight_M[asked][:, None] * (1 if self.by_query else units(parts, self.scale_M[asked]))
        weight_MBP = np.einsum("pms,sb->mbp", share_PMM, weight_MB).astype(np.float32)
        total_BN: npt.NDArray[np.float32] | None = None
        for (part_BN, _), weight_BP in zip(parts, weight_MBP, strict=True):
            part_BN *= weight_BP[:, pattern_N]
            total_BN = part_BN if total_BN is None else np.add(total_BN, part_BN, out=total_BN)
        assert total_BN is not None  # some weight is above 0
        return total_BN

    def known(self) -> Bools | None:
        """Items that some member knows."""
        found = [member.known() for member, weight in zip(self.members.values(), self.weight_M, strict=True) if weight > 0]
        known_N = [each for each in found if each is not None]
        return None if len(known_N) < len(found) else np.logical_or.reduce(known_N)

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
        """Weights, scales, covariance and which scaling."""
        return {
            "weight_M": self.weight_M, "scale_M": self.scale_M, "covariance_MM": self.covariance_MM,
            "by_query": np.array([self.by_query], np.uint8),
        }  # fmt: skip

    def restore(self, state: Arrays) -> None:
        """Take them back."""
        self.weight_M, self.scale_M, self.covariance_MM = state["weight_M"], state["scale_M"], state["covariance_MM"]
        self.by_query = bool(state["by_query"][0])

    def save(self, folder: Path) -> None:
        """The members go into `members/NAME`."""
        super().save(folder)
        for name, member in self.members.items():
            member.save(folder / "members" / name)

    def load_state(self, folder: Path) -> None:
        """Load the members, too."""
        super().load_state(folder)
        self.members = {name: Ranker.load(folder / "members" / name) for name in self.config.of}

    def _covariance(self, queries: Histories, n_items: int) -> npt.NDArray[np.float64]:
        """Of the members' standardised scores, over the items that all of them know, shape (M, M)."""
        members = list(self.members.values())
        known_N = np.broadcast_to(np.logical_and.reduce(np.broadcast_arrays(*map(known, members))), n_items)
        total_MM = np.zeros((len(members), len(members)))
        for batch in queries.batches(batch_size(n_items, len(members))):
            part_MC = np.stack([standardised(member.score(batch))[0][:, known_N].ravel() for member in members])
            total_MM += part_MC @ part_MC.T
        return total_MM / max(len(queries) * int(known_N.sum()), 1)

    def _learn(self, validation: GroundTruth, repeats: bool, n_items: int, rng: np.random.Generator) -> None:
        """Choose the scaling and the aim, then the weights, on a sample of the validation queries."""
        config = self.config
        truth = validation.take(np.sort(rng.permutation(len(validation))[: config.validation_users]))
        few = len(truth) < FEW_QUERIES
        scalings = [self.by_query] if config.scaling != "auto" or few else [True, False]
        aims: list[Aim] = [config.aim] if config.aim != "auto" else ["likelihood"] if few else ["likelihood", "ndcg"]
        found, unit_MB = [], []
        size = batch_size(n_items, len(self.members))
        for start in track(range(0, len(truth), size), "scoring validation queries"):
            batch = truth.take(slice(start, start + size))
            parts = [standardised(member.score(batch.queries)) for member in self.members.values()]
            found.append(Shortlists.of([part_BN for part_BN, _ in parts], batch, config.shortlist, repeats, config.others, rng))
            unit_MB.append(units(parts, self.scale_M))
        joined = Shortlists.joined(found)
        lists = {by_query: joined if by_query else joined.times(np.concatenate(unit_MB, axis=1)) for by_query in scalings}
        ways = [(by_query, aim) for by_query in scalings for aim in aims]
        (self.by_query, aim), compared = ways[0], "nothing to choose from"
        if len(ways) > 1:
            order_Q = rng.permutation(len(truth))
            reached_WQ = np.stack(
                [cross_validated(lists[by_query], aim, config.l2, config.k, order_Q) for by_query, aim in track(ways, "weighing")]
            )
            self.by_query, aim = ways[preferred(reached_WQ)]
            compared = ", ".join(f"{told(*way)} {value:.4f}" for way, value in zip(ways, reached_WQ.mean(axis=1), strict=True))
        self.weight_M = WAYS[aim](lists[self.by_query], config.l2)
        weights = ", ".join(f"{name} {weight:.3f}" for name, weight in zip(config.of, self.weight_M, strict=True))
        log.info("blend: weights %s by %s (cross-validated NDCG@%d: %s)", weights, told(self.by_query, aim), config.k, compared)


def known(ranker: Ranker) -> Bools:
    """The items a ranker knows, shape (N,), or (1,) where it knows all."""
    known_N = ranker.known()
    return np.ones(1, bool) if known_N is None else known_N


def standardised(score_BN: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Each query's scores above their mean in units of their spread, shape (B, N), and that spread, shape (B,); 0 where it is 0."""
    spread_B: npt.NDArray[np.float32] = np.std(score_BN, axis=1)
    centred_BN: npt.NDArray[np.float32] = score_BN - score_BN.mean(axis=1, keepdims=True)
    centred_BN /= np.where(spread_B > 0, spread_B, 1)[:, None]
    return centred_BN, spread_B


def units(parts: Sequence[tuple[Floats, Floats]], scale_M: Floats) -> npt.NDArray[np.float64]:
    """How far each member tells items apart for each query, beside how far it does for all of them, shape (M, B)."""
    return np.stack([spread_B for _, spread_B in parts]) / scale_M[:, None]


def spreads(members: Iterable[Ranker], queries: Histories, n_items: int) -> npt.NDArray[np.float64]:
    """Each ranker's standard deviation over the catalogue, averaged over queries, shape (M,); 1 where it never tells items apart."""
    batches = list(queries.batches(batch_size(n_items, 1)))
    spread_M = np.array([sum(float(member.score(batch).std(axis=1).sum()) for batch in batches) for member in members])
    return np.where(spread_M > 0, spread_M / max(len(queries), 1), 1.0)


def told(by_query: bool, aim: Aim) -> str:
    """A way of weighing in words."""
    return f"{aim}, {'own' if by_query else 'shared'} scales"


def batch_size(n_items: int, members: int) -> int:
    """Queries whose scores by all members fit in `CELLS_AT_ONCE`."""
    return max(1, CELLS_AT_ONCE // (max(n_items, 1) * members))
