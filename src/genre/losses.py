"""Softmax losses over a large catalogue: no logit matrix is ever held whole, and the gradient is made on the way."""

# T positions, N items of the catalogue, K candidates (the catalogue or a sample of it), C positions of one chunk, D embedding

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK_ELEMENTS = 1 << 20
"""Logits held at once: few enough to stay in a CPU's cache, yet at least 256 rows, enough for its matrix unit."""


def full_softmax(hidden_TD: Tensor, items_ND: Tensor, target_T: Tensor) -> Tensor:
    """Mean cross-entropy of each position's next item against every item of the catalogue.

    Loss and gradients are made chunk by chunk in three matrix products in all (as in Wijmans et al., "Cut your losses in large-vocabulary
    language models", 2024, but without the recomputation), so memory is T x D + N x D and never T x N. Under autocast the products
    run in its lower precision; sums, the target's own logit and the gradients handed back stay float32.

    Args:
        hidden_TD: what each position predicts with.
        items_ND: the item matrix.
        target_T: row of the right item, int64.

    Returns:
        A scalar, float32.
    """
    _check(hidden_TD, items_ND, target_T)
    if len(target_T) and not 0 <= int(target_T.min()) <= int(target_T.max()) < len(items_ND):
        raise ValueError(f"targets run from {int(target_T.min())} to {int(target_T.max())}, the catalogue has {len(items_ND)} items")
    positive_TD = items_ND.index_select(0, target_T)
    loss: Tensor = _Softmax.apply(hidden_TD, positive_TD, items_ND, target_T, None)  # type: ignore[no-untyped-call]
    return loss


def sampled_softmax(hidden_TD: Tensor, positive_TD: Tensor, negative_KD: Tensor, hit_T: Tensor, inclusion_K: Tensor) -> Tensor:
    """Mean cross-entropy against the right item and K negatives that all positions share.

    Each negative's logit is corrected by the logarithm of its chance to be in the sample (logQ: Bengio and Senécal, 2008; Yi et al.,
    2019), so the sum of exponentials is an unbiased estimate of the catalogue's. A negative that happens to be the right item of a
    position is left out there (an accidental hit), because the right item is in the sum already.

    Args:
        hidden_TD: what each position predicts with.
        positive_TD: vector of each position's right item.
        negative_KD: vectors of the negatives, each item at most once.
        hit_T: which negative is this position's right item, -1 where none is.
        inclusion_K: the chance that each negative had to be drawn, in (0, 1].

    Returns:
        A scalar, float32.
    """
    _check(hidden_TD, negative_KD, hit_T)
    if positive_TD.shape != hidden_TD.shape or inclusion_K.shape != negative_KD.shape[:1]:
        raise ValueError(f"positives are {tuple(positive_TD.shape)}, hidden {tuple(hidden_TD.shape)}, inclusion {tuple(inclusion_K.shape)}")
    loss: Tensor = _Softmax.apply(hidden_TD, positive_TD, negative_KD, hit_T, -inclusion_K.log())  # type: ignore[no-untyped-call]
    return loss


