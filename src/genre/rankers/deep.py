"""Deep: a network over the best candidates of other rankers, that knows user, item, moment and request: P(u, i) = f(X_u, F_i, context).

Where impressions were logged it learns from them, else from lists replayed from history. Either way the members that score those lists
must not have been fitted on what the lists ask for: a co-occurrence counted from the very click that is to be predicted says more than
it ever will again, and a network would learn to trust it. So a part of the past is set aside (each user's last steps, or what came after
the first impressions that are learnt from), the members are fitted anew without it, and score the lists as they would score the
unseen; what is served keeps the members that know everything. Counters look strictly before the moment of each request, whatever they
have counted since.
"""

# B queries, I lists, E candidates of all queries one after another, M sources, N items, T tasks, D content dimensions

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from genre.component import Arrays, load_arrays
from genre.rankers import Ranker
from genre.rankers.blend import spreads
from genre.rankers.calibration import Believed, Platt, platt
from genre.rankers.content import ContentRanker
from genre.rankers.counters import Counters
from genre.rankers.deep_settings import DeepSettings
from genre.rankers.deep_state import below, mixture_of, worth_of
from genre.rankers.features import SHOWN, TOUCHED, Counting, Features, principal_axes
from genre.rankers.lists import ListBatches, Lists
from genre.rankers.mixture import Mixture, placed
from genre.rankers.replaying import held_out, refitted
from genre.rankers.sources import Sources, named, reader_of
from genre.training import choose_device, train
from genre.types import Floats, GroundTruth, Histories, Impressions, Ints, Training

if TYPE_CHECKING:  # configs are read without torch
    from genre.rankers.deep_network import DeepNetwork

log = logging.getLogger(__name__)

SCALE_QUERIES = 1000
"""Training histories on which the sources' scales are measured."""
COMMON = 50
"""Values of one name of the request's context that are told apart, the commonest."""


