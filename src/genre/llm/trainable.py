"""What of a language model learns: its top blocks, or low-rank additions to them (LoRA: Hu et al., 2021), all else frozen."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from genre.llm.blocks import Blocks


def thaw(blocks: Blocks, first: int, method: Literal["blocks", "lora"], rank: int, seed: int) -> nn.ModuleList:
    """Freeze a model but for its blocks from `first` on (or additions to their matrices), and give these blocks."""
    blocks.backbone.model.requires_grad_(False)
    upper = nn.ModuleList(blocks.list[first:])
    if method == "blocks":
        upper.requires_grad_(True)
        return upper
    from peft import LoraConfig, inject_adapter_in_model

    names = {id(module): name for name, module in blocks.backbone.model.named_modules()}
    targets = [names[id(module)] for module in upper.modules() if isinstance(module, nn.Linear)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=targets)
        inject_adapter_in_model(config, blocks.backbone.model)
    blocks.backbone.model.to(blocks.backbone.device)
    return upper


def merge(model: nn.Module) -> None:
    """Add what low-rank matrices learnt to the weights they stand beside, and take them away; nothing happens where there are none."""
    found = [(name, module) for name, module in model.named_modules() if hasattr(module, "base_layer") and hasattr(module, "merge")]
    for name, module in found:
        module.merge(safe_merge=True)
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, module.base_layer)
    if hasattr(model, "peft_config"):
        del model.peft_config
