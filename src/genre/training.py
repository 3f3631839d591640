"""The one training loop: AdamW, early stopping, and a checkpoint from which a killed run goes on bit for bit."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from genre.checkpoint import Checkpoint, Progress
from genre.component import Settings
from genre.progress import track

if TYPE_CHECKING:  # configs are read without torch
    import torch
    from torch import Tensor, nn, optim
    from torch.utils.tensorboard import SummaryWriter

B = TypeVar("B")
Batches = Callable[[int, np.random.Generator], Sequence[B]]
"""The batches of an epoch, from its number and a generator that is the same whenever this epoch is begun."""


class Placement(Settings):
    """Where a network runs, and how exactly."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where; auto takes a GPU if there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products; auto takes bfloat16 only where the processor multiplies it in hardware."""


class Optimisation(Placement):
    """How a network is trained; rankers and language models inherit these fields in their own configs."""

    epochs: PositiveInt = 30
    """Passes over the data at most; without validation, exactly."""
    patience: PositiveInt = 10
    """Stop after this many epochs without a better validation figure; the best weights are kept."""
    learning_rate: PositiveFloat = 1e-3
    """Of AdamW, after the warm-up."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """What the learning rate does after the warm-up; linear and cosine end at zero with the last epoch, so `epochs` matters to them."""
    warmup_steps: NonNegativeInt = 100
    """The learning rate rises from zero over this many steps."""
    weight_decay: NonNegativeFloat = 0.01
    """Decoupled (AdamW), on matrices only."""
    beta2: float = Field(default=0.98, gt=0, lt=1)
    """Decay of AdamW's second moment."""
    accumulate: PositiveInt = 1
    """Batches whose gradients are averaged before a step: larger steps in the memory of smaller ones."""
    gradient_clip: NonNegativeFloat = 1.0
    """Largest norm of the whole gradient; 0 never clips."""
    checkpoint_seconds: PositiveFloat = 60.0
    """A checkpoint is written after every epoch, and within an epoch whenever this long has passed since the last."""


def train(
    model: nn.Module,
    batches: Batches[B],
    loss: Callable[[B], Tensor],
    folder: Path,
    settings: Optimisation,
    validate: Callable[[], float] | None = None,
    seed: int = 0,
    what: str = "training",
) -> Progress:
    """Train `model` in place and leave it, in evaluation mode, with the best weights (the last ones without validation).

    The data's order comes from (seed, epoch) and torch's generator is seeded from (seed, epoch, step), so neither needs saving: killed at
    any moment and called again with the same arguments and folder, the final weights are the same to the last bit. torch's global
    generator is left as it was found.

    Args:
        batches: see `Batches`; never empty. A batch is built when its place is asked for.
        loss: a scalar to minimise, from one batch; it draws from torch's generator only. With `accumulate`, a step takes several batches.
        folder: gets `checkpoint.safetensors`, `history.jsonl` and `tensorboard/`.
        settings: these and all fields that a subclass adds must be the same for a folder to be resumed.
        validate: a figure to maximise, called after every epoch in evaluation mode; NaN is worse than anything.

    Returns:
        Where it ended: the best epoch, and as `history` the lines of `history.jsonl` (epoch, loss, validation, and the seconds of all
        attempts from the start).

    Raises:
        ValueError: nothing to train on, a loss that is not finite, or a checkpoint of other settings in the folder.
    """
    import torch
    from torch.utils.tensorboard import SummaryWriter

    folder.mkdir(parents=True, exist_ok=True)
    device = next(model.parameters()).device
    low = low_precision(settings.precision, device)
    optimizers = _optimizers(model, settings)
    checkpoint = Checkpoint(folder / "checkpoint.safetensors", {**settings.model_dump(mode="json"), "seed": seed})
    progress, best = checkpoint.read(model, optimizers)
    writer = SummaryWriter(str(folder / "tensorboard"), purge_step=progress.steps)
    clock = _Clock(progress)
    # One bar over all epochs: an epoch of a small catalogue is over before a bar of its own would show.
    steps = _Steps(batches, settings.epochs, settings.accumulate, seed, progress)
    loss_sum = torch.tensor(progress.loss_sum, dtype=torch.float64, device=device)
    model.train()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for epoch, step, n, count, together in track(steps, what, steps.total, progress.steps):
            torch.manual_seed(int(np.random.SeedSequence([seed, epoch, step]).generate_state(1)[0]))
            for batch in together:
                with torch.autocast(device.type, torch.bfloat16, enabled=low):
                    value = loss(batch) / count  # type: ignore[arg-type]
                value.backward()  # type: ignore[no-untyped-call]
                loss_sum += value.detach()
            rate = settings.learning_rate * rate_factor(settings, progress.steps, (epoch + step / n) / settings.epochs)
            _update(model, optimizers, rate, settings.gradient_clip)
            progress.step, progress.steps = step + 1, progress.steps + 1
            if step + 1 < n and clock.since_saved() < settings.checkpoint_seconds:
                continue
            progress.loss_sum = float(loss_sum)
            if not math.isfinite(progress.loss_sum):
                raise ValueError(f"{what}: the loss is not finite in epoch {epoch}; lower learning_rate or set precision: float32")
            if step + 1 == n:
                best = _end_epoch(model, progress, n, validate, best, settings)
                loss_sum.zero_()
            clock.tell(progress)
            if step + 1 == n:
                _record(progress, folder, writer, what)
            checkpoint.write(model, optimizers, best, progress)
            if progress.finished:
                break
    writer.close()
    if best:
        model.load_state_dict(best)
    model.eval()
    return progress


