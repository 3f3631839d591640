"""The blocks (layers) of a language model: cut, and run in two halves, the lower one once and the upper one at every step."""

# B texts, T tokens, D hidden size

from __future__ import annotations

import contextlib
from collections.abc import Iterator
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


def cut(backbone: Backbone, layer: Layer) -> int:
    """Drop the blocks above a layer, for good; gives how many are left."""
    wanted = layer_number(layer, backbone)
    if wanted < backbone.depth:
        del list_of(backbone)[wanted:]
        config = backbone.model.config
        config.num_hidden_layers = wanted
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:wanted]
    return wanted


class Blocks:
    """The blocks of a bare model (without a head that predicts tokens), to be run whole or from one on.

    The model's own code runs, so its masks and positions are right whatever the architecture: blocks that shall not run are made to hand
    on what came in, or what was stored.
    """

    def __init__(self, backbone: Backbone, normed: bool) -> None:
        """Take a model as it is.

        Args:
            normed: whether hidden states are read after the model's final norm; of a model that was cut they are better read before it.
        """
        self.backbone, self.normed = backbone, normed
        self.list = list_of(backbone)
        self._tuples = False
        hook = self.list[0].register_forward_hook(self._note)
        with torch.no_grad():  # not inference mode: what a model keeps from its first call may be needed for gradients later
            self._call(torch.zeros((1, 1), dtype=torch.long), torch.ones((1, 1), dtype=torch.long))
        hook.remove()

    def __len__(self) -> int:
        return len(self.list)

    def __call__(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Hidden states (B, T, D) of the last block, in float32."""
        return self.upper(0, None, ids_BT, mask_BT)

    def lower(self, n: int, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """What enters block n (counted from 0), in float32."""
        seen: list[Tensor] = []
        hook = self.list[n].register_forward_hook(lambda _, inputs, kwargs, out: seen.append(_states_in(inputs, kwargs)), with_kwargs=True)
        try:
            with self._idle(range(n, len(self.list)), None):
                self._call(ids_BT, mask_BT)
        finally:
            hook.remove()
        return seen[0].float()

    def upper(self, n: int, states_BTD: Tensor | None, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Hidden states of the last block when `states_BTD` enters block n; of the whole model where it is None."""
        seen: list[Tensor] = []
        hook = self.list[-1].register_forward_hook(lambda _, __, out: seen.append(_first_of(out)))
        try:
            with self._idle(range(n), states_BTD):
                out = self._call(ids_BT, mask_BT)
        finally:
            hook.remove()
        states: Tensor = out.last_hidden_state if self.normed else seen[0]
        return states.float()

    @torch.no_grad()
    def check_halves(self, n: int) -> None:
        """Whether what the lower half gives is all that the upper half needs.

        Raises:
            ValueError: it is not, as where blocks hand something beside their states from one to the next.
        """
        ids_BT = torch.arange(1, 9)[None]
        mask_BT = torch.ones_like(ids_BT)
        whole_BTD, why = self(ids_BT, mask_BT), "other states come out"
        try:
            halves_BTD = self.upper(n, self.lower(n, ids_BT, mask_BT), ids_BT, mask_BT) if n else whole_BTD
            fits = torch.allclose(halves_BTD, whole_BTD, rtol=1e-3, atol=1e-3 * float(whole_BTD.abs().mean()))
        except (IndexError, TypeError, ValueError) as error:
            fits, why = False, str(error)
        if not fits:
            raise ValueError(f"{self.backbone.name} cannot be run in two halves ({why}): take another model")

    def below(self, n: int) -> nn.ModuleList:
        """All that decides what enters block n: the blocks below it, and whatever else the model has."""
        others = [child for child in self.backbone.model.children() if not any(module is self.list for module in child.modules())]
        return nn.ModuleList([*others, *self.list[:n]])

    def _call(self, ids_BT: Tensor, mask_BT: Tensor) -> Any:
        device, model = self.backbone.device, self.backbone.model
        more = {"use_cache": False} if self.backbone.kind == "causal" else {}
        return model(input_ids=ids_BT.to(device), attention_mask=mask_BT.to(device), **more)

    def _note(self, block: nn.Module, inputs: Any, out: Any) -> None:
        self._tuples = isinstance(out, tuple)

    @contextlib.contextmanager
    def _idle(self, which: range, states_BTD: Tensor | None) -> Iterator[None]:
        """Some blocks hand on what comes in, the last of them `states_BTD` if that is given."""

        def hand_on(*inputs: Any, **kwargs: Any) -> Any:
            states = _states_in(inputs, kwargs) if states_BTD is None else states_BTD.to(self.backbone.device)
            return (states,) if self._tuples else states

        for n in which:
            self.list[n].forward = hand_on
        try:
            yield
        finally:
            for n in which:
                del self.list[n].forward


def list_of(backbone: Backbone) -> nn.ModuleList:
    """The blocks, lowest first.

    Raises:
        ValueError: the model is not built as a list of them.
    """
    stacks = [module for module in backbone.model.modules() if isinstance(module, nn.ModuleList) and len(module) == backbone.depth]
    if not stacks:
        raise ValueError(f"the layers of {backbone.name} are not a list of {backbone.depth} blocks; leave out `layer`")
    return stacks[0]


def _states_in(inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    states: Tensor = inputs[0] if inputs else kwargs["hidden_states"]
    return states


def _first_of(out: Any) -> Tensor:
    states: Tensor = out[0] if isinstance(out, tuple) else out
    return states
