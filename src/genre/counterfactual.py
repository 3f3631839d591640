"""Counterfactual: how likely a candidate would have made every slate of a log, and what a reward model expects of its own."""

# R requests, S places, B requests of a batch, K candidates, N items, n places of a slate

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from genre.component import build
from genre.config import load_run_config
from genre.data.dataset import Dataset
from genre.data.readers.event_log import contexts_of
from genre.deciding import shelf_of
from genre.encoders.catalogue import CatalogueEncoder
from genre.evaluation.off_policy.log import ExposureLog
from genre.evaluation.off_policy.logged import Logged, Predicted
from genre.evaluation.off_policy.rewards import RewardModel, folds
from genre.evaluation.off_policy.served import told
from genre.index import top_k
from genre.policies import Policy
from genre.policies.placing import CANDIDATES
from genre.policies.shelf import Shelf
from genre.progress import track
from genre.rankers import Ranker
from genre.rankers.deep import DeepRanker
from genre.rankers.features import SHOWN, TOUCHED
from genre.runs import Run
from genre.types import Candidates, Floats, Histories, Ints, offsets_of

BATCH = 256
GROUPS = 11
"""A candidate's group for the reward model: the order of magnitude of its rank by score, in twos; the last is for what is no candidate."""
DRAWS = 8
"""Slates drawn of a candidate that explores, for what it would show of its own accord."""


def against(candidate: Path, log: ExposureLog, policy: Mapping[str, Any] | None = None, ranker: str | None = None, seed: int = 0) -> Logged:
    """A candidate's side of a log.

    Args:
        candidate: a run's folder, or a Parquet file with `request_id` and `propensities` (and `marginals`): how likely the candidate
            would have made each pick, in the order of the log's items.
        policy: settings of another policy than the run's; ranker: another rung than the one served.

    Raises:
        FileNotFoundError: it is neither.
        ValueError: the file does not fit the log, or the run's policy cannot say how likely other slates are.
    """
    if candidate.is_dir():
        return replayed(Replay.load(candidate, log, policy, ranker), seed)
    if not candidate.is_file():
        raise FileNotFoundError(f"{candidate}: the candidate is a run's folder, or a Parquet file of its propensities; there is neither")
    if policy is not None or ranker is not None:
        raise ValueError(f"{candidate} is a table of propensities; --policy and --ranker change a run's folder")
    return tabled(candidate, log)


def parse_policy(text: str | None) -> dict[str, Any] | None:
    """Settings of a policy from a line of YAML: a short name, a mapping with `use`, or a list.

    Raises:
        ValueError: it is none of these.
    """
    if text is None:
        return None
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"policy {text!r} is not YAML: {error}") from error
    if isinstance(tree, list):
        return {"use": "chain", "of": tree}
    if isinstance(tree, str):
        return {"use": tree}
    if not isinstance(tree, dict):
        raise ValueError(f"policy {text!r}: write a name, a mapping such as '{{use: mmr}}', or a list of them")
    return tree


def tabled(file: Path, log: ExposureLog) -> Logged:
    """A candidate that comes as a table of its propensities: no reward model, since nothing is known of what else it would show."""
    table = pl.read_parquet(file)
    if missing := [name for name in ("request_id", "propensities") if name not in table.columns]:
        raise ValueError(f"{file}: has no column {', '.join(missing)}")
    table = table.select(pl.col("request_id").cast(pl.String), pl.col("^(propensities|marginals)$").name.prefix("target_"))
    if table["request_id"].is_duplicated().any():
        raise ValueError(f"{file}: request {table.filter(pl.col('request_id').is_duplicated())['request_id'][0]!r} occurs twice")
    joined = log.exposures.join(table, on="request_id", how="left", maintain_order="left")
    wrong = joined.filter(pl.col("target_propensities").list.len().fill_null(0) != pl.col("items").list.len())["request_id"]
    if len(wrong):
        raise ValueError(f"{file}: needs one propensity an item for every request of the log; request {wrong[0]!r} ({len(wrong):,} in all)")
    marginal_RS = log.aligned(joined["target_marginals"], 1.0) if "target_marginals" in joined.columns else None
    return Logged(
        log.reward_RS, log.logging_RS, log.aligned(joined["target_propensities"], 1.0), log.filled_RS, log.cluster_R,
        logging_marginal_RS=log.marginal_RS, target_marginal_RS=marginal_RS,
    )  # fmt: skip


