"""Enriched: what the enrich stage wrote, beside the catalogue and before histories. Everything a model wrote carries its flag."""

# N items, B users, E events of all of them one after another

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from genre.data.text import fields, render
from genre.types import Histories, Ints, offsets_of

COLUMNS = {"llm_summary": pl.String(), "llm_keywords": pl.List(pl.String())}
"""What templates may name besides the catalogue's own columns, once items are summarised; named so that no catalogue has them already."""
ITEMS, USERS, IMAGINED, SYNTHETIC = "items.parquet", "users.parquet", "synthetic_items.parquet", "synthetic_interactions.parquet"


def with_summaries(items: pl.DataFrame, summaries: pl.DataFrame | None) -> pl.DataFrame:
    """The catalogue with the enriched columns, null where nothing was written."""
    if summaries is None:
        return items.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in COLUMNS.items())
    return items.join(summaries.select("item_idx", *COLUMNS), on="item_idx", how="left", maintain_order="left")


def names_summaries(template: str | None) -> bool:
    """Whether a template can only be filled in where items are summarised."""
    return bool(template) and not COLUMNS.keys().isdisjoint(fields(template or ""))


def with_text(items: pl.DataFrame, template: str) -> pl.DataFrame:
    """The items with another text than data.text; an item that was never summarised has blank enriched columns."""
    missing = {name: dtype for name, dtype in COLUMNS.items() if name not in items.columns}
    return items.with_columns(render(items.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in missing.items()), template))


def read_summaries(folder: Path) -> pl.DataFrame | None:
    """What an enrich stage wrote of items; None if it was not asked to."""
    return pl.read_parquet(folder / ITEMS) if (folder / ITEMS).is_file() else None


def read_synthetic(folder: Path, n_users: int) -> Histories:
    """The synthetic interactions of every user, most of whom have none; without times.

    Raises:
        ValueError: a row of the file is not flagged as synthetic.
    """
    file = folder / SYNTHETIC
    if not file.is_file():
        return Histories.of([[]] * n_users)
    rows = pl.read_parquet(file).sort("user_idx", maintain_order=True)
    if not rows["synthetic"].all():
        raise ValueError(f"{file}: a row is not flagged as synthetic; run the enrich stage again")
    counts = np.bincount(rows["user_idx"].to_numpy(), minlength=n_users)
    offsets = offsets_of(counts)
    return Histories(rows["item_idx"].to_numpy(), np.full(len(rows), np.nan), offsets, np.full(n_users, np.nan))


def as_asked(queries: Histories, user_idx_B: Ints, n_users: int, folder: Path | None) -> Histories:
    """Queries as a ranker that takes synthetic events sees them; `folder` is the enrich stage's, None for rankers that do not."""
    return queries if folder is None else with_synthetic(queries, read_synthetic(folder, n_users), user_idx_B)


def with_synthetic(histories: Histories, synthetic: Histories, user_idx_B: Ints | None = None) -> Histories:
    """Histories that begin with what was imagined for their users: older than all that they really did.

    Args:
        user_idx_B: whose histories they are; None if row b is user b.

    The times of synthetic events are those of the first real one, so that they look neither new nor old; an empty history stays empty.
    """
    more = synthetic if user_idx_B is None else synthetic.take(user_idx_B)
    if len(more) != len(histories):
        raise ValueError(f"{len(histories)} histories, synthetic events of {len(more)} users; name whose they are")
    added = np.where(histories.lengths > 0, more.lengths, 0)
    offsets = histories.offsets + np.concatenate([[0], np.cumsum(added)])
    item_idx_E = np.empty(offsets[-1], histories.item_idx_E.dtype)
    time_E = np.empty(offsets[-1])
    old_E = np.arange(len(histories.item_idx_E)) + np.repeat(np.cumsum(added), histories.lengths)
    item_idx_E[old_E], time_E[old_E] = histories.item_idx_E, histories.time_E
    owner_E = np.repeat(np.arange(len(histories)), added)
    new_E = np.arange(len(owner_E)) - np.repeat(np.cumsum(added) - added, added) + offsets[owner_E]
    kept_E = np.repeat(added > 0, more.lengths)
    item_idx_E[new_E] = more.item_idx_E[kept_E]
    time_E[new_E] = histories.time_E[histories.offsets[owner_E]]
    return Histories(item_idx_E, time_E, offsets, histories.now_B, histories.disliked)
