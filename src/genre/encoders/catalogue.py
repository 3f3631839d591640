"""A catalogue's vectors: an encoder and its transform, fitted, stored and loaded as one."""

# N items, K dimensions

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors.numpy import save_file

from genre.component import load_arrays
from genre.data.enriched import with_text
from genre.encoders import Encoder
from genre.encoders.transform import Transform

VECTORS = "item_vectors.safetensors"


@dataclass(frozen=True)
class CatalogueEncoder:
    """Puts new items and free text into the same space as the catalogue's vectors."""

    encoder: Encoder
    transform: Transform

    def encode(self, items: pl.DataFrame) -> npt.NDArray[np.float32]:
        """Vectors of shape (N, K); an item that says nothing gets the zero vector, which is the catalogue's mean."""
        return self.transform.apply(self.encoder.encode(as_read(items, self.encoder)))

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Vectors of free text, shape (N, K); zero where the encoder reads no text."""
        return self.transform.apply(self.encoder.encode(pl.DataFrame({"text": list(texts)}, schema={"text": pl.String})))

    def encode_asked(self, texts: Sequence[str | None]) -> npt.NDArray[np.float32]:
        """The same of many requests' words, each distinct text once; zero where nothing was asked for."""
        distinct = sorted({text for text in texts if text})
        place = {text: at for at, text in enumerate(distinct)}
        nothing_1K = np.zeros((1, self.transform.basis_DK.shape[1]), np.float32)
        vectors = np.concatenate([self.encode_texts(distinct), nothing_1K]) if distinct else nothing_1K
        asked: npt.NDArray[np.float32] = vectors[[place.get(text or "", len(distinct)) for text in texts]]
        return asked

    def save(self, folder: Path, vectors_NK: npt.NDArray[np.float32]) -> None:
        """Write `encoder/`, `transform.safetensors` and, for the whole catalogue, `item_vectors.safetensors`."""
        self.encoder.save(folder / "encoder")
        self.transform.save(folder)
        save_file({"vectors": np.ascontiguousarray(vectors_NK, np.float32)}, folder / VECTORS)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote, in the run where it is."""
        encoder = Encoder.load(folder / "encoder")
        encoder.within(folder.parent.parent)
        return cls(encoder, Transform.load(folder))


def as_read(items: pl.DataFrame, encoder: Encoder) -> pl.DataFrame:
    """The items with the text that this encoder reads."""
    return items if encoder.config.text is None else with_text(items, encoder.config.text)


def fit_catalogue(encoder: Encoder, items: pl.DataFrame) -> tuple[npt.NDArray[np.float32], Transform]:
    """Fit an encoder and its transform on a catalogue, and give the catalogue's vectors, shape (N, K)."""
    items = as_read(items, encoder)
    encoder.fit(items)
    raw_ND = encoder.encode(items)
    transform = Transform.fit(raw_ND, encoder.config.whiten, encoder.config.dim)
    return transform.apply(raw_ND), transform


def load_vectors(folder: Path) -> npt.NDArray[np.float32]:
    """The catalogue's stored vectors, shape (N, K), in the order of the items.

    Raises:
        FileNotFoundError: the folder holds none.
    """
    if not (folder / VECTORS).is_file():
        raise FileNotFoundError(f"{folder} holds no item vectors: {VECTORS} is missing")
    vectors_NK: npt.NDArray[np.float32] = load_arrays(folder / VECTORS)["vectors"]
    return vectors_NK
