"""Likelihood: how probable each of many continuations of one text is, the text read once and the continuations in one pass."""

# K continuations, P tokens of the prefix, Q tokens of continuations in one pass, V vocabulary

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

    from genre.llm.backbone import Backbone

TOKENS_AT_ONCE = 512
"""Continuations' tokens in one pass: their logits over the vocabulary are the largest array."""


def log_likelihoods(
    backbone: Backbone, prefix: Sequence[int], continuations: Sequence[Sequence[int]], at_once: int = TOKENS_AT_ONCE
) -> npt.NDArray[np.float64]:
    """Sum of log probabilities of each continuation's tokens after the prefix, shape (K,).

    The keys and values of the prefix are computed once. The continuations stand one after another in a single row, each at the positions
    right after the prefix and blind to the others (a tree of depth one, as in Miao et al.'s SpecInfer, 2024), so nothing is padded and
    nothing is copied.

    Args:
        continuations: token ids, at least one each.
        at_once: more tokens than these are taken in several passes; the prefix is read once even so.

    Raises:
        ValueError: the prefix or a continuation is empty, or a continuation does not fit behind the prefix.
    """
    import torch

    if not len(prefix) or not all(len(ids) for ids in continuations):
        raise ValueError("the prefix and every continuation need at least one token")
    if not continuations:
        return np.zeros(0)
    longest = max(len(ids) for ids in continuations)
    if len(prefix) + longest > backbone.limit:
        raise ValueError(f"{len(prefix)} tokens before {longest} more are over what {backbone.name} can read ({backbone.limit})")
    total_K = np.zeros(len(continuations))
    with torch.inference_mode():
        memory = backbone.memory()
        read = backbone.model(input_ids=torch.tensor([list(prefix)], device=backbone.device), **backbone.with_memory(memory))
        first_V = torch.log_softmax(read.logits[0, -1].float(), dim=0)
        total_K += np.array([float(first_V[ids[0]]) for ids in continuations])
        longer = [place for place, ids in enumerate(continuations) if len(ids) > 1]
        for places in _passes(longer, continuations, at_once):
            ids_Q, mask_QS, place_Q = _side_by_side([continuations[place][:-1] for place in places], len(prefix), backbone)
            out = backbone.model(
                input_ids=ids_Q[None], attention_mask=mask_QS[None, None], position_ids=place_Q[None], **backbone.with_memory(memory)
            )
            following_Q = torch.tensor([token for place in places for token in continuations[place][1:]], device=backbone.device)
            logits_QV = out.logits[0].float()
            chance_Q = (logits_QV.gather(1, following_Q[:, None])[:, 0] - logits_QV.logsumexp(1)).double().cpu().numpy()
            owner_Q = np.repeat(np.arange(len(places)), [len(continuations[place]) - 1 for place in places])
            total_K[places] += np.bincount(owner_Q, chance_Q, minlength=len(places))
            memory.crop(-len(ids_Q))
    return total_K


def _passes(places: Sequence[int], continuations: Sequence[Sequence[int]], at_once: int) -> Iterator[list[int]]:
    """Consecutive continuations that have at most so many tokens together; one that has more alone."""
    chunk: list[int] = []
    size = 0
    for place in places:
        if chunk and size + len(continuations[place]) > at_once:
            yield chunk
            chunk, size = [], 0
        chunk.append(place)
        size += len(continuations[place])
    if chunk:
        yield chunk


def _side_by_side(rows: Sequence[Sequence[int]], before: int, backbone: Backbone) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens in one row, what each may look at (the prefix, and what is before it in its own continuation), and their positions."""
    import torch

    lengths = torch.tensor([len(row) for row in rows])
    owner_Q = torch.repeat_interleave(torch.arange(len(rows)), lengths)
    step_Q = torch.cat([torch.arange(length) for length in lengths.tolist()])
    own_QQ = (owner_Q[:, None] == owner_Q[None]) & (step_Q[:, None] >= step_Q[None])
    seen_QS = torch.cat([torch.ones(len(owner_Q), before, dtype=torch.bool), own_QQ], dim=1)
    dtype = backbone.model.dtype
    # Attention adds a mask to its scores, whichever implementation runs.
    mask_QS = torch.zeros(seen_QS.shape, dtype=dtype).masked_fill(~seen_QS, torch.finfo(dtype).min)
    ids_Q = torch.tensor([token for row in rows for token in row])
    return ids_Q.to(backbone.device), mask_QS.to(backbone.device), (before + step_Q).to(backbone.device)
