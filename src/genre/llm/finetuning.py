"""Fine-tuning: the top blocks of a language model learn vectors from interactions, at the cost of these blocks alone."""

# N texts (items, then questions), U fresh texts of a step, D hidden size, K vector size

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genre.checkpoint import Progress
from genre.component import build
from genre.llm.backbone import load_backbone
from genre.llm.bank import Bank, View
from genre.llm.blocks import Blocks, cut, layer_number
from genre.llm.finetune_settings import FinetuneConfig
from genre.llm.memory import advice
from genre.llm.model_files import cache_folder
from genre.llm.objectives import Objective, TuningData
from genre.llm.pooling import Pooling, Projection
from genre.llm.prefix_cache import PrefixCache
from genre.llm.quiet import quiet
from genre.llm.reading import Reading
from genre.llm.tokens import tokenize
from genre.llm.trainable import merge, thaw
from genre.training import Optimisation, choose_device, low_precision, train

log = logging.getLogger(__name__)

LOWER = "finetune.places, finetune.max_tokens or finetune.objective.fresh"


class Tuner(nn.Module):
    """What learns, and only that: its weights are what a checkpoint holds. The frozen rest is reached through `prefix`."""

    def __init__(self, prefix: PrefixCache, upper: nn.ModuleList, pooling: Pooling, size: int, settings: FinetuneConfig) -> None:
        super().__init__()
        self.upper, self.pooling = upper, pooling
        self.projection: Projection | None = None
        self.network: nn.Module | None = None
        self.bank = Bank(len(prefix.tokens), size)
        self._prefix, self._settings = [prefix], settings  # in a list: its model's weights are none of ours

    @property
    def prefix(self) -> PrefixCache:
        """The frozen half."""
        return self._prefix[0]

    def pooled(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The rows that say something, and their texts' pooled hidden states (U, D)."""
        batches = self.prefix.tokens.batches(rows, len(rows) or 1, self._settings.places)
        device, found = self.prefix.blocks.backbone.device, []
        for batch in batches:
            states_BTD, ids_BT, mask_BT, counted_BT = self.prefix.states(batch)
            hidden_BTD = self.prefix.blocks.upper(self.prefix.first, states_BTD, ids_BT, mask_BT)
            found.append(self.pooling(hidden_BTD, mask_BT.to(device), counted_BT))
        order = torch.tensor([row for batch in batches for row in batch], dtype=torch.long, device=device)
        return order, torch.cat(found) if found else torch.empty(0, self.prefix.blocks.backbone.dim, device=device)

    def vectors(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The rows that say something, and their vectors (U, K)."""
        order, pooled_UD = self.pooled(rows)
        return order, pooled_UD if self.projection is None else self.projection(pooled_UD)

    @torch.no_grad()
    def refresh(self) -> View:
        """Every text anew, as the weights are now; the bank holds the vectors from here on."""
        for start in range(0, len(self.prefix.tokens), 4096):
            self.bank.put(*self.vectors(range(start, min(start + 4096, len(self.prefix.tokens)))))
        return View.still(self.bank)


def finetune(settings: FinetuneConfig, where: str, texts: Sequence[str], data: TuningData, folder: Path) -> dict[str, Any]:
    """Fine-tune a model on items' texts and write it, as a folder that an encoder reads, beside `metrics.json`.

    Where no epoch is better on validation than the frozen model with its whitening, that one is what is written, and the metrics say so.
    A killed call goes on in the same folder.

    Args:
        where: the model's folder or name, with `settings.model` resolved.
        texts: of the N items.

    Raises:
        ValueError: the model cannot be cut or run in two halves, or the objective has nothing to learn from.
        RuntimeError: memory ran out; the message names the settings to lower.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device, seed = choose_device(settings.device), data.training.seed
    objective = build(Objective, settings.objective)
    texts = [*texts, *objective.prepare(data)]
    with advice("finetune", LOWER):
        tuner = _begin(settings, where, texts, objective, seed)
        low = low_precision(settings.precision, device)
        precision = "bfloat16" if low else "float32"
        log.info("finetune: %s, %d threads, matrix products in %s", device, torch.get_num_threads(), precision)
        _start_vectors(tuner, settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            tuner.network = objective.network(tuner.bank.vectors_NK.shape[1])
        tuner.to(device)
        _warm_up(tuner, objective, settings, folder, seed)
        before = _figure(objective, View.still(tuner.bank), tuner)
        frozen = {name: value.detach().clone() for name, value in tuner.state_dict().items()}

        def loss(batch: Any) -> Tensor:
            fresh, vectors_UK = tuner.vectors(objective.fresh(batch).tolist())
            value = objective.loss(batch, View(tuner.bank, fresh, vectors_UK))
            tuner.bank.put(fresh, vectors_UK)
            return value

        def validate() -> float:
            figure = objective.validate(tuner.refresh())
            assert figure is not None
            return figure

        progress = Progress()
        if settings.epochs:
            judge = None if before is None else validate
            progress = train(tuner, objective.batches, loss, folder / "training", settings, judge, seed, "finetune")
    helped = bool(settings.epochs) and (before is None or (progress.best is not None and progress.best > before))
    if settings.epochs and not helped:
        log.info("finetune: no epoch was better than the frozen model (%s %.4f); it is kept as it was", objective.figure, before)
        tuner.load_state_dict(frozen)
    epochs = progress.best_epoch + 1 if before is not None else settings.epochs
    metrics = {
        "figure": objective.figure, "frozen": before, "tuned": progress.best, "helped": helped, "epochs": epochs if helped else 0,
        "seconds": progress.seconds, "cpu_seconds": progress.cpu_seconds, "precision": precision, "threads": torch.get_num_threads(),
        "device": str(device),
    }  # fmt: skip
    _write(tuner, settings, objective, folder)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    for file in folder.glob("*/checkpoint.safetensors"):
        file.unlink()
    return metrics


def _begin(settings: FinetuneConfig, where: str, texts: Sequence[str], objective: Objective, seed: int) -> Tuner:
    """The model cut, its top thawed, and the states below it in the cache."""
    backbone = load_backbone(where, device=settings.device)
    whole = layer_number(settings.layer, backbone) == backbone.depth
    cut(backbone, settings.layer)
    if settings.top > backbone.depth:
        raise ValueError(f"finetune.top: {settings.top} blocks shall learn, but {where} has {backbone.depth} below finetune.layer")
    blocks = Blocks(backbone, normed=whole)
    first = backbone.depth - settings.top
    blocks.check_halves(first)
    tokens = tokenize(backbone, texts, settings.prefix, settings.max_tokens)
    if not any(tokens.lengths):
        raise ValueError("finetune: no item has a text; say under data.text what items say")
    prefix = PrefixCache(blocks, first, tokens, cache_folder("prefix"), round(settings.cache_gb * 1e9), settings.cache_precision)
    counts_N = objective.counts()
    prefix.fill(np.argsort(-counts_N, kind="stable").tolist())
    upper = thaw(blocks, first, settings.method, settings.lora_rank, seed)
    pooling = Pooling(settings.pooling, backbone.dim)
    return Tuner(prefix, upper, pooling, min(settings.dim or backbone.dim, backbone.dim), settings)


def _start_vectors(tuner: Tuner, settings: FinetuneConfig) -> None:
    """The frozen model's vectors into the bank, and the projection where their whitening puts it."""
    tuner.eval()
    with torch.no_grad():
        rows, pooled = [], []
        for start in range(0, len(tuner.prefix.tokens), 4096):
            part, vectors_UD = tuner.pooled(range(start, min(start + 4096, len(tuner.prefix.tokens))))
            rows.append(part)
            pooled.append(vectors_UD)
        vectors_ND = torch.cat(pooled)
        if settings.dim is not None:
            tuner.projection = Projection.whitening(vectors_ND.cpu(), min(settings.dim, vectors_ND.shape[1])).to(vectors_ND.device)
            vectors_ND = tuner.projection(vectors_ND)
        tuner.bank.to(vectors_ND.device).put(torch.cat(rows), vectors_ND)


def _warm_up(tuner: Tuner, objective: Objective, settings: FinetuneConfig, folder: Path, seed: int) -> None:
    """What stands on the vectors learns on the frozen ones."""
    if tuner.network is None or not settings.warm_up_epochs:
        return
    still = View.still(tuner.bank)
    shared = settings.model_dump(include=set(Optimisation.model_fields))
    warm = Optimisation.model_validate(
        shared | {"epochs": settings.warm_up_epochs, "learning_rate": settings.warm_up_rate, "patience": settings.warm_up_epochs}
    )
    judged = _figure(objective, still, tuner) is not None
    train(
        tuner.network, objective.batches, lambda batch: objective.loss(batch, still), folder / "warm-up", warm,
        (lambda: objective.validate(still) or 0.0) if judged else None, seed, "finetune, on frozen vectors",
    )  # fmt: skip


def _figure(objective: Objective, view: View, tuner: Tuner) -> float | None:
    tuner.eval()
    return objective.validate(view)


def _write(tuner: Tuner, settings: FinetuneConfig, objective: Objective, folder: Path) -> None:
    """The model with what it learnt merged in, its tokenizer, and how it is read."""
    blocks = tuner.prefix.blocks
    merge(blocks.backbone.model)
    with quiet():
        blocks.backbone.model.save_pretrained(folder, max_shard_size="1000GB")
        blocks.backbone.tokenizer.save_pretrained(folder)
    size = None if tuner.projection is None else tuner.projection.matrix_DK.shape[1]
    reading = Reading(settings.pooling, settings.prefix, settings.max_tokens, blocks.normed, objective.normalizes, size)
    reading.save(folder, tuner.pooling, tuner.projection)
