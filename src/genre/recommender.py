"""The recommender: a finished run, asked for lists."""

# B users of a batch, N items, L events of a history, n slate

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.parquet as pq

from genre.component import build
from genre.config import GenreConfig, load_run_config
from genre.data.dataset import Dataset
from genre.data.enriched import read_synthetic, with_synthetic
from genre.data.text import render
from genre.encoders.catalogue import CatalogueEncoder, load_vectors
from genre.explanation import strongest_event
from genre.policies import Policy
from genre.policies.placing import slates
from genre.policies.shelf import Shelf
from genre.progress import track
from genre.rankers import Ranker
from genre.runs import Run
from genre.types import Floats, Histories, Ints, Recommendation
from genre.vectors import unit
from genre.writing import whole

BATCH = 256
Vectors = npt.NDArray[np.float32]
RECOMMENDED = {"user_id": pl.String, "item_id": pl.String, "rank": pl.Int32, "score": pl.Float32}


class Recommender:
    """Lists for users of the run, for strangers with a history, for a text.

    Items of a history are never recommended unless the run allows repeats (`data.repeats`).
    """

    def __init__(
        self,
        config: GenreConfig,
        dataset: Dataset,
        ranker: Ranker,
        encoders: dict[str, CatalogueEncoder],
        vectors: dict[str, Vectors],
        enriched: Path | None = None,
    ) -> None:
        self.config = config
        self.dataset = dataset
        self.ranker = ranker
        self.synthetic = None if enriched is None else read_synthetic(enriched, len(dataset.users))
        self.encoders = encoders
        self.vectors = {name: unit(vectors_ND) for name, vectors_ND in vectors.items()}
        self.policy = build(Policy, config.policy)
        self.items = dataset.items
        counts_N = dataset.everything.item_counts(dataset.n_items)
        self.shelf = Shelf.of(dataset.items, counts_N, next(iter(self.vectors.values()), None), config.policy.attributes())
        self._item_idx = {item: i for i, item in enumerate(self.items["item_id"])}
        self._user_idx = {user: i for i, user in enumerate(dataset.users["user_id"])}

    @classmethod
    def load(cls, folder: str | Path, ranker: str | None = None) -> Self:
        """A run's folder; `ranker` picks another rung than the one served.

        Raises:
            FileNotFoundError: there is no run, or the stage has not run.
        """
        run = Run(Path(folder))
        config = load_run_config(run.folder)
        name = ranker or config.served
        if name not in config.rankers:
            raise ValueError(f"{folder} has no ranker {name!r}; it has {', '.join(config.rankers)}")
        encoders = {encoder: CatalogueEncoder.load(run.path(f"embed/{encoder}")) for encoder in config.encoders}
        vectors = {encoder: load_vectors(run.path(f"embed/{encoder}")) for encoder in config.encoders}
        ranking = Ranker.load(run.path(f"rank/{name}"))
        enriched = run.path("enrich") if ranking.config.synthetic else None
        return cls(config, Dataset.load(run.path("prepare")), ranking, encoders, vectors, enriched)

    def recommend(
        self,
        user_id: str | None = None,
        n: int = 10,
        *,
        history: Sequence[str] | None = None,
        text: str | None = None,
        exclude: Iterable[str] = (),
        context: Mapping[str, str] | None = None,
        now: float | None = None,
        explain: bool = False,
        seed: int | None = None,
    ) -> list[Recommendation]:
        """The best n items.

        Args:
            user_id: a user of the run; one nobody knows is served as someone without a history.
            history: item ids, oldest first, instead of (or for lack of) what the run knows of the user.
            text: what is looked for, in words; alone it ranks by content, beside a history it is added to the scores.
            exclude: item ids that must not be shown.
            context: what else is known of the request ({"device": "phone"}), for a deep ranker that learnt from lists which had it.
            now: the moment of the request, unix seconds; None is just after the user's last event.
            explain: say which event of the history, taken away, would lower each score most.
            seed: of policies that explore; None draws anew.

        Raises:
            ValueError: n below 1, an unknown item in the history or in exclude, a text where no encoder reads text.
        """
        if n < 1:
            raise ValueError(f"n is {n}; a list has at least one item")
        query = self._told(self._query(user_id, history), context or {}, text, now)
        asked = query if history is not None else self._as_asked(query, [user_id])
        scores_N = self._scores(asked, text)
        banned = self._indices(exclude, "exclude")
        if not self.config.data.repeats:
            banned.extend(query.seen.item_idx_E.tolist())
        rng = np.random.default_rng(seed)
        shown = slates(self.policy, self.shelf, scores_N[None], n, query, Histories.of([banned]), rng)[0]
        shown = shown[shown >= 0]
        reasons = self._reasons(query, shown) if explain else [None] * len(shown)
        ids, titles = self.items["item_id"], self.items["shown"]
        return [
            Recommendation(ids[i], place, float(scores_N[i]), titles[i], reason)
            for place, (i, reason) in enumerate(zip(shown.tolist(), reasons, strict=True), 1)
        ]

    def history(self, user_id: str, n: int = 10) -> list[Recommendation]:
        """A user's newest n items, newest first; the score is how often it occurs."""
        items = self._query(user_id, None).item_idx_E[::-1]
        counts = np.bincount(items, minlength=1)
        ids, titles = self.items["item_id"], self.items["shown"]
        return [Recommendation(ids[i], place, float(counts[i]), titles[i]) for place, i in enumerate(items[:n].tolist(), 1)]

    def recommend_batch(self, user_ids: Sequence[str], n: int = 10) -> pl.DataFrame:
        """Lists for many users: `user_id, item_id, rank, score`.

        Raises:
            ValueError: one id, where there should be a list of them.
        """
        if isinstance(user_ids, str):
            raise ValueError(f"user_ids is a list of user ids; write [{user_ids!r}]")
        frames = list(self._batches(user_ids, n))
        return pl.concat(frames) if frames else pl.DataFrame(schema=RECOMMENDED)

    def recommend_all(self, out: str | Path, n: int = 10) -> int:
        """Lists for every user of the run, streamed to a Parquet file that appears only when complete; returns its rows.

        Raises:
            ValueError: the file's name promises another format.
        """
        if Path(out).suffix != ".parquet":
            raise ValueError(f"{out}: lists of everybody are Parquet; name the file {Path(out).with_suffix('.parquet').name}")
        users, rows = self.dataset.users["user_id"].to_list(), 0
        schema = pl.DataFrame(schema=RECOMMENDED).to_arrow().schema
        with whole(Path(out)) as partial, pq.ParquetWriter(partial, schema) as writer:
            for frame in track(self._batches(users, n), "recommending", total=-(-len(users) // BATCH)):
                writer.write_table(frame.to_arrow())
                rows += len(frame)
        return rows

    def add_items(self, items: pl.DataFrame) -> None:
        """Items joined the catalogue: `item_id` and the columns that the text template and the encoders read. Recommendable at once.

        Raises:
            ValueError: an id is there already, or a column is missing.
        """
        if "item_id" not in items.columns:
            raise ValueError(f"new items need a column item_id; there is {', '.join(items.columns)}")
        items = items.with_columns(pl.col("item_id").cast(pl.String))
        known = [item for item in items["item_id"] if item in self._item_idx]
        if known or items["item_id"].n_unique() < len(items):
            raise ValueError(f"item ids must be new and distinct: {', '.join(known[:5]) or 'one is given twice'}")
        items = items.with_columns(render(items, self.config.data.text).alias("text"))
        title = next((name for name in (self.config.data.title, "title", "name") if name and name in items.columns), "item_id")
        items = items.with_columns(
            pl.col(title).cast(pl.String).fill_null(pl.col("item_id")).alias("shown"),
            pl.int_range(self.n_items, self.n_items + len(items), dtype=pl.Int32).alias("item_idx"),
        )
        content = {name: encoder.encode(items) for name, encoder in self.encoders.items()}
        for leaf in self.ranker.leaves():
            read = [content[name] for name in leaf.config.encoders()]
            leaf.extend(np.concatenate(read, axis=1) if read else None, len(items))
        added = {name: unit(vectors_MD) for name, vectors_MD in content.items()}
        self.vectors = {name: np.concatenate([self.vectors[name], added[name]]) for name in self.vectors}
        self.shelf = self.shelf.extended(items, next(iter(added.values()), None))
        self._item_idx |= {item: self.n_items + i for i, item in enumerate(items["item_id"])}
        self.items = pl.concat([self.items, items], how="diagonal_relaxed").select(self.items.columns)

    @property
    def n_items(self) -> int:
        """The catalogue's size now."""
        return len(self.items)

    def _query(self, user_id: str | None, history: Sequence[str] | None) -> Histories:
        if history is not None:
            return Histories.of([self._indices(history, "history")])
        user = self._user_idx.get(str(user_id)) if user_id is not None else None
        return self.dataset.everything.take(np.array([user])) if user is not None else Histories.of([[]])

    def _told(self, query: Histories, context: Mapping[str, str], text: str | None, now: float | None) -> Histories:
        """With what is known of this request."""
        name = self.ranker.config.asked_in()
        said = None if name is None else context.get(name) or text
        words_BD = None if said is None else self.encoders[self.ranker.config.encoders()[0]].encode_texts([said])
        now_B = query.now_B if now is None else np.array([now])
        return replace(query, now_B=now_B, context={each: [value] for each, value in context.items()}, words_BD=words_BD)

    def _indices(self, item_ids: Iterable[str], where: str) -> list[int]:
        if isinstance(item_ids, str):  # which is a sequence, too, of letters
            raise ValueError(f"{where} is a list of item ids; write {where}=[{item_ids!r}]")
        items = [str(item) for item in item_ids]
        if missing := [item for item in items if item not in self._item_idx]:
            raise ValueError(f"{where}: there is no item {missing[0]!r} in the catalogue")
        return [self._item_idx[item] for item in items]

    def _scores(self, query: Histories, text: str | None) -> Floats:
        if text is None:
            scores_N: Vectors = self.ranker.score(query)[0]
            return scores_N
        close_N = self._closeness(text)
        return close_N if len(query.item_idx_E) == 0 else _standardised(self.ranker.score(query)[0]) + _standardised(close_N)

    def _closeness(self, text: str) -> Floats:
        """Cosine of every item to a text, averaged over the encoders that read text."""
        found = []
        for name, encoder in self.encoders.items():
            vector = encoder.encode_texts([text])[0]
            if np.linalg.norm(vector) > 0:
                found.append(self.vectors[name] @ (vector / np.linalg.norm(vector)))
        if not found:
            reads = "none of its words is known" if self.encoders else "the run has no encoder; add one under `encoders:`"
            raise ValueError(f"text {text!r} says nothing to any encoder: {reads}")
        close_N: Vectors = np.mean(found, axis=0, dtype=np.float32)
        return close_N

    def _reasons(self, query: Histories, items: Ints) -> list[str | None]:
        events = strongest_event(self.ranker.score, query, items)
        return [None if e is None else f"because of {self.items['shown'][int(query.item_idx_E[e])]}" for e in events]

    def _batches(self, user_ids: Sequence[str], n: int) -> Iterator[pl.DataFrame]:
        ids = self.items["item_id"].to_numpy()
        for start in range(0, len(user_ids), BATCH):
            names = [str(user) for user in user_ids[start : start + BATCH]]
            queries = self._batch_query(names)
            scores_BN = self.ranker.score(self._as_asked(queries, names))
            banned = None if self.config.data.repeats else queries.seen
            rng = np.random.default_rng([self.config.seed, start])
            item_idx_Bn = slates(self.policy, self.shelf, scores_BN, n, queries, banned, rng)
            row, place = np.nonzero(item_idx_Bn >= 0)
            shown = item_idx_Bn[row, place]
            yield pl.DataFrame(
                {"user_id": np.array(names, object)[row], "item_id": ids[shown], "rank": place + 1, "score": scores_BN[row, shown]},
                schema=RECOMMENDED,
            )

    def _as_asked(self, queries: Histories, names: Sequence[str | None]) -> Histories:
        """With what was imagined for these users, where the ranker takes it: scored with, but never masked nor shown."""
        if self.synthetic is None:
            return queries
        # Whoever is not known has an empty history, which stays empty whosever synthetic events stand beside it.
        return with_synthetic(queries, self.synthetic, np.array([self._user_idx.get(str(name), 0) for name in names]))

    def _batch_query(self, names: list[str]) -> Histories:
        known = np.array([self._user_idx.get(name, -1) for name in names])
        everything = self.dataset.everything
        taken = everything.take(np.where(known < 0, 0, known))
        if (known >= 0).all():
            return taken
        return taken.of_some(known >= 0)


def _standardised(scores_N: Floats) -> Floats:
    standardised_N: Floats = (scores_N - scores_N.mean()) / max(float(scores_N.std()), 1e-9)
    return standardised_N


def describe(recommendation: Recommendation) -> dict[str, Any]:
    """A line of a list as plain JSON, without what is unknown."""
    return {name: value for name, value in vars(recommendation).items() if value is not None}
