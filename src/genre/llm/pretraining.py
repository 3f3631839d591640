"""Pretraining: a causal or masked language model learns from unlabelled text, and is measured on text that it never saw."""

# B rows, T tokens of a row, P predicted places, V vocabulary

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from genre.llm.backbone import Backbone, load_backbone
from genre.llm.blocks import list_of
from genre.llm.memory import advice
from genre.llm.packing import Packed, Piece, pack, plan
from genre.llm.pretrain_settings import PretrainConfig
from genre.llm.quiet import quiet
from genre.llm.scratch import make
from genre.losses import full_softmax
from genre.training import low_precision, train

log = logging.getLogger(__name__)

LOWER = (
    "pretrain.batch_size (and raise pretrain.accumulate) or pretrain.max_tokens, set pretrain.gradient_checkpointing: true, or pretrain.top"
)


class Untied(nn.Module):
    """A model whose shared tensors are named once, as a checkpoint needs them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Every tensor under the first of its names."""
        found: dict[tuple[int, torch.Size], tuple[str, Tensor]] = {}
        for name, value in super().state_dict(*args, **kwargs).items():
            found.setdefault((value.data_ptr(), value.shape), (name, value))
        return dict(found.values())

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """What `state_dict` gave; the other names follow."""
        if strict and state.keys() != self.state_dict().keys():
            raise RuntimeError(f"these weights have other names: {sorted(state.keys() ^ self.state_dict().keys())[:3]}")
        return super().load_state_dict(state, strict=False, assign=assign)


class Reader:
    """A model with its loss: of the next token (causal), or of hidden ones (masked)."""

    def __init__(self, backbone: Backbone, hidden_share: float) -> None:
        self.backbone, self.hidden_share = backbone, hidden_share
        self.causal = backbone.kind == "causal"
        tokenizer = backbone.tokenizer
        if not self.causal and tokenizer.mask_token_id is None:
            raise ValueError(f"pretrain: {backbone.name} has no mask token to hide words with")
        self._special = torch.tensor(sorted(set(tokenizer.all_special_ids)))
        self._plain = self.causal and _plain_head(backbone)

    def loss(self, packed: Packed) -> tuple[Tensor, int]:
        """The mean over the predicted places, and how many there are. Which tokens are hidden is drawn from torch's generator."""
        return self._next(packed) if self.causal else self._hidden(packed)

    def _next(self, packed: Packed) -> tuple[Tensor, int]:
        has_BT, target_P = packed.next_token()
        device, model = self.backbone.device, self.backbone.model
        has_BT, target_P = has_BT.to(device), target_P.to(device)
        inputs = {"use_cache": False, **self._inputs(packed.ids_BT, packed)}
        if not self._plain:
            logits_PV = model(**inputs).logits[has_BT]
            return nn.functional.cross_entropy(logits_PV.float(), target_P), len(target_P)
        hidden_PD = model.base_model(**inputs).last_hidden_state[has_BT]
        return full_softmax(hidden_PD, model.get_output_embeddings().weight, target_P), len(target_P)

    def _hidden(self, packed: Packed) -> tuple[Tensor, int]:
        tokenizer, ids_BT = self.backbone.tokenizer, packed.ids_BT
        free_BT = (packed.document_BT > 0) & ~torch.isin(ids_BT, self._special)
        chosen_BT = free_BT & (torch.rand(ids_BT.shape) < self.hidden_share)
        # As in BERT (Devlin et al., 2019): of ten chosen, eight are hidden, one becomes another, one stays.
        fate_BT = torch.rand(ids_BT.shape)
        other_BT = torch.randint(len(tokenizer), ids_BT.shape)
        shown_BT = torch.where(chosen_BT & (fate_BT < 0.8), tokenizer.mask_token_id, ids_BT)
        shown_BT = torch.where(chosen_BT & (fate_BT >= 0.9), other_BT, shown_BT)
        logits_BTV = self.backbone.model(**self._inputs(shown_BT, packed)).logits
        chosen, target_P = chosen_BT.to(logits_BTV.device), ids_BT[chosen_BT].to(logits_BTV.device)
        if not len(target_P):  # a batch of two words, none of them chosen
            return logits_BTV.sum() * 0.0, 0
        return nn.functional.cross_entropy(logits_BTV[chosen].float(), target_P), len(target_P)

    def _inputs(self, ids_BT: Tensor, packed: Packed) -> dict[str, Tensor]:
        device = self.backbone.device
        return {
            "input_ids": ids_BT.to(device), "position_ids": packed.position_BT.to(device),
            "attention_mask": packed.mask(self.causal).to(device),
        }  # fmt: skip


