"""The blocks (layers) of a language model: cut off those above the one that is read, and get its hidden states."""

# B texts, T tokens, D hidden size

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from genre.llm.backbone import Backbone

Layer = int | float | None
"""1 is the lowest, -1 the last, 0.5 the middle; None is what the whole model gives."""


def layer_number(layer: Layer, backbone: Backbone) -> int:
    """A layer as a number from 1 to the depth.

    Raises:
        ValueError: the model has no such layer.
    """
    depth = backbone.depth
    wanted = depth if layer is None else layer if isinstance(layer, int) else max(1, round(layer * depth))
    wanted = depth + 1 + wanted if wanted < 0 else wanted
    if not 1 <= wanted <= depth:
        raise ValueError(f"layer {layer}: {backbone.name} has layers 1 to {depth} (or -{depth} to -1, or a fraction)")
    return wanted


def blocks_of(backbone: Backbone) -> nn.ModuleList:
    """The list of blocks, lowest first.

    Raises:
        ValueError: the model is not built as one.
    """
    stacks = [module for module in backbone.model.modules() if isinstance(module, nn.ModuleList) and len(module) == backbone.depth]
    if not stacks:
        raise ValueError(f"the layers of {backbone.name} are not a list of {backbone.depth} blocks; leave out `layer`")
    return stacks[0]


def cut(backbone: Backbone, layer: Layer) -> nn.Module | None:
    """Drop the blocks above a layer and give the layer's block; None if it is the last one, whose final norm then counts too."""
    wanted = layer_number(layer, backbone)
    if wanted == backbone.depth:
        return None
    blocks = blocks_of(backbone)
    del blocks[wanted:]
    backbone.model.config.num_hidden_layers = wanted
    if getattr(backbone.model.config, "layer_types", None):
        backbone.model.config.layer_types = backbone.model.config.layer_types[:wanted]
    block: nn.Module = blocks[wanted - 1]
    return block


def padded(token_ids: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Token ids and the mask of what is no padding, (B, T) both, padded on the right."""
    longest = max(len(ids) for ids in token_ids)
    ids_BT = torch.full((len(token_ids), longest), pad)
    mask_BT = torch.zeros_like(ids_BT)
    for row, ids in enumerate(token_ids):
        ids_BT[row, : len(ids)] = torch.tensor(ids)
        mask_BT[row, : len(ids)] = 1
    return ids_BT, mask_BT


def hidden_states(backbone: Backbone, block: nn.Module | None, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """What a block gives, in float32; None: what the whole model gives, after its final norm."""
    seen: list[Tensor] = []
    hook = None
    if block is not None:
        hook = block.register_forward_hook(lambda _, __, out: seen.append(first_of(out)))
    try:
        out = backbone.model(input_ids=ids_BT.to(backbone.device), attention_mask=mask_BT.to(backbone.device))
    finally:
        if hook is not None:
            hook.remove()
    states: Tensor = seen[0] if seen else out.last_hidden_state
    return states.float()


def first_of(out: Any) -> Tensor:
    """Some architectures' blocks give a tuple whose first part is the states."""
    states: Tensor = out if isinstance(out, Tensor) else out[0]
    return states
