"""A language model as encoder: any Hugging Face or sentence-transformers model, or the one that was fine-tuned, pooled over its tokens."""

# N items, B texts of a batch, D dimensions

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import PositiveInt, field_validator

from genre.encoders import Encoder
from genre.encoders.text import texts_of
from genre.llm.model_files import STAGES, ModelName, cache_folder, files_of, locate
from genre.progress import track
from genre.training import Placement

if TYPE_CHECKING:
    from genre.llm.content_store import ContentStore
    from genre.llm.vectoriser import Vectoriser

SEGMENT = 2048
"""New texts after which the cache is written: a killed run loses no more."""
WORTH_KEEPING = 32
"""Fewer new texts than this are somebody's questions, not a catalogue, and leave nothing in the cache."""


class LanguageModelEncoder(Encoder):
    """Hidden states of a frozen language model, pooled over the tokens of each text."""

    class Config(Encoder.Config, Placement):
        model: ModelName
        """`finetune` or `pretrain`, the run's own; or a folder (config.json, tokenizer, safetensors), a `.gguf` file, `package:NAME` for
        one in an installed package, or a name on the Hugging Face hub: `sentence-transformers/all-MiniLM-L6-v2`."""
        layer: int | float | None = None
        """Which layer is read: 1 is the lowest, -1 the last, 0.5 the middle; None is the last. Of decoders a layer at a third to a half is
        the best, and costs as much less."""
        pooling: Literal["auto", "mean", "cls", "last", "attention"] = "auto"
        """Over the tokens of a text; `auto` does what the model's folder says (fine-tuned, sentence-transformers), else the mean."""
        normalize: bool | None = None
        """Scale each vector to length 1; None does what a sentence-transformers folder says, else not."""
        prefix: str | None = None
        """Put before each text, its own tokens left out of the mean. Decoders need one (`Item:`): they park attention on what comes first,
        which would drown the rest of a mean. None does what a fine-tuned folder says, else there is none."""
        max_tokens: PositiveInt | None = None
        """Of longer texts the beginning is read. None: as in fine-tuning, else 256."""
        batch_size: PositiveInt = 64
        """Texts in one pass."""
        cache: bool = True
        """Keep vectors on disk (below GENRE_CACHE or ~/.cache/genre), found by text, model and settings: only new texts are encoded."""
        precision: Literal["auto", "float32", "bfloat16"] = "float32"
        """Of the weights. `auto` is bfloat16 where the hardware multiplies it, float32 elsewhere, where bfloat16 is many times slower."""

        @field_validator("layer")
        @classmethod
        def _layer_exists(cls, layer: int | float | None) -> int | float | None:
            if layer == 0 or (isinstance(layer, float) and not 0 < layer <= 1):
                raise ValueError("a layer's number (1 is the lowest, -1 the last) or a fraction above 0, at most 1")
            return layer

        def stages(self) -> tuple[str, ...]:
            """See Encoder.Config.stages."""
            return (self.model,) if self.model in STAGES else ()

        def files(self) -> tuple[Path, ...]:
            """See Encoder.Config.files."""
            return () if self.model in STAGES else files_of(self.model)

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.where = config.model if config.model in STAGES else locate(config.model)
        self._loaded: Vectoriser | None = None
        self._store: ContentStore | None = None

    def within(self, run: Path) -> None:
        """The run whose fine-tuned model is read; see Encoder.within."""
        if self.config.stages():
            self.where = locate(str(run / self.config.model))

    def fit(self, items: pl.DataFrame) -> None:
        """Nothing is learnt."""

    def encode(self, items: pl.DataFrame) -> npt.NDArray[np.float32]:
        """Vectors of shape (N, D); zero for a text without tokens of its own."""
        texts = texts_of(items)
        place = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        vectors_ND = self._known(list(place)) if self.config.cache else self._new(list(place))
        return vectors_ND[[place[text] for text in texts]]

    def _known(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """What the cache holds, and what is new, some thousands of texts at a time, each part kept when it is done."""
        from genre.llm.content_store import key_of

        store = self._open()
        keys = [key_of(text) for text in texts]
        vectors_ND = np.zeros((len(texts), store.dim), np.float32)
        new = [row for row, key in enumerate(keys) if key not in store]
        for row in set(range(len(texts))) - set(new):
            vectors_ND[row] = store.get(keys[row])[0]
        keep = len(new) >= WORTH_KEEPING
        for start in range(0, len(new), SEGMENT):
            rows = new[start : start + SEGMENT]
            vectors_ND[rows] = self._new([texts[row] for row in rows])
            if keep:
                with store.segment() as writer:
                    for row in rows:
                        writer.add(keys[row], vectors_ND[row : row + 1])
        return vectors_ND

    def _new(self, texts: list[str]) -> npt.NDArray[np.float32]:
        vectoriser = self._load()
        vectors_ND = np.zeros((len(texts), vectoriser.dim), np.float32)
        for rows, vectors_BD in track(
            vectoriser.batches(texts, self.config.batch_size), "encoding text", -(-len(texts) // self.config.batch_size)
        ):
            vectors_ND[rows] = vectors_BD
        return vectors_ND

    def _open(self) -> ContentStore:
        if self._store is None:
            from genre.llm.content_store import ContentStore

            vectoriser = self._load()
            self._store = ContentStore(cache_folder("vectors"), vectoriser.recipe(), vectoriser.dim, np.float32)
        return self._store

    def export(self, folder: Path, items: pl.DataFrame) -> None:
        """Write what `genre.llm.onnx_encoder.OnnxEncoder` reads without torch, and compare its vectors of some items with the model's.

        Raises:
            ValueError: they differ, or the model's tokenizer cannot be saved.
        """
        from genre.llm.onnx_export import export

        export(self._vectoriser("cpu", "float32"), folder, texts_of(items))

    def _load(self) -> Vectoriser:
        if self._loaded is None:
            self._loaded = self._vectoriser(self.config.device, self.config.precision)
        return self._loaded

    def _vectoriser(self, device: Literal["auto", "cpu", "cuda"], precision: Literal["auto", "float32", "bfloat16"]) -> Vectoriser:
        from genre.llm.vectoriser import Vectoriser

        c = self.config
        return Vectoriser.load(self.where, c.layer, c.pooling, c.prefix, c.max_tokens, c.normalize, device=device, precision=precision)
