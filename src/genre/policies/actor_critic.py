"""An actor and a critic over a ranker's user state: what each item is worth in the long run, and the best policy near the ranker's."""

# B slates (or visitors), H slates of a visit, S places, N items, D embedding, F features of a state, E places that were filled

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Shown(NamedTuple):
    """Slates, and how likely each pick was."""

    item_BS: Tensor
    log_chance_BS: Tensor


class ActorCritic(nn.Module):
    """A critic of every item at a place, and the actor that follows from it in closed form.

    Slates are filled place by place; a place knows the state and what stands above it. The critic says what clicks are to come of the
    visit from there on if an item is shown, Q. The actor is what maximises E[Q] - conservative KL(actor || ranker) + entropy H(actor):
    it shows items with chances in proportion to exp((Q + conservative log ranker) / (conservative + entropy)), and needs no network of its
    own (as in maximum a posteriori policy optimisation, Abdolmaleki et al., 2018). Q begins at zero, so the actor begins as the ranker.

    A state begins with the user's vector as the ranker made it; the other features are made for a network. All items are scored with one
    matrix product a place, whatever their number.
    """

    items_ND: Tensor

    def __init__(
        self, items_ND: Tensor, features: int, hidden: int, places: int, conservative: float, entropy: float, unit: float = 10.0
    ) -> None:
        super().__init__()
        if conservative + entropy <= 0:
            raise ValueError("conservative and entropy are both 0: then nothing is ever tried; give one of them more")
        self.register_buffer("items_ND", items_ND)
        size = items_ND.shape[1]
        self.conservative, self.entropy, self.places = conservative, entropy, places
        self.unit = unit
        # In units of the items' own length, whatever that is.
        self.scale = float(1 / (items_ND.square().mean().sqrt() + 1e-9))
        self.of_state = nn.Linear(features - size, hidden)
        self.of_above = nn.Linear(size, hidden, bias=False)
        self.of_place = nn.Parameter(torch.zeros(places, hidden))
        self.joint = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.to_item = nn.Linear(hidden, size)
        self.to_value = nn.Linear(hidden, 1)
        nn.init.zeros_(self.to_item.weight)
        nn.init.zeros_(self.to_item.bias)
        nn.init.zeros_(self.to_value.weight)
        nn.init.zeros_(self.to_value.bias)
        # What the ranker cannot say of an item: one number each and place, the same for all users.
        self.bias_SN = nn.Parameter(torch.zeros(places, len(items_ND)))

    def worth(self, state_BF: Tensor, item_BS: Tensor, place: int) -> Tensor:
        """Q of every item at a place below the first `place` items of the slates, in clicks, shape (B, N)."""
        direction_BD, value_B1 = self._read(state_BF, item_BS[:, :place], place)
        worth_BN: Tensor = value_B1 + direction_BD @ self.items_ND.T + self.bias_SN[place]
        return worth_BN

    def worth_of(self, state_BF: Tensor, item_BS: Tensor) -> Tensor:
        """Q of the items shown, each at its place, shape (B, S)."""
        found = []
        for place in range(item_BS.shape[1]):
            direction_BD, value_B1 = self._read(state_BF, item_BS[:, :place], place)
            item_B = item_BS[:, place]
            found.append(value_B1[:, 0] + (direction_BD * self.items_ND[item_B]).sum(1) + self.bias_SN[place, item_B])
        return torch.stack(found, 1)

    def prior(self, state_BF: Tensor) -> Tensor:
        """Log-chances of the ranker's own policy, shape (B, N): its scores are those of a softmax over the catalogue."""
        return (state_BF[:, : self.items_ND.shape[1]] @ self.items_ND.T).log_softmax(1)

    @torch.no_grad()
    def value(self, state_BF: Tensor) -> Tensor:
        """What the visit is worth from here on, before a slate is shown: what the critic expects of the actor's first pick, shape (B,)."""
        worth_BN = self.worth(state_BF, torch.zeros(len(state_BF), 0, dtype=torch.int64, device=state_BF.device), 0)
        return (self.logits(worth_BN, self.prior(state_BF)).softmax(1) * worth_BN).sum(1)

    @torch.no_grad()
    def show(self, state_BF: Tensor, n: int, explore: bool, generator: torch.Generator | None = None) -> Shown:
        """Slates of n items, drawn, or the best for certain; exact chances, given what stands above.

        Raises:
            ValueError: more places than the critic knows.
        """
        if n > self.places:
            raise ValueError(f"a slate of {n}, but the critic knows {self.places} places")
        log_prior_BN = self.prior(state_BF)
        item_BS = torch.zeros(len(state_BF), 0, dtype=torch.int64, device=state_BF.device)
        chances = []
        for place in range(n):
            worth_BN = self.worth(state_BF, item_BS, place)
            logit_BN = self.logits(worth_BN, log_prior_BN).scatter(1, item_BS, -torch.inf)
            log_chance_BN = logit_BN.log_softmax(1)
            if explore:
                uniform_BN = torch.rand(logit_BN.shape, generator=generator, device=logit_BN.device).clamp_(1e-20, 1 - 1e-7)
                picked_B1 = (logit_BN - (-uniform_BN.log()).log()).argmax(1, keepdim=True)
            else:
                picked_B1 = logit_BN.argmax(1, keepdim=True)
            chances.append(log_chance_BN.gather(1, picked_B1) if explore else torch.zeros_like(picked_B1, dtype=logit_BN.dtype))
            item_BS = torch.cat([item_BS, picked_B1], 1)
        return Shown(item_BS, torch.cat(chances, 1))

    def logits(self, worth_BN: Tensor, log_prior_BN: Tensor) -> Tensor:
        """Of the actor."""
        return (worth_BN + self.conservative * log_prior_BN) / (self.conservative + self.entropy)

    def _read(self, state_BF: Tensor, above_BS: Tensor, place: int) -> tuple[Tensor, Tensor]:
        above_BD = self.scale * self.items_ND[above_BS].sum(1)
        hidden_BK = self.of_state(state_BF[:, self.items_ND.shape[1] :]) + self.of_above(above_BD) + self.of_place[place]
        hidden_BK = self.joint(hidden_BK)
        return self.to_item(hidden_BK) * self.scale / self.items_ND.shape[1] ** 0.5, self.to_value(hidden_BK) * self.unit


