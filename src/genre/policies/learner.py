"""The learner: which part of a policy learns from single events, what its features mean, and where a bundle keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genre.policies import Policy
from genre.policies.bandit import BanditPolicy
from genre.policies.chain import ChainPolicy

FOLDER = "policies"
"""In a bundle: a folder for each surface whose policy learns."""
LEARNT = "learnt.json"
"""In such a folder: how far into the server's logs it has learnt, and what its weights and features mean."""


def learner_of(policy: Policy) -> BanditPolicy | None:
    """Who learns: the policy itself, or one of its chain."""
    members: Sequence[Any] = policy.members if isinstance(policy, ChainPolicy) else [policy]
    return next((member for member in members if isinstance(member, BanditPolicy)), None)


def space_of(learner: BanditPolicy, content: str) -> str:
    """What its features mean: equal for equal meanings.

    Args:
        content: the same for the vectors that candidates come with.
    """
    own = learner.config
    return f"{content} dim {own.dim} seed {own.seed}{' per item' if own.per_item else ''}".strip()
