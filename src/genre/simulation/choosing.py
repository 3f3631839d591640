"""How users choose from a slate: a multinomial logit as the baseline, and a network that can tell tastes and boredom apart."""

# E choices, S places of a slate, X numbers about a user and an item, P a user's profile; class S is "nothing"

from __future__ import annotations

import torch
from torch import Tensor, nn

from genre.simulation.choices import PLAIN


class Logit(nn.Module):
    """Multinomial logit (McFadden, 1974): utility is linear in likeness, popularity and place; taking nothing has one utility for all."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Linear(PLAIN, 1, bias=False)
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, profile_EP: Tensor, item_ESX: Tensor) -> Tensor:
        """Utilities of every place and of nothing, shape (E, S + 1)."""
        utility_ES = self.weight(item_ESX[:, :, :PLAIN]).squeeze(2)
        return torch.cat([utility_ES, self.nothing.expand(len(utility_ES), 1)], 1)


class Chooser(nn.Module):
    """Utility by a network over user, item and both; so is that of nothing, over the user. Also serves as the discriminator's reward."""

    def __init__(self, profile: int, numbers: int, hidden: int) -> None:
        super().__init__()
        self.of_user = nn.Linear(profile, hidden)
        self.of_item = nn.Linear(numbers, hidden)
        self.joint = nn.Sequential(nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.nothing = nn.Sequential(nn.Linear(profile, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, profile_EP: Tensor, item_ESX: Tensor) -> Tensor:
        """Utilities of every place and of nothing, shape (E, S + 1)."""
        utility_ES = self.joint(self.of_user(profile_EP)[:, None] + self.of_item(item_ESX)).squeeze(2)
        return torch.cat([utility_ES, self.nothing(profile_EP)], 1)


def log_chances(utility_EC: Tensor, shown_ES: Tensor) -> Tensor:
    """Log of how likely each place, or nothing, is taken; -inf where nothing stands, shape (E, S + 1)."""
    there_EC = torch.cat([shown_ES, shown_ES.new_ones(len(shown_ES), 1)], 1)
    return utility_EC.masked_fill(~there_EC, -torch.inf).log_softmax(1)


def generator_loss(log_chance_EC: Tensor, reward_EC: Tensor, taken_E: Tensor, likelihood: float) -> Tensor:
    """Minus the reward that the generator's choices are given on average, exactly (choices are few), and minus log-likelihood.

    Args:
        reward_EC: how real the discriminator holds each choice to be; no gradient goes through it.
        likelihood: weight of the choices that were really made.
    """
    chance_EC = log_chance_EC.exp()
    rewarded = (chance_EC * reward_EC.detach().masked_fill(chance_EC == 0, 0.0)).sum(1).mean()
    return -rewarded - likelihood * log_chance_EC.gather(1, taken_E[:, None]).mean()


def discriminator_loss(reward_EC: Tensor, taken_E: Tensor, chance_EC: Tensor) -> Tensor:
    """Cross-entropy of telling real choices from the generator's, of which every one counts by its chance."""
    real = nn.functional.softplus(-reward_EC.gather(1, taken_E[:, None])).mean()
    return real + (chance_EC.detach() * nn.functional.softplus(reward_EC)).sum(1).mean()