def targets(reward_BHS: Tensor, value_BH: Tensor, there_BH: Tensor, discount: float, trace: float) -> Tensor:
    """What came of the visit from each place on: the clicks of the slate from there, and what the next slate is worth, shape (B, H, S).

    Only from slate to slate is there a discount, and only there is the critic believed instead of what was earned: it knows what was
    clicked only when the slate is over.

    Args:
        value_BH: the critic's, before each slate.
        there_BH: who was there; after the last slate a visit is worth nothing more.
        trace: 0 believes the critic from the next slate on, 1 only what was earned (Sutton's lambda).
    """
    if not reward_BHS.shape[:2] == value_BH.shape == there_BH.shape:
        raise ValueError(f"{tuple(reward_BHS.shape)}, {tuple(value_BH.shape)} and {tuple(there_BH.shape)} do not fit")
    found_BHS = torch.zeros_like(reward_BHS)
    later_B = torch.zeros_like(value_BH[:, 0])
    for h in range(reward_BHS.shape[1] - 1, -1, -1):
        below_BS = reward_BHS[:, h].flip(1).cumsum(1).flip(1)
        found_BHS[:, h] = (below_BS + discount * later_B[:, None]) * there_BH[:, h, None]
        later_B = ((1 - trace) * value_BH[:, h] + trace * found_BHS[:, h, 0]) * there_BH[:, h]
    return found_BHS
