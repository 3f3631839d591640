"""What reads histories of text vectors while objectives learn from them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from genre.component import Settings

Share = Annotated[float, Field(ge=0, lt=1)]


class TowerSettings(Settings):
    """Inherited by the configs of those objectives."""

    fresh: PositiveInt = 96
    """Items a step whose text goes through the language model and learns, drawn from those in the batch; the others' vectors are the newest
    that are known. This is what a step costs."""
    max_history: PositiveInt = 50
    """How many of the newest entries are read."""
    layers: NonNegativeInt = 1
    """Transformer blocks of a causal tower that reads the history. 0: no tower but the recency-weighted mean, compared by cosine as the
    content ranker does it, so that the vectors themselves learn what that ranker needs."""
    heads: PositiveInt = 2
    """Attention heads of the tower; must divide the projection's size."""
    dropout: Share = 0.2
    """Within the tower."""
