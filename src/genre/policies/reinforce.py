"""REINFORCE over slates: exact chances, and the top-K correction for other policies' slates (Chen et al., 2019)."""

# B slates, S places, N items, E shown items

from __future__ import annotations

import torch
from torch import Tensor


def draw(logit_BN: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
    """n items a row without replacement, place by place by softmax over what is left: the Gumbel trick, shape (B, n)."""
    uniform_BN = torch.rand(logit_BN.shape, generator=generator, device=logit_BN.device).clamp_(1e-20, 1 - 1e-7)
    return (logit_BN - (-uniform_BN.log()).log()).topk(n, 1).indices


def log_chances(logit_BN: Tensor, item_BS: Tensor) -> Tensor:
    """Log of how likely each item was at its place, given those above it (Plackett-Luce), shape (B, S), with gradients.

    What is left at a place is the sum over all items without those above, kept positive where rounding would take it below.
    """
    if item_BS.ndim != 2 or logit_BN.ndim != 2 or len(item_BS) != len(logit_BN):
        raise ValueError(f"logits {tuple(logit_BN.shape)} and slates {tuple(item_BS.shape)} do not fit")
    picked_BS = logit_BN.gather(1, item_BS)
    others_BN = logit_BN.scatter(1, item_BS, -torch.inf)
    # From the last place upwards: sums of what is there, never differences, which would lose the small to rounding.
    rest_B1 = others_BN.logsumexp(1, keepdim=True)
    upwards_BS = torch.logcumsumexp(torch.cat([rest_B1, picked_BS.flip(1)], 1), 1)[:, 1:].flip(1)
    return picked_BS - upwards_BS


def top_k_factor(log_chance_E: Tensor, k: int) -> Tensor:
    """K (1 - pi)^(K-1): how much more likely an item gets onto a slate of K independent draws when pi grows a little.

    Near K for what is hardly ever drawn, near 0 for what is on the slate anyway and need not be drawn more often still.
    """
    return k * (1 - log_chance_E.exp()).clamp(min=0) ** (k - 1)


def off_policy_loss(log_chance_E: Tensor, log_logging_E: Tensor, return_E: Tensor, k: int, cap: float) -> Tensor:
    """Minus the return to be expected, in one draw's terms: importance weight, capped, x top-K factor x return x log pi.

    Args:
        log_chance_E: of each shown item in one draw of the policy that learns, with gradients.
        log_logging_E: the same under the policy that showed it.
        return_E: what came of it in the long run, less a baseline if one is had.
        cap: largest importance weight; smaller ones have less variance and more bias.
    """
    if not log_chance_E.shape == log_logging_E.shape == return_E.shape:
        raise ValueError(f"{tuple(log_chance_E.shape)}, {tuple(log_logging_E.shape)} and {tuple(return_E.shape)} do not fit")
    with torch.no_grad():
        weight_E = (log_chance_E - log_logging_E).exp().clamp(max=cap) * top_k_factor(log_chance_E, k)
    return -(weight_E * return_E * log_chance_E).mean()


def divergence(logit_BN: Tensor, prior_BN: Tensor) -> Tensor:
    """Mean KL divergence of one draw from that of the logging policy: the price of leaving what is known to be safe."""
    log_BN, log_prior_BN = logit_BN.log_softmax(1), prior_BN.log_softmax(1)
    return (log_BN.exp() * (log_BN - log_prior_BN)).sum(1).mean()