@dataclass(frozen=True)
class Replay:
    """A run's ranker and policy, asked again for every request of a log, with its context and what the user had done until then.

    Attributes:
        reader: reads what a request asks for in words, where the ranker does; None where it does not.
    """

    log: ExposureLog
    dataset: Dataset
    ranker: Ranker
    policy: Policy
    shelf: Shelf
    repeats: bool
    reader: CatalogueEncoder | None = None

    @classmethod
    def load(cls, folder: Path, log: ExposureLog, policy: Mapping[str, Any] | None, ranker: str | None) -> Replay:
        """From a run's folder."""
        run, config = Run(folder), load_run_config(folder)
        name = ranker or config.served
        if name not in config.rankers:
            raise ValueError(f"{folder} has no ranker {name!r}; it has {', '.join(config.rankers)}")
        dataset = Dataset.load(run.path("prepare"))
        chosen = build(Policy, config.policy if policy is None else dict(policy))
        shelf = shelf_of(config, run, dataset, chosen.config.attributes())
        answering = Ranker.load(run.path(f"rank/{name}"))
        if log.done is not None:
            before, dataset = dataset, told(dataset, log.done)
            if isinstance(answering, DeepRanker):
                count_on(answering, log, before, dataset)
        asked_in = answering.config.asked_in()
        reader = None if asked_in is None else CatalogueEncoder.load(run.path(f"embed/{answering.config.encoders()[0]}"))
        return cls(log, dataset, answering, chosen, shelf, config.data.repeats, reader)

    def requests(self, what: str) -> Iterator[tuple[int, Candidates, Ints]]:
        """Each request's number, its candidates best first, and what was shown, as the run's indices; N of an item it does not know."""
        items = {item: i for i, item in enumerate(self.dataset.items["item_id"])}
        unknown = self.dataset.n_items
        shown_RS = np.array([items.get(item, unknown) for item in self.log.item_ids], np.int64)[self.log.item_RS]
        logged_candidates = self.log.exposures["candidates"] if "candidates" in self.log.exposures.columns else None
        for start in track(range(0, len(self.log), BATCH), what):
            rows = np.arange(start, min(start + BATCH, len(self.log)))
            queries = self.queries(rows)
            scores_BN = self.ranker.score(queries)
            best_BK, _ = top_k(scores_BN, CANDIDATES, None if self.repeats else queries.seen)
            for b, r in enumerate(rows.tolist()):
                allowed_K = best_BK[b][best_BK[b] >= 0]
                if logged_candidates is not None and logged_candidates[r] is not None:
                    known = np.array([items[item] for item in logged_candidates[r] if item in items], np.int64)
                    allowed_K = known[np.argsort(-scores_BN[b][known], kind="stable")]
                filled_n = shown_RS[r][self.log.filled_RS[r]]
                yield r, self.shelf.candidates(allowed_K, scores_BN[b][allowed_K], queries.items(b)), filled_n

    def queries(self, rows: Ints) -> Histories:
        """What each request's unit had done before it; nothing of a unit that the run does not know."""
        everything = self.dataset.everything
        users = {user: u for u, user in enumerate(self.dataset.users["user_id"])}
        unit_B = np.array([users.get(str(unit), -1) for unit in self.log.exposures["unit"].gather(rows)])
        time_B = self.log.time_R[rows]
        taken = everything.take(np.where(unit_B < 0, 0, unit_B)).of_some(unit_B >= 0)
        owner_E = taken.owner_E()
        # Comparing with NaN is False: without a clock, everything that is known counts as before.
        keep_E = ~(taken.time_E >= time_B[owner_E])
        counts_B = np.bincount(owner_E[keep_E], minlength=len(rows))
        offsets = offsets_of(counts_B)
        now_B = np.where(np.isnan(time_B), np.where(unit_B < 0, np.nan, taken.now_B), time_B)
        disliked = None if taken.disliked is None else taken.disliked.before(np.arange(len(rows)), now_B)
        context, words_BD = self._said(rows)
        return Histories(taken.item_idx_E[keep_E], taken.time_E[keep_E], offsets, now_B, disliked, context, words_BD)

    def _said(self, rows: Ints) -> tuple[dict[str, list[str | None]], Floats | None]:
        """What each request said of itself, by name, and the words that were asked for, as the ranker's encoder reads them."""
        asked = self.log.exposures[rows]
        context = {"surface": asked["surface"].cast(pl.String).to_list()} if "surface" in asked.columns else {}
        if "context" in asked.columns and asked.schema["context"] == pl.String:
            known = pl.DataFrame(contexts_of(asked["context"]), schema_overrides={"context": pl.String})
            said = asked.select("context").join(known, on="context", how="left", maintain_order="left")
            context |= said.drop("context").to_dict(as_series=False)
        name = self.ranker.config.asked_in()
        return context, None if self.reader is None or name is None else self.reader.encode_asked(context.get(name, [None] * len(rows)))


