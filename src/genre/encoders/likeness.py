"""Likeness: how alike free texts and the items of a catalogue are, by their words."""

# S texts, N items, D dimensions

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from genre.component import build
from genre.encoders import Encoder
from genre.encoders.catalogue import CatalogueEncoder, fit_catalogue
from genre.vectors import unit


class Likeness:
    """Call it with texts; what it needs of the catalogue it learns at the first call."""

    def __init__(self, items: pl.DataFrame) -> None:
        self.items = items

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Cosines of shape (S, N); 0 where a text or an item says nothing."""
        encoder, vectors_ND = self._learnt
        return unit(encoder.encode_texts(texts)) @ vectors_ND.T

    @cached_property
    def _learnt(self) -> tuple[CatalogueEncoder, npt.NDArray[np.float32]]:
        encoder = build(Encoder, {"use": "tfidf"})
        vectors_ND, transform = fit_catalogue(encoder, self.items)
        return CatalogueEncoder(encoder, transform), unit(vectors_ND)
