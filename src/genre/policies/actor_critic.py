"""An actor and a critic over a ranker's user state: the actor moves the user's vector, and items are scored with it as before."""

# B slates (or visitors), H slates of a visit, S places, N items, D embedding, F features of a state

from __future__ import annotations

import torch
from torch import Tensor, nn

from genre.policies.reinforce import draw, log_chances


class Actor(nn.Module):
    """Logits of all items: the ranker's own, over a temperature, plus those of a learnt change of the user's vector.

    A state begins with the user's vector as the ranker made it; what the change reads are the other features, made for a network.
    One matrix product, whatever the number of items. The change begins at zero, so that what is learnt begins as the ranker's own
    policy and leaves it only for what pays.
    """

    items_ND: Tensor

    def __init__(self, items_ND: Tensor, features: int, hidden: int, temperature: float) -> None:
        super().__init__()
        self.register_buffer("items_ND", items_ND)
        self.temperature = temperature
        self.scale = float(1 / (items_ND.square().mean().sqrt() * items_ND.shape[1] ** 0.5 + 1e-9))
        self.change = nn.Sequential(
            nn.Linear(features - items_ND.shape[1], hidden),
            nn.Tanh(),
            nn.Linear(hidden, hidden),
            nn.Tanh(),
            nn.Linear(hidden, items_ND.shape[1]),
        )
        last = self.change[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        # What the ranker cannot say of an item, such as that it bores: one number each, the same for all users.
        self.bias_N = nn.Parameter(torch.zeros(len(items_ND)))

    def forward(self, state_BF: Tensor) -> Tensor:
        """Logits, shape (B, N)."""
        size = self.items_ND.shape[1]
        # The change is in units of the items' own length, whatever that is.
        user_BD = state_BF[:, :size] / self.temperature + self.change(state_BF[:, size:]) * self.scale
        logit_BN: Tensor = user_BD @ self.items_ND.T + self.bias_N
        return logit_BN

    def prior(self, state_BF: Tensor) -> Tensor:
        """Logits of the ranker alone."""
        return state_BF[:, : self.items_ND.shape[1]] @ self.items_ND.T / self.temperature

    @torch.no_grad()
    def show(self, state_BF: Tensor, n: int, explore: bool, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Slates and the log-chance of each pick: drawn, or the n best for certain."""
        logit_BN = self(state_BF)
        if not explore:
            best_BS = logit_BN.topk(n, 1).indices
            return best_BS, torch.zeros(best_BS.shape)
        item_BS = draw(logit_BN, n, generator)
        return item_BS, log_chances(logit_BN, item_BS)


class Critic(nn.Module):
    """What is still to come of a visit, from each place of the next slate on."""

    def __init__(self, features: int, hidden: int, places: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, places)
        )  # fmt: skip

    def forward(self, state_BF: Tensor) -> Tensor:
        """Values in units of `UNIT`, shape (B, S)."""
        value_BS: Tensor = self.layers(state_BF)
        return value_BS


UNIT = 10.0
"""Clicks that count as 1 to the critic, whose outputs then are neither large nor small."""


def advantages(reward_BHS: Tensor, value_BHS: Tensor, there_BH: Tensor, discount: float, trace: float) -> Tensor:
    """How much better each place of each slate turned out than expected (generalised advantage estimation, Schulman et al., 2016).

    Each place is a step of its own: what stands above it cannot be its merit. Only from slate to slate is there a discount.

    Args:
        value_BHS: the critic's, before each place.
        there_BH: who was there; after the last slate a visit is worth nothing more.
        trace: 0 believes the critic from the next step on, 1 only what was earned.
    """
    if not reward_BHS.shape == value_BHS.shape or reward_BHS.shape[:2] != there_BH.shape:
        raise ValueError(f"{tuple(reward_BHS.shape)}, {tuple(value_BHS.shape)} and {tuple(there_BH.shape)} do not fit")
    value_BHS = value_BHS * there_BH[:, :, None]
    found_BHS = torch.zeros_like(reward_BHS)
    running_B = later_B = torch.zeros_like(reward_BHS[:, 0, 0])
    for h in range(reward_BHS.shape[1] - 1, -1, -1):
        step = discount
        for s in range(reward_BHS.shape[2] - 1, -1, -1):
            surprise_B = reward_BHS[:, h, s] + step * later_B - value_BHS[:, h, s]
            running_B = (surprise_B + step * trace * running_B) * there_BH[:, h]
            found_BHS[:, h, s], later_B, step = running_B, value_BHS[:, h, s], 1.0
    return found_BHS


def clipped_loss(log_new_BS: Tensor, log_old_BS: Tensor, advantage_BS: Tensor, clip: float) -> Tensor:
    """Proximal policy optimisation (Schulman et al., 2017): no gain from going further than `clip` from the policy that was tried."""
    ratio_BS = (log_new_BS - log_old_BS).exp()
    return -torch.minimum(ratio_BS * advantage_BS, ratio_BS.clamp(1 - clip, 1 + clip) * advantage_BS).mean()