class DeepRanker(Ranker):
    """Orders the union of its members' best items by expected value; everything else comes below, in the members' own order."""

    class Config(DeepSettings):
        """See DeepSettings."""

    config: Config
    _epochs: int | None = None

    def fit(self, training: Training, folder: Path) -> None:
        """Replay, learn, choose the epoch, calibrate; the members come fitted. See Ranker.fit.

        Raises:
            ValueError: a member is missing, there is nothing to replay, or impressions lack a task's label or a clock.
        """
        config = self.config
        if missing := [name for name in config.of if name not in training.members]:
            raise ValueError(f"deep: no fitted ranker called {', '.join(missing)}; there are: {', '.join(training.members) or 'none'}")
        if bool(config.content) != (training.content_ND is not None):
            raise ValueError(f"deep: content is {list(config.content)}, the training has {'no' if config.content else 'other'} vectors")
        # All labels of an impression are known, so it is judged by its likelihood; a replayed list by where its targets stand.
        if training.impressions is not None:
            learnt, held = self._from_impressions(training, training.impressions, folder)
            self._learn(learnt, held, folder, training.seed, by_likelihood=True)
        else:
            learnt, held = self._from_histories(training, folder)
            self._learn(learnt, held, folder, training.seed, by_likelihood=False)

    def _from_impressions(self, training: Training, shown: Impressions, folder: Path) -> tuple[Lists, Lists]:
        """The newest impressions, of which the very newest are held."""
        config, now_I = self.config, shown.queries.now_B
        if unknown := int((~np.isfinite(now_I)).sum()):
            raise ValueError(f"deep: {unknown} impressions have no time, so members cannot be fitted on what came before")
        if missing := [task for task in config.tasks if task not in shown.labels]:
            raise ValueError(f"deep: tasks: the impressions have no label {missing[0]!r}; they have {', '.join(shown.labels)}")
        shown = replace(shown, labels={task: share(task, shown.labels[task], config.ranges.get(task)) for task in config.tasks})
        since, held_from = np.quantile(now_I, [1 - config.impression_share, 1 - config.impression_share * config.held_share])
        early = training.histories.only(~(training.histories.time_E >= since))
        members = refitted(training, early, config.of, folder / "refitted")
        counters = {
            **self._touched(training.histories),
            SHOWN: Counters(shown.item_idx_E, now_I[shown.owner_E()], config.half_life_days),
        }
        if config.words is not None and shown.queries.words_BD is None:
            there = ", ".join(shown.queries.context) or "none"
            raise ValueError(f"deep: words: the impressions have no text column {config.words!r}; they have {there}")
        known = {name: commonest(values) for name, values in shown.queries.context.items() if name != config.words}
        past = self._sources(members, training, early, counters, known)
        good = [task for task, worth in zip(config.tasks, worth_of(config.tasks, config.value), strict=True) if worth > 0]
        learnt, held = (shown.take(np.flatnonzero(rows)) for rows in ((now_I >= since) & (now_I < held_from), now_I >= held_from))
        self.sources = self._served(past, training)
        hardly_seen = past.features.hardly_seen(learnt.queries.now_B)
        return past.shown(learnt, config.tasks, good).without(hardly_seen), past.shown(held, config.tasks, good)

    def _from_histories(self, training: Training, folder: Path) -> tuple[Lists, Lists]:
        """Each user's last steps, or the validation queries; held are the validation queries, or some of the lists."""
        config, validation = self.config, training.validation
        if len(config.tasks) > 1:
            raise ValueError(f"deep: history says only what came next, one task; {len(config.tasks)} tasks need impressions")
        if config.replay == "validation":
            if validation is None:
                raise ValueError("deep: there are no validation queries to learn from (data.split.use=none?); set replay: refit")
            early, truth, members = training.histories, validation, {name: training.members[name] for name in config.of}
        else:
            early, truth = held_out(training.histories, config.replay_steps, config.sitting_seconds, training.repeats)
            members = refitted(training, early, config.of, folder / "refitted")
        if not len(truth):
            raise ValueError("deep: no history is long enough for a step to be replayed")
        # With a clock, counters are exact for every moment; without, the replayed steps must not be counted.
        clocked = bool(np.isfinite(training.histories.time_E).all())
        past = self._sources(members, training, early, self._touched(training.histories if clocked else early), {})
        self.sources = self._served(past, training)
        rng = np.random.default_rng(training.seed)
        truth = truth.take(np.sort(rng.permutation(len(truth))[: config.replay_lists]))
        lists = past.replayed(truth).without(past.features.hardly_seen(truth.queries.now_B))
        if config.replay == "refit" and validation is not None:
            return lists, self.sources.replayed(validation)
        order, n_held = rng.permutation(len(lists)), max(int(config.held_share * len(lists)), 1)
        return lists.take(order[n_held:] if len(order) > n_held else order), lists.take(order[:n_held])

    def _touched(self, histories: Histories) -> dict[str, Counters]:
        return {TOUCHED: Counters(histories.item_idx_E, histories.time_E, self.config.half_life_days)}

    def _sources(
        self, members: Mapping[str, Ranker], training: Training, early: Histories, counters: Mapping[str, Counting],
        context: Mapping[str, tuple[str, ...]],
    ) -> Sources:  # fmt: skip
        """The members with features in units of their scores' spread on early histories."""
        config = self.config
        reader = reader_of(config.content, training.content_ND)
        asked = named(members, reader)
        axes_DP = None if reader is None else principal_axes(reader.vector_ND, config.content_dims, np.random.default_rng(training.seed))
        scale_M = self._scales(asked, early, training)
        features = Features(tuple(asked), scale_M, counters, axes_DP, context, config.words is not None)
        return Sources(members, reader, features, config.shortlist, training.repeats)

    def _served(self, past: Sources, training: Training) -> Sources:
        """The members that know everything, in units of their own: counts that were learnt from longer are larger."""
        members = {name: training.members[name] for name in self.config.of}
        counters = {**past.features.counters, **self._touched(training.histories)}
        scale_M = self._scales(named(members, past.reader), training.histories, training)
        return replace(past, members=members, features=replace(past.features, scale_M=scale_M, counters=counters))

    def _scales(self, asked: Mapping[str, Ranker], histories: Histories, training: Training) -> Floats:
        rows = np.sort(np.random.default_rng(training.seed).permutation(len(histories))[:SCALE_QUERIES])
        return spreads(asked.values(), histories.take(rows), training.n_items)

    def _learn(self, learnt: Lists, held: Lists, folder: Path, seed: int, by_likelihood: bool) -> None:
        """Train on some lists; choose the epoch and calibrate on others."""
        import torch

        config = self.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self._network()
        network.start(learnt)
        network.to(choose_device(config.device))
        plain, worth = (Platt(),) * len(config.tasks), worth_of(config.tasks, config.value)
        good = [each > 0 for each in worth]
        right_E = np.nan_to_num(held.label_TE[good]).max(axis=0, initial=0)

        def batches(epoch: int, rng: np.random.Generator) -> ListBatches:
            return ListBatches(learnt, config.batch_size, config.list_entries, rng)

        def validate() -> float:
            if by_likelihood:
                return -network.held_loss(network.logits(held.rows_EF), held.position_E, held.label_TE)
            return held.ndcg(Mixture(network.arrays(), plain, worth).value(held.rows_EF), right_E, config.k)

        progress = train(network, batches, network.loss, folder, config, validate, seed, "deep")
        self._epochs = progress.best_epoch + 1
        shutil.rmtree(folder / "refitted", ignore_errors=True)  # they have done what they were for
        learnt_mixture = Mixture(network.arrays(), plain, worth)
        examined_E, calibrated = learnt_mixture.examined(held.position_E), list(plain)
        for task, (logit_E, label_E) in enumerate(zip(learnt_mixture.logits(held.rows_EF), held.label_TE, strict=True)):
            known = ~np.isnan(label_E)
            if known.any():
                calibrated[task] = platt(logit_E[known], label_E[known], examined_E[known])
                found = Believed.of(examined_E[known] * calibrated[task](logit_E[known]), label_E[known])
                log.info("deep: %s on held lists: %s", config.tasks[task], found)
        self.mixture = replace(learnt_mixture, platt=tuple(calibrated))

    def _network(self) -> DeepNetwork:
        from genre.rankers.deep_network import DeepNetwork
        from genre.rankers.experts import Experts

        c, features = self.config, self.sources.features
        experts = Experts(len(features.names), c.hidden, len(c.tasks), c.shared_experts, c.own_experts, c.dropout)
        listwise = [0.0 if task in c.ranges else c.listwise for task in c.tasks]  # nobody chooses one entry of a list to rate
        return DeepNetwork(experts, c.places, listwise, len(features.context_names), c.context_dropout)

    def chosen(self) -> dict[str, Any]:
        """How many epochs were best."""
        return {} if self._epochs is None else {"epochs": self._epochs}

    def leaves(self) -> list[Ranker]:
        """The plain rankers inside, each once, and whoever holds its own content."""
        found = {id(leaf): leaf for source in named(self.sources.members, self.sources.reader).values() for leaf in source.leaves()}
        return list(found.values())

    def score(self, queries: Histories) -> npt.NDArray[np.float32]:
        """Expected value of the candidates; other items below all of them, in the order of their summed scores. See Ranker.score."""
        parts = [np.empty((0, self.sources.n_items()), np.float32)]
        for start, stop in self.sources.batches(queries):
            batch = queries.take(slice(start, stop))
            score_MBN = self.sources.scores(batch)
            item_E, offsets, rows_EF = self.sources.candidates(batch, score_MBN)
            parts.append(placed(score_MBN, item_E, offsets, self.mixture.value(rows_EF)))
        return np.concatenate(parts)

    def probabilities(self, shown: Impressions) -> dict[str, Floats]:
        """Calibrated chance of every task for every entry of given lists, as if it stood in the first place; labels are not read."""
        return dict(zip(self.config.tasks, self.mixture.chances(self.sources.rows(shown)), strict=True))

    def believed(self, truth: GroundTruth) -> Believed:
        """How far the chances of its candidates may be believed, by what really came next; for one that learnt from history."""
        lists = self.sources.replayed(truth)
        return Believed.of(self.mixture.chances(lists.rows_EF)[0], lists.label_TE[0].astype(np.float64))

    def context_names(self) -> tuple[str, ...]:
        """See Ranker.context_names."""
        words = () if self.config.words is None else (self.config.words,)
        return (*self.sources.features.context, *words)

    def examination(self, places: int) -> Floats:
        """What was learnt of how likely each place is looked at, the first being 1."""
        return self.mixture.examined(np.arange(places))

    def observe(self, item_idx_E: Ints, time_E: Floats, what: str = TOUCHED) -> None:
        """More events for the counters, without retraining; requests see only those strictly before them.

        Args:
            what: `touched`, or `shown` where it learnt from impressions.
        """
        features, counted = self.sources.features, self._counted(what)
        counters = {**features.counters, what: counted.joined(item_idx_E, time_E)}
        self.sources = replace(self.sources, features=features.with_counters(counters))

    def newest(self, what: str) -> float:
        """The moment of the last event counted, unix seconds; -inf where there was none, or there is no clock."""
        return float(self._counted(what).time_E.max(initial=-np.inf))

    def _counted(self, what: str) -> Counters:
        found = self.sources.features.counters.get(what)
        if not isinstance(found, Counters):
            raise ValueError(f"deep: nothing called {what!r} is counted; counted: {', '.join(self.sources.features.counters)}")
        return found

    def extend(self, content_MD: npt.NDArray[np.float32] | None, m: int) -> None:
        """Extends the `leaves`; counters need nothing. With members that read content, extend each of the leaves instead.

        Raises:
            ValueError: a member reads content, whose columns cannot be told apart from here.
        """
        own, leaves = self.sources.reader, self.leaves()
        if readers := [leaf.config.use for leaf in leaves if leaf.config.encoders() and leaf is not own]:
            raise ValueError(f"deep: {', '.join(readers)} read content; extend each of leaves() with the vectors of its config.encoders()")
        for leaf in leaves:
            leaf.extend(content_MD if leaf is own else None, m)

    def state(self) -> Arrays:
        """The network, its calibration, and what features are made with."""
        features, counted = self.sources.features, dict[str, np.ndarray]()
        for name, counters in features.counters.items():
            assert isinstance(counters, Counters)
            counted |= counters.arrays(name)
        return {
            **{f"network.{name}": array for name, array in self.mixture.weights.items()},
            **{f"features.{name}": array for name, array in {**features.arrays(), **counted}.items()},
            "platt_T2": np.array([[each.slope, each.shift] for each in self.mixture.platt]),
            "repeats": np.array([self.sources.repeats], np.uint8),
        }

    def save(self, folder: Path) -> None:
        """The members go into `members/NAME`, the content into `content`."""
        super().save(folder)
        for name, member in self.sources.members.items():
            member.save(folder / "members" / name)
        if self.sources.reader is not None:
            self.sources.reader.save(folder / "content")

    def load_state(self, folder: Path) -> None:
        """Load the members and the content, then what is made of them."""
        config, state = self.config, load_arrays(folder / "state.safetensors")
        members = {name: Ranker.load(folder / "members" / name) for name in config.of}
        reader = ContentRanker.load(folder / "content") if config.content else None
        described = below(state, "features.")

        def counters_of(name: str) -> Counters:
            return Counters.restored(described, name, config.half_life_days)

        features = Features.restored(described, tuple(named(members, reader)), counters_of)
        self.sources = Sources(members, reader, features, config.shortlist, bool(state["repeats"][0]))
        self.mixture = mixture_of(state, config.tasks, config.value)


def share(task: str, label_E: npt.NDArray[np.float32], ends: tuple[float, float] | None) -> npt.NDArray[np.float32]:
    """Labels as chances, or as shares of the way from one end of their range to the other.

    Raises:
        ValueError: they are neither, and no range is known.
    """
    if ends is not None:
        share_E: npt.NDArray[np.float32] = np.clip((label_E - np.float32(ends[0])) / np.float32(ends[1] - ends[0]), 0, 1)
        return share_E
    low, high = float(np.nanmin(label_E, initial=1)), float(np.nanmax(label_E, initial=0))
    if low < 0 or high > 1:
        raise ValueError(
            f"deep: tasks: the label {task!r} runs from {low:g} to {high:g}, but a task is a chance: say its range "
            f"(ranges: {{{task}: [{low:g}, {high:g}]}}), or give a column of 0 and 1 (rated 4 or more, looked at for half a minute)"
        )
    return label_E


def commonest(values: Sequence[str | None]) -> tuple[str, ...]:
    """The values seen most often, in the order of the alphabet."""
    found, counts = np.unique([value for value in values if value is not None], return_counts=True)
    return tuple(sorted(found[np.argsort(-counts, kind="stable")[:COMMON]].tolist()))
