"""Texts to vectors with a language model as it is: tokens, blocks, pooling, projection."""

# B texts of a batch, D dimensions of the vectors

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genre.llm.backbone import load_backbone
from genre.llm.blocks import Blocks, Layer, cut, layer_number
from genre.llm.pooling import Pooling, Projection
from genre.llm.reading import reading_of
from genre.llm.tokens import padded, tokenize

WINDOW = 16_384
"""Texts tokenized and sorted by length at once."""
MAX_TOKENS = 256


@dataclass(frozen=True)
class Vectoriser:
    """A model and how it is read."""

    blocks: Blocks
    pooling: Pooling
    projection: Projection | None
    prefix: str
    max_tokens: int
    normalize: bool

    @classmethod
    def load(
        cls,
        where: str,
        layer: Layer = None,
        pooling: Literal["auto", "mean", "cls", "last", "attention"] = "auto",
        prefix: str | None = None,
        max_tokens: int | None = None,
        normalize: bool | None = None,
        *,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        precision: Literal["auto", "float32", "bfloat16"] = "float32",
    ) -> Self:
        """Read a model; what is `auto` or None is as its folder says.

        Raises:
            ValueError: the model has no such layer, or goes on in a way that is not read.
        """
        said = reading_of(where, pooling == "auto")
        backbone = load_backbone(where, device=device, precision=precision)
        below_the_top = layer_number(layer, backbone) < backbone.depth
        cut(backbone, layer)
        normed = not below_the_top and said.normed is not False
        how: Any = pooling if pooling != "auto" else said.pooling or "mean"
        head, projection = said.head(where, how, backbone.dim)
        for part in (head, projection):
            if part is not None:
                part.to(backbone.device)
        backbone.model.requires_grad_(False)
        prefix = said.prefix or "" if prefix is None else prefix
        max_tokens = max_tokens or said.max_tokens or MAX_TOKENS
        return cls(Blocks(backbone, normed), head, projection, prefix, max_tokens, said.normalize if normalize is None else normalize)

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self.blocks.backbone.dim if self.projection is None else self.projection.matrix_DK.shape[1]

    def batches(self, texts: Sequence[str], size: int) -> Iterator[tuple[list[int], npt.NDArray[np.float32]]]:
        """Rows and their vectors (B, D), texts of like length together; rows without tokens of their own are left out."""
        backbone = self.blocks.backbone
        for start in range(0, len(texts), WINDOW):
            tokens = tokenize(backbone, texts[start : start + WINDOW], self.prefix, self.max_tokens)
            for rows in tokens.batches(range(len(tokens)), size, size * self.max_tokens):
                batch = padded([tokens.ids[row] for row in rows], [tokens.counted[row] for row in rows], backbone.tokenizer.pad_token_id)
                with torch.inference_mode():
                    yield [start + row for row in rows], self.vectors(*batch).float().cpu().numpy()

    def vectors(self, ids_BT: Tensor, mask_BT: Tensor, counted_BT: Tensor) -> Tensor:
        """Vectors (B, D) of tokens."""
        vectors_BD: Tensor = self.pooling(self.blocks(ids_BT, mask_BT), mask_BT, counted_BT)
        if self.projection is not None:
            vectors_BD = self.projection(vectors_BD)
        if self.normalize:
            vectors_BD = vectors_BD / vectors_BD.norm(dim=1, keepdim=True).clamp(min=1e-12)
        return vectors_BD

    def recipe(self) -> dict[str, Any]:
        """All that decides a text's vector beside the text."""
        parts = {"pooling": self.pooling, "projection": self.projection}
        return {
            "model": fingerprint(self.blocks.backbone.model),
            "tokenizer": tokenizer_fingerprint(self.blocks.backbone.tokenizer),
            **{name: fingerprint(part) for name, part in parts.items() if part is not None},
            "how": self.pooling.how, "normed": self.blocks.normed, "normalize": self.normalize,
            "prefix": self.prefix.rstrip(), "max_tokens": self.max_tokens,
        }  # fmt: skip


def fingerprint(module: torch.nn.Module) -> str:
    """A hash of a network's weights, as they are in memory."""
    found = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()[:24]


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """A hash of what decides how text becomes tokens."""
    said = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else repr(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(said.encode()).hexdigest()[:24]