def pretrain(settings: PretrainConfig, texts: Iterable[str], seed: int, folder: Path) -> dict[str, Any]:
    """Train on items' texts and the corpus, and write the model's folder beside `metrics.json`; a killed call goes on in the same folder.

    Where no epoch lowers the held-out loss, the model is kept as it was, and the metrics say so.

    Raises:
        ValueError: there is too little text, or a corpus has no text in it.
        RuntimeError: memory ran out; the message names the settings to lower.
    """
    folder.mkdir(parents=True, exist_ok=True)
    documents = documents_of(texts, settings.corpus)
    mixed = np.random.default_rng([seed, 2]).permutation(len(documents))
    held = max(1, round(settings.held_out * len(documents)))
    if len(documents) <= held:
        raise ValueError(
            f"pretrain: {len(documents)} documents are too few to learn from and to measure by; say under data.text what items say"
        )
    learnt, kept = ([documents[i] for i in np.sort(part)] for part in (mixed[held:], mixed[:held]))
    if settings.scratch is not None and not (folder / "scratch" / "tokenizer.json").is_file():
        make(learnt, settings.scratch, seed, folder / "scratch")
    where = settings.model or str(folder / "scratch")
    with advice("pretrain", LOWER):
        backbone = load_backbone(where, head=True, device=settings.device)
        _thaw(backbone, settings)
        size = min(settings.max_tokens, backbone.limit)
        reader = Reader(backbone, settings.hidden_share)
        ids, kept_ids = (_ids(backbone, part) for part in (learnt, kept))
        low = low_precision(settings.precision, backbone.device)
        log.info(
            "pretrain: %s documents, %s tokens; %s, %d threads, matrix products in %s",
            f"{len(ids):,}", f"{sum(map(len, ids)):,}", backbone.device, torch.get_num_threads(), "bfloat16" if low else "float32",
        )  # fmt: skip

        def batches(epoch: int, rng: np.random.Generator) -> Sequence[list[list[Piece]]]:
            rows = plan([len(one) for one in ids], size, rng)
            return [rows[start : start + settings.batch_size] for start in range(0, len(rows), settings.batch_size)]

        def loss(rows: list[list[Piece]]) -> Tensor:
            return reader.loss(pack(rows, ids, backbone.tokenizer.pad_token_id))[0]

        def measure() -> float:
            return held_out_loss(reader, kept_ids, size, settings.batch_size, low)

        model = Untied(backbone.model)
        before = measure()
        progress = train(model, batches, loss, folder / "training", settings, lambda: -measure(), seed, "pretrain")
        after = -(progress.best if progress.best is not None else -math.inf)
        helped = after < before
        if not helped:
            log.info("pretrain: no epoch lowered the held-out loss (%.3f); the model is kept as it was", before)
            backbone = load_backbone(where, head=True, device="cpu")
    metrics = {
        "before": _figures(before), "after": _figures(after), "helped": helped, "epochs": progress.best_epoch + 1,
        "documents": len(learnt), "held_out_documents": len(kept), "tokens": sum(map(len, ids)), "kind": backbone.kind,
        "seconds": progress.seconds, "cpu_seconds": progress.cpu_seconds, "precision": "bfloat16" if low else "float32",
    }  # fmt: skip
    with quiet():
        backbone.model.save_pretrained(folder, max_shard_size="1000GB")
        backbone.tokenizer.save_pretrained(folder)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    (folder / "training" / "checkpoint.safetensors").unlink()
    return metrics


