"""Encoders: what an item says and is, as a vector."""

# N items, D dimensions

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import PositiveInt

from genre.component import Component
from genre.data.text import Template, fields


class Encoder(Component):
    """Content to vectors. The pipeline centres (and, if asked, whitens) what comes out: see `transform.py`."""

    kind = "encoder"
    builtins: ClassVar[dict[str, str]] = {
        "tfidf": "genre.encoders.tfidf:TfidfEncoder",
        "static": "genre.encoders.static:StaticEncoder",
        "language_model": "genre.encoders.language_model:LanguageModelEncoder",
        "attributes": "genre.encoders.attributes:AttributesEncoder",
    }

    class Config(Component.Config):
        whiten: bool = False
        """Decorrelate the dimensions and give each unit variance, after subtracting the catalogue's mean (always done)."""
        dim: PositiveInt | None = None
        """Keep only this many principal components; None keeps all."""
        text: Template | None = None
        """What it reads of an item, as a template over the catalogue's columns and, once items are summarised, `{llm_summary}` and
        `{llm_keywords}`; None reads data.text."""

        def attributes(self) -> tuple[str, ...]:
            """Item columns that it names: they have to be there."""
            return tuple(fields(self.text or ""))

        def stages(self) -> tuple[str, ...]:
            """Stages of the run whose model it reads."""
            return ()

        def files(self) -> tuple[Path, ...]:
            """Files and folders it reads, so that it encodes anew when they change."""
            return ()

    def within(self, run: Path) -> None:
        """Told, before it encodes, in which run it is; for encoders that name `stages`."""

    @abstractmethod
    def fit(self, items: pl.DataFrame) -> None:
        """Learn a vocabulary or categories from the catalogue; encoders with nothing to learn do nothing."""

    @abstractmethod
    def encode(self, items: pl.DataFrame) -> npt.NDArray[np.float32]:
        """Vectors of shape (N, D) from the columns `item_id`, `text` and the catalogue's attributes.

        An item that says nothing gets a zero vector, never NaN. Works for items and for free text (a frame with `text` alone).
        """
