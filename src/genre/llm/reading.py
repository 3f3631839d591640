"""How a model wants to be read: what a folder of sentence-transformers, or one of our own that was fine-tuned, says of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from transformers.utils import cached_file

from genre.llm.pooling import Pooling, Projection

POOLING_FLAGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last"}
FILE = "reading.json"


@dataclass(frozen=True)
class Reading:
    """What a folder says; None where it leaves the choice.

    Attributes:
        normed: hidden states are read after the final norm.
        normalize: vectors have length 1.
        projected: there are weights in `reading.safetensors`.
    """

    pooling: str | None = None
    prefix: str | None = None
    max_tokens: int | None = None
    normed: bool | None = None
    normalize: bool = False
    projected: int | None = None

    def save(self, folder: Path, pooling: Pooling, projection: Projection | None) -> None:
        """Write `reading.json` and, of a head that learns, `reading.safetensors`."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=2) + "\n")
        state = {f"pooling.{name}": value for name, value in pooling.state_dict().items()}
        if projection is not None:
            state |= {f"projection.{name}": value for name, value in projection.state_dict().items()}
        save_file({name: value.detach().cpu().contiguous() for name, value in state.items()}, folder / "reading.safetensors")

    def head(self, where: str, how: Any, dim: int) -> tuple[Pooling, Projection | None]:
        """The pooling asked for, with the weights of the folder `where`, and its projection."""
        pooling = Pooling(how, dim)
        projection = Projection(dim, self.projected) if self.projected else None
        file = Path(where) / "reading.safetensors"
        if file.is_file():
            state = load_file(file)
            own = {name.removeprefix("pooling."): value for name, value in state.items() if name.startswith("pooling.")}
            if pooling.state_dict().keys() == own.keys():
                pooling.load_state_dict(own)
            if projection is not None:
                projection.load_state_dict({n.removeprefix("projection."): v for n, v in state.items() if n.startswith("projection.")})
        elif pooling.query_D is not None:
            raise ValueError("pooling: attention has to be learnt: name a model that was fine-tuned with it")
        for part in (pooling, projection):
            if part is not None:
                part.eval().requires_grad_(False)
        return pooling, projection


def reading_of(name: str, ask_pooling: bool = True) -> Reading:
    """What a model's folder says of how it is read; nothing, of any other model.

    Args:
        name: a folder or a name on the hub, as `model_files.locate` gives it.
        ask_pooling: whether what sentence-transformers say is wanted; else nothing on top of the model counts.

    Raises:
        ValueError: it goes on in a way that is not read here.
    """
    if name.endswith(".gguf"):
        return Reading()
    file = Path(name) / FILE
    if file.is_file():
        return Reading(**json.loads(file.read_text()))
    modules = _json_of(name, "modules.json") if ask_pooling else None
    if modules is None:
        return Reading()
    pooling = None
    for module in modules:
        kind = module["type"].rsplit(".", 1)[-1]
        if kind == "Pooling":
            said = _json_of(name, f"{module['path']}/config.json") or {}
            modes = (
                [said["pooling_mode"]] if "pooling_mode" in said else [key for key, on in said.items() if on is True and "_mode_" in key]
            )
            pooling = POOLING_FLAGS.get(modes[0], modes[0]).replace("lasttoken", "last") if len(modes) == 1 else None
            if pooling not in ("mean", "cls", "last"):
                raise ValueError(f"model {name!r} pools by {modes}; set `pooling` to mean, cls or last to do that instead")
        elif kind not in ("Transformer", "Normalize"):
            raise ValueError(f"model {name!r} has a {kind} layer on top, which is not read; set `pooling` to go without")
    return Reading(pooling, normalize=any(module["type"].endswith("Normalize") for module in modules))


def _json_of(name: str, file: str) -> Any:
    found = cached_file(
        name, file, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )  # fmt: skip
    return None if found is None else json.loads(Path(found).read_text())