@torch.no_grad()
def held_out_loss(reader: Reader, ids: Sequence[Sequence[int]], size: int, batch_size: int, low: bool) -> float:
    """Mean loss a predicted token, always over the same rows and the same hidden tokens."""
    rows = plan([len(one) for one in ids], size, np.random.default_rng(0))
    device = reader.backbone.device
    total, places = 0.0, 0
    with torch.random.fork_rng(devices=[]), torch.autocast(device.type, torch.bfloat16, enabled=low):
        torch.manual_seed(0)
        for start in range(0, len(rows), batch_size):
            value, n = reader.loss(pack(rows[start : start + batch_size], ids, reader.backbone.tokenizer.pad_token_id))
            total, places = total + float(value) * n, places + n
    return total / places if places else math.nan


def documents_of(texts: Iterable[str], corpus: Sequence[Path]) -> list[str]:
    """Every distinct text that says something.

    Raises:
        ValueError: a file has no text, or none that can be read.
    """
    found = list(texts)
    for file in corpus:
        found += _corpus(file)
    return [text for text in dict.fromkeys(one.strip() for one in found) if text]


def _corpus(file: Path) -> list[str]:
    if file.suffix == ".txt":
        return file.read_text(encoding="utf-8").splitlines()
    readers = {".parquet": pl.read_parquet, ".csv": lambda f: pl.read_csv(f, infer_schema=False), ".jsonl": pl.read_ndjson}
    if file.suffix not in readers:
        raise ValueError(f"pretrain.corpus: {file} is none of .txt, {', '.join(readers)}")
    table = readers[file.suffix](file)
    if "text" not in table.columns:
        raise ValueError(f"pretrain.corpus: {file} has no column `text`; it has {', '.join(table.columns)}")
    return table["text"].cast(pl.String).drop_nulls().to_list()


def _ids(backbone: Backbone, texts: Sequence[str]) -> list[list[int]]:
    tokenizer = backbone.tokenizer
    with quiet():  # longer than the model can read is fine: it is cut into rows
        ids: list[list[int]] = tokenizer(list(texts), add_special_tokens=backbone.kind == "masked")["input_ids"]
    ends = [tokenizer.eos_token_id] if backbone.kind == "causal" and tokenizer.eos_token_id is not None else []
    return [one + ends for one in ids if one]


def _thaw(backbone: Backbone, settings: PretrainConfig) -> None:
    model = backbone.model
    if settings.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    if settings.top is None:
        return
    if settings.top > backbone.depth:
        raise ValueError(f"pretrain.top: {settings.top} blocks shall learn, {backbone.name} has {backbone.depth}")
    model.requires_grad_(False)
    list_of(backbone)[backbone.depth - settings.top :].requires_grad_(True)


def _plain_head(backbone: Backbone) -> bool:
    """Whether logits are products with the output matrix and nothing else, so that they need not be held whole."""
    model, head = backbone.model, backbone.model.get_output_embeddings()
    if not hasattr(head, "weight") or getattr(head, "bias", None) is not None or model.base_model is model:
        return False
    ids_BT = torch.tensor([[0, 1, 2]], device=backbone.device)
    with torch.inference_mode():
        hidden_BTD = model.base_model(input_ids=ids_BT, use_cache=False).last_hidden_state
        return bool(torch.allclose(hidden_BTD @ head.weight.T, model(input_ids=ids_BT, use_cache=False).logits, rtol=1e-3, atol=1e-3))


def _figures(loss: float) -> dict[str, float]:
    return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
