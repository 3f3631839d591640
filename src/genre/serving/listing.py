"""One list in the making: candidates, scores, the policy's choice, the rules, each a stage that may fail."""

# N items, K candidates

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

import numpy as np

from genre.serving.candidates import candidates_of
from genre.serving.contract import RecommendRequest, Trace
from genre.serving.hydrating import Barred, read
from genre.serving.placement import Placement
from genre.serving.reasons import reasons_of
from genre.serving.rules import Place, arranged, boosted, pins_of
from genre.serving.sources import Asked, Source, merged
from genre.serving.stages import Stages
from genre.types import Floats, Ints, Slate

GATHER_BY = 0.5
"""Share of the deadline after which no further source begins and none is waited for: the rest is for scoring."""
ALWAYS = float("inf")
"""For stages without which there is no list at all, or one that shows what must be held back, however late it is."""
NOTHING: Ints = np.empty(0, np.int64)


@dataclass
class Listing:
    """A request whose filters are known.

    Attributes:
        before: ids on the pages before this one.
        found: each source's items, best first.
        item_idx_K, scores_K: the candidates, best first.
        slate: what the policy chose.
        dropped: what late rules took.
    """

    asked: Asked
    placement: Placement
    request: RecommendRequest
    before: Sequence[str]
    stages: Stages
    pool: Executor
    found: dict[str, Ints] = field(default_factory=dict)
    item_idx_K: Ints = field(default_factory=lambda: NOTHING)
    scores_K: Floats = field(default_factory=lambda: np.empty(0))
    slate: Slate | None = None
    dropped: dict[str, list[int]] = field(default_factory=dict)

    def places(self, rng: np.random.Generator) -> list[Place]:
        """The list."""
        asked, run = self.asked, self.stages.run
        asked.reading = run("read", lambda: read(asked), lambda: None)
        self.found = self._candidates()
        item_idx_K = run("merge", lambda: merged(list(self.found.values())), lambda: NOTHING, ALWAYS)
        if not len(item_idx_K):
            item_idx_K = asked.world.popular.best(asked.allowed_N, self._wanted)
        # A pin takes no part in the policy's choice: how likely the rest was is then exact.
        pins = pins_of(self.placement.settings.rules, asked.world.catalogue, asked.allowed_N, self.request.n, len(self.before))
        item_idx_K = item_idx_K[~np.isin(item_idx_K, list(pins.values()))] if pins else item_idx_K
        scores_K = run("score", lambda: self._scored(item_idx_K), lambda: in_order(item_idx_K))
        order_K = np.argsort(-scores_K, kind="stable")[: self._wanted]
        self.item_idx_K, self.scores_K = item_idx_K[order_K], scores_K[order_K]
        self.slate = slate = run("policy", lambda: self._chosen(rng), self._best, ALWAYS)
        places, self.dropped = run("rules", lambda: self._arranged(slate, pins), lambda: (as_chosen(slate, self.request.n), {}), ALWAYS)
        return places

    def reasons(self, places: Sequence[Place]) -> Sequence[list[str] | None]:
        """Why each item is there; nothing if nobody asked."""
        nothing: Sequence[list[str] | None] = [None] * len(places)
        if not self.request.explain:
            return nothing
        sets = {name: set(part.tolist()) for name, part in self.found.items()}
        return self.stages.run("explain", lambda: reasons_of(self.asked, places, sets), lambda: nothing)

    def describe(self, trace: Trace, filters: Sequence[Barred]) -> None:
        """What "why was X shown, or not" is answered from."""
        ids, asked = self.asked.world.catalogue.ids, self.asked
        places = self.item_idx_K.tolist()
        kept = dict(zip(places, map(ids.__getitem__, places), strict=True))
        trace.candidates = {name: [i for i in map(kept.get, part.tolist()) if i is not None] for name, part in self.found.items()}
        trace.stage_scores = {"score": dict(zip(kept.values(), self.scores_K.tolist(), strict=True))}
        trace.allowed = {one.name: int(np.count_nonzero(one.passing_N)) for one in filters if one.passing_N is not None}
        trace.allowed["all"] = int(np.count_nonzero(asked.allowed_N))
        trace.dropped = {name: [ids[i] for i in part] for name, part in self.dropped.items()}
        if asked.found is not None:
            trace.plan = asked.found.plan
            taken = {one.name: one.among(asked.found.missed) for one in filters}
            trace.dropped |= {name: [ids[i] for i in part] for name, part in taken.items() if part}

    @property
    def _wanted(self) -> int:
        return self.placement.candidates(self.request.n)

    def _candidates(self) -> dict[str, Ints]:
        """Every source's items. Those that wait run beside the others, and are left behind at the deadline."""
        each, sources = self.placement.settings.per_source, self.placement.sources
        waiting: dict[str, Future[Ints]] = {
            name: self.pool.submit(source.find, self.asked, each) for name, source in sources.items() if source.waits
        }
        found: dict[str, Ints] = {}
        for name, source in sources.items():
            if not source.waits:
                wanted = self._wanted if name == "model" else each
                found[name] = self.stages.run(f"source {name}", finding(source, self.asked, wanted), lambda: NOTHING, GATHER_BY)
        for name, future in waiting.items():
            found[name] = self.stages.run(f"source {name}", lambda future=future: self._awaited(future), lambda: NOTHING, ALWAYS)  # type: ignore[misc]
        # What a stranger's source names is held to the filters like everything else.
        return {name: part[self.asked.allowed_N[part]] for name, part in found.items()}

    def _awaited(self, future: Future[Ints]) -> Ints:
        try:
            return future.result(self.stages.left(GATHER_BY))
        except TimeoutError:
            future.cancel()
            raise

    def _scored(self, item_idx_K: Ints) -> Floats:
        """By the served ranker, or in the order of the sources, with what is boosted."""
        by_source = self.placement.settings.order == "source" or self.asked.reading is None
        scores_K = in_order(item_idx_K) if by_source or self.asked.reading is None else self.asked.reading.at(item_idx_K)
        return boosted(scores_K, item_idx_K, self.asked.boosted)

    def _chosen(self, rng: np.random.Generator) -> Slate:
        policy, history_L = self.placement.policy, self.asked.past.query.item_idx_L
        candidates = candidates_of(self.asked.world, policy, self.item_idx_K, self.scores_K, history_L)
        return self.placement.choose(candidates, self.placement.picks(self.request.n), rng)

    def _best(self) -> Slate:
        best = self.item_idx_K[: self.placement.picks(self.request.n)]
        return Slate(best, np.ones(len(best)))

    def _arranged(self, slate: Slate, pins: Mapping[int, int]) -> tuple[list[Place], dict[str, list[int]]]:
        catalogue, rules = self.asked.world.catalogue, self.placement.settings.rules
        return arranged(slate, self.item_idx_K, rules, catalogue, pins, self.request.n)


def finding(source: Source, asked: Asked, k: int) -> Callable[[], Ints]:
    """A source's work, to be done as a stage."""
    return lambda: source.find(asked, k)


def in_order(item_idx_K: Ints) -> Floats:
    """Scores that keep an order."""
    return -np.arange(len(item_idx_K), dtype=np.float64)


def as_chosen(slate: Slate, n: int) -> list[Place]:
    """A slate without any rule."""
    return [Place(int(i), float(p)) for i, p in zip(slate.item_idx[:n], slate.propensities, strict=False)]
