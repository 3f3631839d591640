"""A language model from scratch: a tokenizer learnt from your text, and a small Llama or BERT with random weights, as a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from genre.component import Settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = ["<pad>", "<unk>", "<cls>", "<sep>", "<mask>", "<eos>"]


class Scratch(Settings):
    """The shape of a new model."""

    kind: Literal["causal", "masked"] = "causal"
    """causal: a Llama, each token predicted from those before it; masked: a BERT, hidden tokens predicted from both sides."""
    vocabulary: int = Field(8192, ge=300)
    """Tokens at most; they are bytes and the commonest sequences of bytes, so every language can be written."""
    dim: PositiveInt = 256
    """Width of the hidden states."""
    layers: PositiveInt = 6
    """Blocks."""
    heads: PositiveInt = 4
    """Attention heads; must divide dim."""
    max_tokens: PositiveInt = 512
    """The longest text it can read."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Scratch:
        if self.dim % (2 * self.heads):
            raise ValueError(f"dim {self.dim} is not a multiple of twice the heads ({self.heads})")
        return self


def make(texts: Iterable[str], settings: Scratch, seed: int, folder: Path) -> Path:
    """Write a new model's folder: config.json, model.safetensors, tokenizer.json.

    Raises:
        ValueError: there is no text to learn a vocabulary from.
    """
    import torch
    from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from genre.llm.quiet import quiet

    tokenizer = learn_tokenizer(texts, settings)
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>", "eos_token": "<eos>"}
    if settings.kind == "masked":
        names |= {"cls_token": "<cls>", "sep_token": "<sep>"}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=settings.max_tokens, **names)
    sizes: dict[str, Any] = {
        "vocab_size": len(wrapped), "hidden_size": settings.dim, "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads, "max_position_embeddings": settings.max_tokens, "pad_token_id": wrapped.pad_token_id,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        if settings.kind == "causal":
            ends = {"bos_token_id": None, "eos_token_id": wrapped.eos_token_id}
            shape = LlamaConfig(**sizes, **ends, intermediate_size=8 * settings.dim // 3, tie_word_embeddings=True)
            LlamaForCausalLM(shape).save_pretrained(folder)
        else:
            BertForMaskedLM(BertConfig(**sizes, intermediate_size=4 * settings.dim)).save_pretrained(folder)
        wrapped.save_pretrained(folder)
    return folder


def learn_tokenizer(texts: Iterable[str], settings: Scratch) -> Tokenizer:
    """Byte-level byte-pair encoding (Sennrich et al., 2016): no text is unknown to it, whatever the language."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    texts = [text for text in texts if text.strip()]
    if not texts:
        raise ValueError("a model from scratch needs text to learn its vocabulary from: say under data.text what items say")
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=settings.vocabulary, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    if settings.kind == "masked":
        ends = [(name, tokenizer.token_to_id(name)) for name in ("<cls>", "<sep>")]
        tokenizer.post_processor = processors.TemplateProcessing(single="<cls> $A <sep>", special_tokens=ends)
    return tokenizer