def count_on(ranker: DeepRanker, log: ExposureLog, before: Dataset, after: Dataset) -> None:
    """Count what was done and shown since the ranker was fitted, as the server did; each request sees what came before it."""
    done = after.interactions.join(before.interactions, on=["user_idx", "item_idx", "time"], how="anti")
    ranker.observe(done["item_idx"].to_numpy(), done["time"].cast(pl.Float64).to_numpy(), TOUCHED)
    if SHOWN in ranker.sources.features.counters:
        index = {item: i for i, item in enumerate(after.items["item_id"])}
        item_E = np.array([index.get(item, -1) for item in log.item_ids], np.int64)[log.item_RS[log.filled_RS]]
        time_E = np.broadcast_to(log.time_R[:, None], log.item_RS.shape)[log.filled_RS]
        new_E = (item_E >= 0) & ~(time_E <= ranker.newest(SHOWN))
        ranker.observe(item_E[new_E], time_E[new_E], SHOWN)


def replayed(replay: Replay, seed: int = 0) -> Logged:
    """Ask the run twice: how likely are the logged slates, then, with a reward model fitted on them, what its own would earn."""
    log, policy = replay.log, replay.policy
    shape, unknown = log.reward_RS.shape, replay.dataset.n_items
    target_RS, group_RS, item_RS = np.ones(shape), np.full(shape, GROUPS - 1), np.full(shape, unknown)
    for r, candidates, shown_n in replay.requests("replaying the log"):
        places_n = np.arange(len(shown_n))
        probability_nK = policy.probabilities(candidates, shown_n, np.random.default_rng([seed, r]))
        k_n, is_n = find(candidates.item_idx_K, shown_n)
        target_RS[r, places_n] = np.where(is_n, probability_nK[places_n, k_n], 0.0) if len(candidates) else 0.0
        group_RS[r, places_n] = np.where(is_n, magnitude(k_n), GROUPS - 1)
        item_RS[r, places_n] = shown_n
    position_RS = np.unique(log.position_RS, return_inverse=True)[1].reshape(log.position_RS.shape)
    fold_R = folds(log.cluster_R, seed=seed)
    filled = log.filled_RS
    fold_RS = np.broadcast_to(fold_R[:, None], shape)
    sizes = (int(position_RS.max()) + 1, unknown + 1, GROUPS)
    model = RewardModel.cross_fitted(
        log.reward_RS[filled], position_RS[filled], item_RS[filled], group_RS[filled], fold_RS[filled], sizes
    )  # fmt: skip
    predicted = Predicted(*(np.zeros(shape) for _ in range(3)))
    for r, candidates, shown_n in replay.requests("asking the reward model"):
        n = len(shown_n)
        rng = np.random.default_rng([seed, r])
        fold, place_n1, group_K = int(fold_R[r]), position_RS[r, :n, None], magnitude(np.arange(len(candidates)))
        expected_nK = model.predict(fold, place_n1, candidates.item_idx_K, group_K)
        probability_nK = policy.probabilities(candidates, shown_n, rng)
        predicted.shown_RS[r, :n] = model.predict(fold, position_RS[r, :n], shown_n, group_RS[r, :n])
        predicted.given_RS[r, :n] = (probability_nK * expected_nK).sum(1)
        predicted.drawn_RS[r, :n] = _drawn(policy, candidates, n, expected_nK, bool((probability_nK.max(1, initial=0.0) >= 1.0).all()), rng)
    return Logged(log.reward_RS, log.logging_RS, target_RS, filled, log.cluster_R, predicted)


def find(item_idx_K: Ints, shown_n: Ints) -> tuple[Ints, Any]:
    """Where shown items are among candidates (0 where they are not), and whether they are."""
    order = np.argsort(item_idx_K, kind="stable")
    if not len(order):
        return np.zeros(len(shown_n), np.int64), np.zeros(len(shown_n), bool)
    at_n = order[np.minimum(np.searchsorted(item_idx_K[order], shown_n), len(order) - 1)]
    is_n = item_idx_K[at_n] == shown_n
    return np.where(is_n, at_n, 0), is_n


def magnitude(rank: Ints) -> Ints:
    """0 for the best, 1 for the next two, 2 for the next four, and so on."""
    return np.minimum(np.log2(np.asarray(rank) + 1).astype(np.int64), GROUPS - 2)


def _drawn(policy: Policy, candidates: Candidates, n: int, expected_nK: Floats, certain: bool, rng: np.random.Generator) -> Floats:
    """What the candidate's own slates are expected to earn a place, on average over some of them; one is enough if it is certain."""
    total_n = np.zeros(n)
    draws = 1 if certain else DRAWS
    for _ in range(draws if len(candidates) else 0):
        k_m, _ = find(candidates.item_idx_K, policy.select(candidates, n, rng).item_idx)
        total_n[: len(k_m)] += expected_nK[np.arange(len(k_m)), k_m]
    return total_n / draws
