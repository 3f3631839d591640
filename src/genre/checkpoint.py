"""A training's checkpoint: weights, AdamW's moments, the best weights so far and the place, in one file replaced by one rename."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # configs are read without torch
    from torch import Tensor, nn, optim


@dataclass
class Progress:
    """Where a training stands: all that a resumed run needs to know beside the tensors.

    Attributes:
        epoch: the epoch that comes next or is under way; `step`: batches of it that are done; `steps`: of all epochs.
        loss_sum: over the steps of this epoch.
        best: the best validation figure and `best_epoch` its epoch; None before the first.
        seconds: wall-clock time of all attempts, `cpu_seconds` of all threads.
    """

    epoch: int = 0
    step: int = 0
    steps: int = 0
    loss_sum: float = 0.0
    best: float | None = None
    best_epoch: int = -1
    cpu_seconds: float = 0.0
    seconds: float = 0.0
    finished: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)


class Checkpoint:
    """One safetensors file; its header carries the progress and the settings as JSON, so the two can never disagree."""

    def __init__(self, file: Path, settings: dict[str, Any]) -> None:
        self.file = file
        self.settings = settings

    def read(self, model: nn.Module, optimizers: list[optim.Optimizer]) -> tuple[Progress, dict[str, Tensor]]:
        """Fill model and optimizers, and give the progress and the best weights; a fresh start where there is no file.

        Raises:
            ValueError: it was written with other settings or for another network.
        """
        from safetensors import SafetensorError, safe_open

        if not self.file.is_file():
            return Progress(), {}
        try:
            with safe_open(self.file, framework="pt") as file:
                header = json.loads(file.metadata()["genre"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except SafetensorError as error:
            raise ValueError(f"{self.file} is damaged ({error}): delete it, and the training begins anew") from error
        if header["settings"] != self.settings:
            changed = sorted(k for k in self.settings | header["settings"] if self.settings.get(k) != header["settings"].get(k))
            raise ValueError(f"{self.file} was written with other settings ({', '.join(changed)}): delete it, or train in another folder")
        try:
            model.load_state_dict(_below(tensors, "model."))
        except RuntimeError as error:
            raise ValueError(f"{self.file} belongs to another network: delete it, or train in another folder ({error})") from error
        for name, parameter in model.named_parameters():
            moments = {key: value.to(parameter.device) for key, value in _below(tensors, f"optimizer.{name}/").items()}
            for optimizer in optimizers:
                if moments and any(parameter is p for group in optimizer.param_groups for p in group["params"]):
                    optimizer.state[parameter] = _typed(moments)
        return Progress(**header["progress"]), _below(tensors, "best.")

    def write(self, model: nn.Module, optimizers: list[optim.Optimizer], best: dict[str, Tensor], progress: Progress) -> None:
        """Replace the file; a finished training keeps its weights alone."""
        from safetensors.torch import save_file

        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in best.items()}
        if not progress.finished:
            for name, parameter in model.named_parameters():
                for optimizer in optimizers:
                    for key, value in optimizer.state.get(parameter, {}).items():
                        tensors[f"optimizer.{name}/{key}"] = _tensor(value)
        header = json.dumps({"settings": self.settings, "progress": asdict(progress)})
        temporary = self.file.with_suffix(".new")
        save_file({name: value.detach().contiguous() for name, value in tensors.items()}, temporary, {"genre": header})
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(self.file)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _tensor(value: Any) -> Tensor:
    import torch

    return value if isinstance(value, torch.Tensor) else torch.tensor(value)


def _typed(moments: dict[str, Tensor]) -> dict[str, Any]:
    # SparseAdam counts its steps in a plain int, AdamW in a float tensor.
    return {key: value if value.is_floating_point() else int(value) for key, value in moments.items()}
