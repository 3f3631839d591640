"""A language model read for its hidden states: its files, its tokenizer, one of its layers."""

# B texts, T tokens, D hidden size

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer
from transformers.utils import cached_file, logging

from genre.training import choose_device

POOLING_FLAGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last"}


@dataclass(frozen=True)
class Backbone:
    """A tokenizer, and the blocks of a model up to the layer that is read."""

    tokenizer: Any
    model: nn.Module
    block: nn.Module | None
    device: torch.device

    @property
    def dim(self) -> int:
        """Width of the hidden states."""
        return int(self.model.config.hidden_size)  # type: ignore[union-attr, arg-type]

    @property
    def limit(self) -> int:
        """The most tokens it can read."""
        return int(min(self.tokenizer.model_max_length, getattr(self.model.config, "max_position_embeddings", None) or math.inf, 10**9))

    @torch.inference_mode()
    def hidden_BTD(self, token_ids: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Hidden states of the layer in float32, and the mask of what is no padding, both padded on the right."""
        longest = max(len(ids) for ids in token_ids)
        pad = self.tokenizer.pad_token_id
        ids_BT = torch.full((len(token_ids), longest), 0 if pad is None else pad)
        mask_BT = torch.zeros_like(ids_BT)
        for row, ids in enumerate(token_ids):
            ids_BT[row, : len(ids)] = torch.tensor(ids)
            mask_BT[row, : len(ids)] = 1
        seen: list[Tensor] = []
        hook = None
        if self.block is not None:
            hook = self.block.register_forward_hook(lambda _, __, out: seen.append(out if isinstance(out, Tensor) else out[0]))
        try:
            out = self.model(input_ids=ids_BT.to(self.device), attention_mask=mask_BT.to(self.device))
        finally:
            if hook is not None:
                hook.remove()
        hidden_BTD = seen[0] if seen else out.last_hidden_state
        return hidden_BTD.float().cpu(), mask_BT


def load_backbone(name: str, layer: int | float | None, device: Literal["auto", "cpu", "cuda"], precision: str) -> Backbone:
    """Read a model from a folder or the hub, and cut off the layers above the one that is read.

    Raises:
        FileNotFoundError: a file is missing, or the hub does not give it.
        ValueError: it has no such layer, or there is no such device.
    """
    place = choose_device(device)
    # On CPUs without native support bfloat16 is slower by an order of magnitude, so `auto` keeps it for GPUs.
    half = precision == "bfloat16" or (precision == "auto" and place.type == "cuda")
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # it would draw one for the weights, terminal or not
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModel.from_pretrained(name, use_safetensors=True, dtype=torch.bfloat16 if half else torch.float32)
    except OSError as error:
        raise FileNotFoundError(f"encoder language_model: model {name!r} cannot be read: {error}") from error
    finally:
        if bars:
            logging.enable_progress_bar()
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    block = None if layer is None else cut(model, layer, name)
    return Backbone(tokenizer, model.eval().to(place), block, place)


def cut(model: nn.Module, layer: int | float, name: str) -> nn.Module | None:
    """Drop the blocks above a layer and give the layer's block; None if it is the last one, whose final norm then counts too."""
    depth = int(model.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]
    wanted = layer if isinstance(layer, int) else max(1, round(layer * depth))
    wanted = depth + 1 + wanted if wanted < 0 else wanted
    if not 1 <= wanted <= depth:
        raise ValueError(f"encoder language_model: layer {layer}: {name} has layers 1 to {depth} (or -{depth} to -1, or a fraction)")
    if wanted == depth:
        return None
    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == depth]
    if not stacks:
        raise ValueError(f"encoder language_model: the layers of {name} are not a list of {depth} blocks; leave out `layer`")
    del stacks[0][wanted:]
    return stacks[0][wanted - 1]


def sentence_settings(name: str) -> tuple[str | None, bool]:
    """How a sentence-transformers model is pooled and whether it is normalised; (None, False) for any other model.

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
                raise ValueError(f"encoder language_model: {name} pools by {modes}; set `pooling` to mean, cls or last to do that instead")
        elif kind not in ("Transformer", "Normalize"):
            raise ValueError(f"encoder language_model: {name} has a {kind} layer on top, which is not read; set `pooling` to go without")
    return pooling, any(module["type"].endswith("Normalize") for module in modules)


def _json_of(name: str, file: str) -> Any:
    found = cached_file(
        name, file, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )  # fmt: skip
    return None if found is None else json.loads(Path(found).read_text())