def draw_negatives(target_T: Tensor, chance_N: Tensor, draws: int) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct shared negatives from `draws` draws with replacement, out of torch's generator.

    Args:
        target_T: right items, to find the accidental hits.
        chance_N: of each item in one draw, summing to 1; float64, since a million chances add up.

    Returns:
        The items (K,), which of them is each position's target or -1 (T,), and the chance of each to be drawn at least once (K,).
    """
    # By the inverse of the summed chances: multinomial draws from 2^24 items at most.
    summed_N = chance_N.cumsum(0)
    drawn = torch.searchsorted(summed_N, torch.rand(draws, device=summed_N.device, dtype=summed_N.dtype) * summed_N[-1], right=True)
    item_K = torch.unique(drawn.clamp_(max=len(chance_N) - 1))
    place_T = torch.searchsorted(item_K, target_T).clamp_(max=len(item_K) - 1)
    hit_T = torch.where(item_K[place_T] == target_T, place_T, -1)
    inclusion_K = -torch.expm1(draws * torch.log1p(-chance_N[item_K].clamp(max=1 - 1e-9)))
    return item_K, hit_T, inclusion_K.float()


class _Softmax(torch.autograd.Function):
    """-log(exp(h·p) / (exp(h·p) + sum over candidates but the hit of exp(h·e + bias))), averaged over positions."""

    @staticmethod
    def forward(ctx: Any, hidden_TD: Tensor, positive_TD: Tensor, item_KD: Tensor, hit_T: Tensor, bias_K: Tensor | None) -> Tensor:
        kind = hidden_TD.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
        with torch.autocast(kind, enabled=False):
            return _forward(ctx, hidden_TD, positive_TD, item_KD, hit_T, bias_K, dtype)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, positive, item = ctx.saved_tensors
        return hidden * upstream[0], positive * upstream[0], item * upstream[0], None, None


def _forward(
    ctx: Any, hidden_TD: Tensor, positive_TD: Tensor, item_KD: Tensor, hit_T: Tensor, bias_K: Tensor | None, dtype: torch.dtype
) -> Tensor:
    t, k = len(hidden_TD), len(item_KD)
    hidden32_TD, positive32_TD = hidden_TD.float(), positive_TD.float()
    right_T = (hidden32_TD * positive32_TD).sum(1)
    low_item_KD = item_KD.to(dtype)
    grad_hidden_TD, grad_item_KD = torch.empty_like(hidden32_TD), torch.zeros_like(item_KD, dtype=torch.float32)
    lse_T = torch.empty_like(right_T)
    chunk = max(256, CHUNK_ELEMENTS // max(k, 1))
    for start in range(0, t, chunk):
        part = slice(start, start + chunk)
        logits_CK = hidden_TD[part].to(dtype) @ low_item_KD.T
        if bias_K is not None:
            logits_CK += bias_K.to(dtype)
        hit_C = hit_T[part]
        hits = torch.nonzero(hit_C >= 0).squeeze(1)
        logits_CK[hits, hit_C[hits]] = -torch.inf
        right_C = right_T[part]
        top_C = torch.maximum(logits_CK.amax(1), right_C.to(dtype))
        # From here on the logits' memory holds exp(logit - top): probabilities times their sum z, which is divided out of the thin
        # side of the two products below instead of the wide one here.
        logits_CK.sub_(top_C[:, None]).exp_()
        z_C = logits_CK.sum(1, dtype=torch.float32) + (right_C - top_C).exp()
        lse_T[part] = top_C + z_C.log()
        grad_hidden_TD[part] = (logits_CK @ low_item_KD).float() / z_C[:, None]
        grad_item_KD += logits_CK.T @ (hidden32_TD[part] / (z_C[:, None] * t)).to(dtype)
    pull_T1 = ((right_T - lse_T).exp() - 1)[:, None]  # the gradient of the right item's logit: probability - 1
    grad_hidden_TD.addcmul_(pull_T1, positive32_TD).div_(max(t, 1))
    grad_positive_TD = hidden32_TD * (pull_T1 / max(t, 1))
    ctx.save_for_backward(grad_hidden_TD.to(hidden_TD.dtype), grad_positive_TD.to(positive_TD.dtype), grad_item_KD.to(item_KD.dtype))
    return (lse_T - right_T).sum() / max(t, 1)


def _check(hidden_TD: Tensor, items_KD: Tensor, index_T: Tensor) -> None:
    if hidden_TD.ndim != 2 or items_KD.ndim != 2 or hidden_TD.shape[1] != items_KD.shape[1] or index_T.shape != hidden_TD.shape[:1]:
        raise ValueError(f"hidden {tuple(hidden_TD.shape)}, items {tuple(items_KD.shape)} and index {tuple(index_T.shape)} do not fit")
