"""Decoding: one token at a time for a batch of prompts, each row with its own choices, temperature and seed."""

# B rows of a batch, T tokens, V vocabulary

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genre.llm.form import Form
from genre.llm.generation import Request
from genre.llm.trie import TokenTrie

if TYPE_CHECKING:
    from torch import Tensor

    from genre.llm.backbone import Backbone

NUCLEUS = 0.95
"""Sampling leaves out the least likely tokens that together have the rest of the probability (Holtzman et al., 2020)."""


class Row:
    """One answer while it is written. Its randomness is its own, so it does not depend on the rows beside it."""

    def __init__(self, request: Request, ends: set[int], tokenizer: Any, trie: TokenTrie | None = None, form: Form | None = None) -> None:
        import torch

        self.request, self.ends, self.trie, self.form, self.tokenizer = request, ends, trie, form, tokenizer
        self.written: list[int] = []
        self.done = False
        self._chance = torch.Generator().manual_seed(request.seed)

    @property
    def text(self) -> str:
        """What has been written, after what was put into the model's mouth."""
        if self.form is not None and self.form.done:
            return self.form.text
        kept = self.written[:-1] if self.written and self.written[-1] in self.ends else self.written
        return self.request.opening + str(self.tokenizer.decode(kept, skip_special_tokens=True))

    def write(self, logits_V: Tensor) -> int:
        """Choose the next token, and know whether it was the last."""
        token = self._choose(logits_V)
        self.written.append(token)
        self.done = self._ended(token) or len(self.written) >= self.request.max_tokens
        return token

    def _ended(self, token: int) -> bool:
        if self.form is not None:
            return self.form.done
        # A small model would go on and on after the object that was asked for.
        return token in self.ends or (self.request.schema is not None and complete(self.text))

    def _choose(self, logits_V: Tensor) -> int:
        import torch

        if self.trie is not None:
            allowed = torch.tensor(self.trie.allowed(tuple(self.written)))
            return int(allowed[self._pick(logits_V[allowed])])
        if self.form is not None:
            return self.form.write(lambda sensible_V: self._pick(logits_V.masked_fill(~sensible_V, -torch.inf)))
        return self._pick(logits_V)

    def _pick(self, logits_V: Tensor) -> int:
        import torch

        if self.request.temperature <= 0:
            return int(logits_V.argmax())
        chance_V, order_V = torch.softmax(logits_V / self.request.temperature, dim=0).sort(descending=True)
        # The likeliest token always stays: nothing comes before it.
        chance_V[chance_V.cumsum(0) - chance_V >= NUCLEUS] = 0
        return int(order_V[torch.multinomial(chance_V, 1, generator=self._chance)])


def decode(backbone: Backbone, tokens: Sequence[list[int]], rows: Sequence[Row]) -> None:
    """Write all rows to their ends, reading each prompt once: the keys and values of what was read are kept."""
    import torch

    device, pad = backbone.device, backbone.tokenizer.pad_token_id
    longest = max(len(ids) for ids in tokens)
    # Padded on the left, so that every row goes on from its last column.
    ids_BT = torch.tensor([[pad] * (longest - len(ids)) + ids for ids in tokens], device=device)
    mask_BT = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in tokens], device=device)
    place_BT = (mask_BT.cumsum(1) - 1).clamp(min=0)
    # Of a prompt only the last column is needed: the logits of all would be the largest array by far.
    last = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(backbone.model.forward).parameters else {}
    going_on = backbone.with_memory(backbone.memory())
    with torch.inference_mode():
        while not all(row.done for row in rows):
            out = backbone.model(input_ids=ids_BT, attention_mask=mask_BT, position_ids=place_BT, **going_on, **last)
            logits_BV = out.logits[:, -1].float().cpu()
            following = [pad if row.done else row.write(logits_V) for row, logits_V in zip(rows, logits_BV, strict=True)]
            ids_BT = torch.tensor(following, device=device)[:, None]
            mask_BT = torch.cat([mask_BT, torch.ones_like(ids_BT)], dim=1)
            place_BT = place_BT[:, -1:] + 1


def complete(text: str) -> bool:
    """Whether a text that begins with a brace holds a whole JSON object, counted by its braces outside of strings."""
    depth, inside, escaped = 0, False, False
    for letter in text:
        if inside:
            inside, escaped = (letter != '"' or escaped), (letter == "\\" and not escaped)
        elif letter == '"':
            inside = True
        elif letter in "{}":
            depth += 1 if letter == "{" else -1
            if depth == 0:
                return True
    return False
