"""Sources: several rankers asked at once, and what they say of a list made into rows to learn from or to be scored."""

# B queries, E candidates of all queries one after another, M sources, N items, F features

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genre.progress import track
from genre.rankers import Ranker
from genre.rankers.blend import batch_size
from genre.rankers.candidates import shortlisted
from genre.rankers.content import ContentRanker
from genre.rankers.features import Features, Rows, Vectors
from genre.rankers.lists import Lists
from genre.types import Floats, GroundTruth, Histories, Impressions, Ints, Training

LISTS_AT_ONCE = 256


@dataclass(frozen=True)
class Sources:
    """Rankers with the features that are made of their scores.

    Attributes:
        members: who is asked, by name.
        reader: the content, as one more source; None without.
        shortlist: best items of each source that become candidates; of the history only if `repeats`.
    """

    members: Mapping[str, Ranker]
    reader: ContentRanker | None
    features: Features
    shortlist: int
    repeats: bool

    def scores(self, queries: Histories) -> list[npt.NDArray[np.float32]]:
        """Of the whole catalogue, by each source."""
        return [source.score(queries) for source in named(self.members, self.reader).values()]

    def candidates(self, queries: Histories, score_MBN: Sequence[Floats]) -> tuple[Ints, Ints, Rows]:
        """Candidates of all queries one after another, B + 1 offsets, and a row for each."""
        item_E, offsets = shortlisted(score_MBN, queries, self.shortlist, self.repeats)
        return item_E, offsets, self.features.of(queries, score_MBN, item_E, offsets, self._vectors())

    def batches(self, queries: Histories) -> Iterator[tuple[int, int]]:
        """Starts and ends of as many queries as may be scored at once."""
        size = batch_size(self.n_items(), len(self.members) + 1)
        yield from ((start, min(start + size, len(queries))) for start in range(0, len(queries), size))

    def n_items(self) -> int:
        """N, the size of the catalogue."""
        nobody = Histories.of([])
        return int(next(iter(self.members.values())).score(nobody).shape[1])

    def replayed(self, truth: GroundTruth) -> Lists:
        """Candidates labelled by whether they came next; a target that no source proposes is no example, but it is missed."""
        parts = []
        for start, stop in track(list(self.batches(truth.queries)), "replaying lists"):
            batch = truth.take(slice(start, stop))
            score_MBN = self.scores(batch.queries)
            item_E, offsets, rows_EF = self.candidates(batch.queries, score_MBN)
            target_BN = np.zeros(score_MBN[0].shape, bool)
            target_BN[batch.owner_E(), batch.target_E] = True
            label_TE = target_BN[np.repeat(np.arange(len(batch)), np.diff(offsets)), item_E][None].astype(np.float32)
            parts.append(Lists(rows_EF, offsets, label_TE, np.full(len(item_E), -1), np.diff(batch.offsets)))
        return Lists.joined(parts)

    def shown(self, shown: Impressions, tasks: Sequence[str], good: Sequence[str]) -> Lists:
        """Impressions; right are the entries with a label above 0 of a task that is `good`."""
        label_TE = np.stack([shown.labels[task] for task in tasks]).astype(np.float32)
        right_E = np.any([np.nan_to_num(shown.labels[task]) > 0 for task in good], axis=0) if good else np.zeros(len(shown.item_idx_E))
        relevant_I = np.bincount(shown.owner_E(), right_E, len(shown)).astype(np.int64)
        return Lists(self.rows(shown), shown.offsets, label_TE, shown.position_E, relevant_I)

    def rows(self, shown: Impressions) -> Rows:
        """A row for every entry of given lists."""
        parts = [np.empty((0, len(self.features.names)), np.float32)]
        size = min(LISTS_AT_ONCE, batch_size(self.n_items(), len(self.members) + 1))
        for start in track(range(0, len(shown), size), "features of impressions"):
            batch = shown.take(slice(start, start + size))
            score_MBN = self.scores(batch.queries)
            parts.append(self.features.of(batch.queries, score_MBN, batch.item_idx_E, batch.offsets, self._vectors()))
        return np.concatenate(parts)

    def _vectors(self) -> Vectors | None:
        return None if self.reader is None else self.reader.vector_ND.__getitem__


def named(members: Mapping[str, Ranker], reader: ContentRanker | None) -> dict[str, Ranker]:
    """Every source by name, the content last."""
    return {**members, **({} if reader is None else {"content vectors": reader})}


def reader_of(content: tuple[str, ...], content_ND: npt.NDArray[np.float32] | None) -> ContentRanker | None:
    """The content as a source: what is near the history."""
    if content_ND is None:
        return None
    reader = ContentRanker(ContentRanker.Config(content=content))
    reader.fit(Training(Histories.of([]), len(content_ND), content_ND), Path())
    return reader
