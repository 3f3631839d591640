"""Encoding: new items and free text, put into the space of the catalogue's vectors without torch, scipy or scikit-learn."""

# N items, M texts, V terms, D dimensions

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from genre.bundle import mapped
from genre.component import resolve
from genre.data.enriched import with_text
from genre.data.text import fields, render
from genre.encoders import Encoder
from genre.encoders.text import texts_of
from genre.encoders.tfidf import terms_of
from genre.encoders.transform import Transform
from genre.llm.onnx_encoder import EXPORTED, OnnxEncoder
from genre.serving.growing import Rows
from genre.serving.scorers.combined import Mean
from genre.serving.scorers.dot import DotItems, DotReading
from genre.vectors import unit

log = logging.getLogger(__name__)

NEEDS_TORCH = ("language_model",)
"""Encoders that serving runs in the form in which they were exported; without it an item added later has no vector of theirs."""
Vectors = npt.NDArray[np.float32]


class Encodes(Protocol):
    """What is needed of an encoder."""

    def encode(self, items: pl.DataFrame) -> Vectors:
        """Raw vectors, shape (N, D)."""


class TfidfTerms:
    """The served form of TfidfEncoder."""

    def __init__(self, config: Mapping[str, Any], state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.ngrams = config["ngrams"]
        self.column = {term: v for v, term in enumerate(json.loads(state["terms"].tobytes()))}
        self.idf_V, self.directions_VD = state["idf"], state["directions"]

    def encode(self, items: pl.DataFrame) -> Vectors:
        """See Encodes.encode: (1 + ln count) times idf, each text at length 1, folded into the directions."""
        vector_MD = np.zeros((len(items), self.directions_VD.shape[1]), np.float32)
        for row, text in enumerate(texts_of(items)):
            counts = Counter(self.column[term] for term in terms_of(text, self.ngrams) if term in self.column)
            if counts:
                terms = np.fromiter(counts, np.int64)
                weights = (1.0 + np.log(np.fromiter(counts.values(), np.float32))) * self.idf_V[terms]
                vector_MD[row] = (weights / np.linalg.norm(weights)) @ self.directions_VD[terms]
        return vector_MD


class Exported:
    """A language model as publishing exported it."""

    def __init__(self, folder: Path) -> None:
        self._model = OnnxEncoder(folder)

    def encode(self, items: pl.DataFrame) -> Vectors:
        """See Encodes.encode."""
        return self._model.encode(texts_of(items))


class Encoding:
    """One of the bundle's encoders: its vectors, and how others get theirs.

    Attributes:
        items: the catalogue's vectors at length 1.
        encoder: None where serving cannot run it.
        template: by which it reads an item, where that is another one than the bundle's.
    """

    def __init__(self, name: str, items: DotItems, encoder: Encodes | None, transform: Transform, template: str | None) -> None:
        self.name, self.items, self.encoder, self.transform, self.template = name, items, encoder, transform, template

    @classmethod
    def load(cls, name: str, folder: Path) -> Encoding:
        """From a bundle's encoders/NAME."""
        items = DotItems.load(mapped(folder / "unit.safetensors")["vector_ND"], folder)
        settings = json.loads((folder / "encoder" / "component.json").read_text())
        return cls(name, items, _load_encoder(folder / "encoder"), Transform.load(folder), settings.get("text"))

    def encode_items(self, items: pl.DataFrame) -> Vectors:
        """Vectors of items, by what this encoder reads of them; see `encode`."""
        return self.encode(items if self.template is None else with_text(items, self.template))

    def encode(self, items: pl.DataFrame) -> Vectors:
        """Vectors as rankers read them, shape (M, D); zero where an item says nothing, or this encoder cannot be run."""
        if self.encoder is None:
            return np.zeros((len(items), self.transform.basis_DK.shape[1]), np.float32)
        return self.transform.apply(self.encoder.encode(items))


class Encodings:
    """All encoders of a bundle, and the text template by which an item's attributes become its text."""

    def __init__(self, encodings: Sequence[Encoding], template: str, title: str | None, schema: Mapping[str, pl.DataType]) -> None:
        self.by_name = {encoding.name: encoding for encoding in encodings}
        self.template, self.title = template, title
        self.schema = {name: dtype for name, dtype in schema.items() if name not in ("item_idx", "text", "shown")}

    @classmethod
    def load(cls, folder: Path, facts: Mapping[str, Any]) -> Encodings:
        """From a bundle."""
        encodings = [Encoding.load(name, folder / "encoders" / name) for name in facts["encoders"]]
        return cls(encodings, facts["text"], facts["title"], pl.read_parquet_schema(folder / "items.parquet"))

    @property
    def vectors(self) -> Rows | None:
        """The first encoder's vectors, which policies compare items by; None without encoders."""
        return next((encoding.items.rows for encoding in self.by_name.values()), None)

    def frame(self, item_id: str, attributes: Mapping[str, Any]) -> pl.DataFrame:
        """An item as a table of one row, with the columns of the prepared items, its text and what people see of it."""
        wanted = dict.fromkeys([*self.schema, *fields(self.template), *attributes])
        row = {name: [attributes.get(name)] for name in wanted if name != "item_id"}
        known = {name: self.schema[name] for name in row if name in self.schema}
        item = pl.DataFrame({"item_id": [item_id], **row}, schema_overrides=known, strict=False)
        item = item.with_columns(render(item, self.template).alias("text"))
        titles = (attributes[name] for name in (self.title, "title", "name") if name and attributes.get(name))
        shown = next(titles, item["text"][0] or item_id)
        return item.with_columns(pl.lit(str(shown)).alias("shown"))

    def encode(self, items: pl.DataFrame) -> dict[str, Vectors]:
        """Every encoder's vectors."""
        return {name: encoding.encode_items(items) for name, encoding in self.by_name.items()}

    def append(self, vectors: Mapping[str, Vectors]) -> None:
        """New items' vectors."""
        for name, encoding in self.by_name.items():
            encoding.items.append(unit(vectors[name]))

    def replace(self, item_idx: int, vectors: Mapping[str, Vectors]) -> None:
        """An item says something else now."""
        for name, encoding in self.by_name.items():
            if encoding.encoder is not None:
                encoding.items.rows.replace(item_idx, unit(vectors[name])[0])

    def vector(self, text: str, name: str) -> Vectors:
        """A text as one encoder reads it, shape (D,); zero where it says nothing."""
        found: Vectors = self.by_name[name].encode(pl.DataFrame({"text": [text]}, schema={"text": pl.String}))[0]
        return found

    def closeness(self, text: str, n: int) -> Mean | None:
        """Cosine of the first n items to a text, averaged over the encoders to which it says something; None if it does to none."""
        close = [(encoding.items, self.vector(text, name)) for name, encoding in self.by_name.items()]
        readings = [DotReading(items, unit(vector_D[None])[0], n) for items, vector_D in close if vector_D.any()]
        return Mean(readings, n) if readings else None


def _load_encoder(folder: Path) -> Encodes | None:
    config = json.loads((folder / "component.json").read_text())
    use = str(config["use"]).replace("-", "_")
    if use == "tfidf":
        return TfidfTerms(config, mapped(folder / "state.safetensors"))
    encoder: Encodes
    try:
        if use in NEEDS_TORCH:
            encoder = Exported(folder.parent / EXPORTED)
        else:
            resolve(use, Encoder)
            encoder = Encoder.load(folder)
        encoder.encode(pl.DataFrame({"text": ["a"]}, schema={"text": pl.String}))
    except (ValueError, ImportError, FileNotFoundError) as error:
        log.warning("encoder %s cannot be run here, so items added later have no vector of it: %s", use, error)
        return None
    return encoder
