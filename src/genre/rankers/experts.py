"""Experts: several tasks learnt at once, with experts that all share and experts of their own (MMoE, Ma 2018; PLE, Tang 2020)."""

# E candidates, F features, H hidden units, T tasks, X experts that a task may ask

from __future__ import annotations

import torch
from torch import Tensor, nn

from genre.rankers.mixture import LARGEST


class Experts(nn.Module):
    """Rows of features to one logit a task: a gate per task mixes shared and own experts, and a linear path goes straight through.

    The linear path alone is a weighted sum of the rankers' scores; the experts add what a sum cannot say. They start at zero, so that
    with few examples little is added to it.
    """

    mean_F: Tensor
    spread_F: Tensor

    def __init__(self, features: int, hidden: int, tasks: int, shared: int, own: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean_F", torch.zeros(features))
        self.register_buffer("spread_F", torch.ones(features))
        self.shared = nn.ModuleList(expert(features, hidden, dropout) for _ in range(shared))
        self.own = nn.ModuleList(expert(features, hidden, dropout) for _ in range(own * tasks))
        self.gates = nn.ModuleList(nn.Linear(features, shared + own) for _ in range(tasks))
        towers = [nn.Linear(hidden, 1) for _ in range(tasks)]
        self.towers = nn.ModuleList(towers)
        self.straight = nn.Linear(features, tasks)
        for tower in towers:
            nn.init.zeros_(tower.weight)

    @torch.no_grad()
    def standardise(self, rows_EF: Tensor) -> None:
        """Features come in units of their spread over these rows; those that never vary there are left out for good."""
        spread_F = rows_EF.std(0, correction=0)
        self.mean_F.copy_(rows_EF.mean(0))
        self.spread_F.copy_(torch.where(spread_F > 1e-6, spread_F, torch.inf))

    def forward(self, rows_EF: Tensor) -> Tensor:
        """Logits, shape (T, E)."""
        rows_EF = ((rows_EF - self.mean_F) / self.spread_F).clamp(-LARGEST, LARGEST)
        shared, own = [one(rows_EF) for one in self.shared], [one(rows_EF) for one in self.own]
        straight_ET = self.straight(rows_EF)
        n_own = len(own) // len(self.towers)
        found = []
        for task, (gate, tower) in enumerate(zip(self.gates, self.towers, strict=True)):
            asked_EXH = torch.stack([*shared, *own[task * n_own : (task + 1) * n_own]], 1)
            mixed_EH = (gate(rows_EF).softmax(1)[:, :, None] * asked_EXH).sum(1)
            found.append(tower(mixed_EH).squeeze(1) + straight_ET[:, task])
        return torch.stack(found)


def expert(features: int, hidden: int, dropout: float) -> nn.Sequential:
    """Two layers."""
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.ReLU())
