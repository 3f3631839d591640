"""How a model wants to be read: what a sentence-transformers folder says of pooling and length."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers.utils import cached_file

POOLING_FLAGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last"}


def sentence_settings(name: str) -> tuple[str | None, bool]:
    """How a sentence-transformers model is pooled and whether it is normalised; (None, False) for any other model.

    Args:
        name: a folder or a name on the hub, as `model_files.locate` gives it.

    Raises:
        ValueError: it goes on in a way that is not read here.
    """
    modules = _json_of(name, "modules.json")
    if modules is None:
        return None, False
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
    return pooling, any(module["type"].endswith("Normalize") for module in modules)


def _json_of(name: str, file: str) -> Any:
    if name.endswith(".gguf"):
        return None
    found = cached_file(
        name, file, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )  # fmt: skip
    return None if found is None else json.loads(Path(found).read_text())
