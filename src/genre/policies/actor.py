"""An actor that moves the ranker's user vector: items are scored with the item matrix as before, slates drawn with exact chances."""

# B slates (or visitors), S places, N items, D embedding, F features of a state

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
        last = nn.Linear(hidden, items_ND.shape[1])
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.change = nn.Sequential(
            nn.Linear(features - items_ND.shape[1], hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), last
        )  # fmt: skip
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
