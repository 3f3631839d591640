"""Adversarial negatives: a generator picks what the ranker takes for right, and the ranker learns that it is not (after IRGAN)."""

# T positions, K candidates, M picks, D the ranker's vectors, N items

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE = 32
"""Length of the generator's own vectors: it should be smaller than the ranker, or it would be another one."""


class Adversary(nn.Module):
    """A generator p(item | position) over candidates with vectors of its own; it reads the hidden state and teaches the ranker nothing.

    Wang et al., "IRGAN", 2017, with two changes. Its reward is exact: the expectation over a step's candidates, where IRGAN draws and uses
    REINFORCE. And the ranker is a softmax over the right item and the picks, which come beside its ordinary negatives.
    """

    def __init__(self, n_items: int, dim: int, sparse: bool = False) -> None:
        super().__init__()
        self.items = nn.Embedding(n_items, SIZE, sparse=sparse)
        nn.init.normal_(self.items.weight, std=0.1)
        self.read = nn.Linear(dim, SIZE)

    def forward(self, hidden_TD: Tensor, item_K: Tensor) -> Tensor:
        """Logits of the candidates, shape (T, K)."""
        logit_TK: Tensor = self.read(hidden_TD.detach()) @ self.items(item_K).T
        return logit_TK


def adversarial_losses(
    logit_TK: Tensor, hidden_TD: Tensor, positive_TD: Tensor, negative_KD: Tensor, hit_T: Tensor, picks: int
) -> tuple[Tensor, Tensor]:
    """The ranker's loss against what the generator picks, and the generator's; neither has a gradient for the other.

    Args:
        logit_TK: the generator's.
        hidden_TD: what each position predicts with.
        positive_TD: vector of each position's right item.
        negative_KD: vectors of the candidates.
        hit_T: which candidate is this position's right item, -1 where none is; it is never picked.
        picks: distinct candidates a position.
    """
    if logit_TK.shape != (len(hidden_TD), len(negative_KD)) or hit_T.shape != hidden_TD.shape[:1]:
        raise ValueError(f"logits {tuple(logit_TK.shape)}, hidden {tuple(hidden_TD.shape)} and hits {tuple(hit_T.shape)} do not fit")
    hit_TK = functional.one_hot(hit_T + 1, len(negative_KD) + 1)[:, 1:].bool()
    log_chance_TK = logit_TK.masked_fill(hit_TK, -1e9).log_softmax(1)
    with torch.no_grad():
        # How wrong the ranker is about each candidate: IRGAN's reward, less what a random candidate would earn.
        reward_TK = functional.softplus(hidden_TD @ negative_KD.T).masked_fill(hit_TK, 0.0)
        reward_TK = reward_TK - reward_TK.mean(1, keepdim=True)
        uniform_TK = torch.rand_like(log_chance_TK).clamp_(1e-20, 1 - 1e-7)
        pick_TM = (log_chance_TK - (-uniform_TK.log()).log()).topk(min(picks, len(negative_KD)), 1).indices
        picked_hit_TM = hit_TK.gather(1, pick_TM)
    score_TM = torch.einsum("td,tmd->tm", hidden_TD, negative_KD[pick_TM]).masked_fill(picked_hit_TM, -torch.inf)
    right_T = (hidden_TD * positive_TD).sum(1)
    ranking = (torch.cat([right_T[:, None], score_TM], 1).logsumexp(1) - right_T).mean()
    return ranking, -(log_chance_TK.exp() * reward_TK).sum(1).mean()
