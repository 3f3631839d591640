"""A language model as encoder: any Hugging Face or sentence-transformers model, pooled over its tokens."""

# N items, B texts of a batch, T tokens, D dimensions

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import PositiveInt, field_validator

from genre.encoders import Encoder
from genre.encoders.text import texts_of
from genre.llm.model_files import locate
from genre.progress import track

if TYPE_CHECKING:
    from torch import Tensor

    from genre.llm.backbone import Backbone

WINDOW = 65_536
"""Texts tokenized and sorted by length at once."""


class LanguageModelEncoder(Encoder):
    """Hidden states of a frozen language model, pooled over the tokens of each text."""

    class Config(Encoder.Config):
        model: str
        """A folder (config.json, tokenizer, safetensors), a `.gguf` file, `package:NAME` for one in an installed package, or a name on the
        Hugging Face hub: `sentence-transformers/all-MiniLM-L6-v2`."""
        layer: int | float | None = None
        """Which layer is read: 1 is the lowest, -1 the last, 0.5 the middle; None is the last. Of decoders the middle is the best and half
        the cost."""
        pooling: Literal["auto", "mean", "cls", "last"] = "auto"
        """Over the tokens of a text; `auto` does what a sentence-transformers folder says, else the mean."""
        normalize: bool | None = None
        """Scale each vector to length 1; None does what a sentence-transformers folder says, else not."""
        prefix: str = ""
        """Put before each text, its own tokens left out of the mean. Decoders need one (`Item:`): they park attention on what comes first,
        which would drown the rest of a mean."""
        max_tokens: PositiveInt = 256
        """Of longer texts the beginning is read."""
        batch_size: PositiveInt = 64
        """Texts in one pass."""
        device: Literal["auto", "cpu", "cuda"] = "auto"
        """`auto` is the GPU where there is one."""
        precision: Literal["auto", "float32", "bfloat16"] = "float32"
        """Of the weights. `auto` is bfloat16 where the hardware multiplies it, float32 elsewhere, where bfloat16 is many times slower."""

        @field_validator("layer")
        @classmethod
        def _layer_exists(cls, layer: int | float | None) -> int | float | None:
            if layer == 0 or (isinstance(layer, float) and not 0 < layer <= 1):
                raise ValueError("a layer's number (1 is the lowest, -1 the last) or a fraction above 0, at most 1")
            return layer

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.where = locate(config.model)
        self._loaded: tuple[Backbone, Any, str, bool] | None = None

    def fit(self, items: pl.DataFrame) -> None:
        """Nothing is learnt."""

    def encode(self, items: pl.DataFrame) -> npt.NDArray[np.float32]:
        """Vectors of shape (N, D); zero for a text without tokens of its own."""
        import torch

        from genre.llm.blocks import hidden_states, padded

        texts = texts_of(items)
        backbone, block, pooling, normalize = self._load()
        vectors_ND = np.zeros((len(texts), backbone.dim), np.float32)
        for rows, tokens, own in track(self._batches(texts, backbone), "encoding text", total=-(-len(texts) // self.config.batch_size)):
            ids_BT, mask_BT = padded(tokens, backbone.tokenizer.pad_token_id)
            with torch.inference_mode():
                vectors_BD = pool(hidden_states(backbone, block, ids_BT, mask_BT).cpu(), mask_BT, own, pooling)
            if normalize:
                vectors_BD = vectors_BD / vectors_BD.norm(dim=1, keepdim=True).clamp(min=1e-12)
            vectors_ND[rows] = vectors_BD.numpy()
        return vectors_ND

    def _batches(self, texts: list[str], backbone: Backbone) -> Any:
        """Rows, token ids and, of each text, which tokens count; texts of similar length together, those without tokens left out."""
        start_of_text = len(self.config.prefix.rstrip())
        for start in range(0, len(texts), WINDOW):
            window = texts[start : start + WINDOW]
            tokenized = backbone.tokenizer(
                [f"{self.config.prefix.rstrip()} {text}" for text in window] if start_of_text else window,
                truncation=True,
                max_length=min(self.config.max_tokens, backbone.limit),
                return_attention_mask=False,
                return_special_tokens_mask=True,
                return_offsets_mapping=bool(start_of_text),
            )
            own = [1 - np.array(special) for special in tokenized["special_tokens_mask"]]
            if start_of_text:
                own = [
                    mine * (np.array(spans).reshape(-1, 2)[:, 1] > start_of_text)
                    for mine, spans in zip(own, tokenized["offset_mapping"], strict=True)
                ]
            ids = tokenized["input_ids"]
            order = sorted((row for row in range(len(window)) if own[row].any()), key=lambda row: len(ids[row]))
            for first in range(0, len(order), self.config.batch_size):
                rows = order[first : first + self.config.batch_size]
                counted = [own[row] if start_of_text else np.ones(len(ids[row]), int) for row in rows]
                yield start + np.array(rows), [ids[row] for row in rows], counted

    def _load(self) -> tuple[Backbone, Any, str, bool]:
        if self._loaded is None:
            from genre.llm.backbone import load_backbone
            from genre.llm.blocks import cut
            from genre.llm.reading import sentence_settings

            config = self.config
            pooling, normalize = (config.pooling, False) if config.pooling != "auto" else sentence_settings(self.where)
            backbone = load_backbone(self.where, device=config.device, precision=config.precision)
            if config.prefix.strip() and not backbone.tokenizer.is_fast:
                raise ValueError(f"encoder language_model: prefix: {config.model} has no tokenizer.json to find the prefix's tokens by")
            block = cut(backbone, config.layer)
            self._loaded = backbone, block, pooling or "mean", normalize if config.normalize is None else config.normalize
        return self._loaded


def pool(hidden_BTD: Tensor, mask_BT: Tensor, own: list[npt.NDArray[np.int_]], how: str) -> Tensor:
    """One vector a text: the mean of the tokens that count, the first token's state, or the last one's."""
    import torch

    if hidden_BTD.shape[:2] != mask_BT.shape or len(own) != len(mask_BT):
        raise ValueError(f"hidden states {tuple(hidden_BTD.shape)}, mask {tuple(mask_BT.shape)}, {len(own)} texts")
    if how == "cls":
        return hidden_BTD[:, 0]
    if how == "last":
        return hidden_BTD[torch.arange(len(mask_BT)), mask_BT.sum(dim=1) - 1]
    counts_BT = torch.zeros(mask_BT.shape)
    for row, counted in enumerate(own):
        counts_BT[row, : len(counted)] = torch.from_numpy(counted)
    return torch.einsum("btd,bt->bd", hidden_BTD, counts_BT) / counts_BT.sum(dim=1, keepdim=True)
