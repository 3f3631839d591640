"""What items say: the `text` column as strings, whichever encoder reads it."""

from __future__ import annotations

import polars as pl


def texts_of(items: pl.DataFrame) -> list[str]:
    """One string an item; null becomes the empty string.

    Raises:
        ValueError: there is no `text` column.
    """
    if "text" not in items.columns:
        raise ValueError(f"the items have no `text` column (they have: {', '.join(items.columns)}); say under data.text how to write one")
    return items["text"].cast(pl.String).fill_null("").to_list()