def rate_factor(settings: Optimisation, steps: int, share: float) -> float:
    """What the learning rate is multiplied by after so many steps, `share` of the way to the last epoch."""
    warm = min(1.0, (steps + 1) / max(settings.warmup_steps, 1))
    fall = {"constant": 1.0, "linear": 1.0 - share, "cosine": 0.5 + 0.5 * math.cos(math.pi * share)}
    return warm * fall[settings.schedule]


def choose_device(wish: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device meant.

    Raises:
        ValueError: `cuda` was asked for and there is none.
    """
    import torch

    if wish == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: cuda was asked for, but torch sees no GPU; use device: auto or cpu")
    return torch.device("cuda" if wish != "cpu" and torch.cuda.is_available() else "cpu")


def low_precision(wish: Literal["auto", "float32", "bfloat16"], device: torch.device) -> bool:
    """Whether matrix products run in bfloat16.

    Decided by the processor's instructions and not by a stopwatch, which could decide otherwise when a killed run goes on. Where they
    are missing bfloat16 is emulated, many times slower than float32; where they are there it was measured 2 to 4 times faster.
    """
    import torch

    if wish != "auto":
        return wish == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capable = (torch.cpu._is_avx512_bf16_supported, torch.cpu._is_amx_tile_supported)
    return any(bool(ask()) for ask in capable)


class _Steps:
    """(epoch, step, steps of this epoch, batches of this step, these batches) from where the progress stands; each is built when its turn
    comes. `total` is an estimate: epochs differ in length."""

    def __init__(self, batches: Batches[B], epochs: int, together: int, seed: int, progress: Progress) -> None:
        self._batches, self._epochs, self._seed, self._from = batches, epochs, seed, (progress.epoch, progress.step)
        self._together = together
        self._first = self._epoch(progress.epoch)
        if not len(self._first):
            raise ValueError("there is nothing to train on: no batch could be made")
        self._finished = progress.finished
        self.total = epochs * self._count(self._first)

    def _count(self, found: Sequence[object]) -> int:
        return -(-len(found) // self._together)

    def _epoch(self, epoch: int) -> Sequence[object]:
        return self._batches(epoch, np.random.default_rng([self._seed, epoch]))

    def __iter__(self) -> Iterator[tuple[int, int, int, int, Iterator[object]]]:
        first_epoch, first_step = self._from
        for epoch in range(first_epoch, 0 if self._finished else self._epochs):
            found = self._first if epoch == first_epoch else self._epoch(epoch)
            for step in range(first_step if epoch == first_epoch else 0, self._count(found)):
                places = range(step * self._together, min((step + 1) * self._together, len(found)))
                yield epoch, step, self._count(found), len(places), map(found.__getitem__, places)


class _Clock:
    """Adds this attempt's seconds to those of the attempts before."""

    def __init__(self, progress: Progress) -> None:
        self._cpu, self._wall = progress.cpu_seconds - time.process_time(), progress.seconds - time.monotonic()
        self._saved = time.monotonic()

    def since_saved(self) -> float:
        return time.monotonic() - self._saved

    def tell(self, progress: Progress) -> None:
        progress.cpu_seconds, progress.seconds = round(self._cpu + time.process_time(), 3), round(self._wall + time.monotonic(), 3)
        self._saved = time.monotonic()


def _optimizers(model: nn.Module, settings: Optimisation) -> list[optim.Optimizer]:
    """AdamW, and for embeddings with sparse gradients an Adam that touches only their rows."""
    from torch import nn, optim

    rows = [m.weight for m in model.modules() if isinstance(m, nn.Embedding) and m.sparse]
    dense = [p for p in model.parameters() if p.requires_grad and not any(p is row for row in rows)]
    groups = [
        {"params": [p for p in dense if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in dense if p.ndim <= 1], "weight_decay": 0.0},
    ]
    betas = (0.9, settings.beta2)
    found: list[optim.Optimizer] = [optim.AdamW([g for g in groups if g["params"]], lr=settings.learning_rate, betas=betas, fused=True)]
    if rows:
        found.append(optim.SparseAdam(rows, lr=settings.learning_rate, betas=betas))
    return found


def _update(model: nn.Module, optimizers: list[optim.Optimizer], rate: float, limit: float) -> None:
    """One step, after scaling the whole gradient down to a norm of `limit`, and gradients gone."""
    import torch

    gradients = []
    for parameter in model.parameters():
        if parameter.grad is not None:
            if parameter.grad.is_sparse:
                parameter.grad = parameter.grad.coalesce()
            gradients.append(parameter.grad.values() if parameter.grad.is_sparse else parameter.grad)
    if limit:
        norm = torch.stack([g.norm() for g in gradients]).norm()
        torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _end_epoch(
    model: nn.Module, progress: Progress, n: int, validate: Callable[[], float] | None, best: dict[str, Tensor], settings: Optimisation
) -> dict[str, Tensor]:
    """Validate, note the epoch, and decide whether it was the last; gives the best weights so far."""
    figure = None
    if validate is not None:
        model.eval()
        figure = validate()
        model.train()
        if progress.best is None or figure > progress.best:
            # A first figure that is NaN is kept as the worst there is, so that there are weights to come back to.
            progress.best, progress.best_epoch = (-math.inf if math.isnan(figure) else figure), progress.epoch
            best = {name: value.detach().clone() for name, value in model.state_dict().items()}
    progress.history.append({"epoch": progress.epoch, "loss": progress.loss_sum / n, "validation": figure})
    progress.epoch, progress.step, progress.loss_sum = progress.epoch + 1, 0, 0.0
    waited = progress.epoch - 1 - progress.best_epoch
    progress.finished = progress.epoch >= settings.epochs or (validate is not None and waited >= settings.patience)
    return best


def _record(progress: Progress, folder: Path, writer: SummaryWriter, what: str) -> None:
    """The epoch's line in `history.jsonl` and in TensorBoard. The file is written whole: a resumed run may have lost its last epoch."""
    line = progress.history[-1]
    line |= {"cpu_seconds": progress.cpu_seconds, "seconds": progress.seconds}
    temporary = folder / "history.new"
    temporary.write_text("".join(json.dumps(each) + "\n" for each in progress.history))
    temporary.replace(folder / "history.jsonl")
    for key in ("loss", "validation"):
        if line[key] is not None:
            writer.add_scalar(f"{what}/{key}", line[key], progress.steps)
    writer.flush()
