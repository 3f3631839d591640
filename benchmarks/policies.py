"""Policies: CPU time to choose 20 of 500 candidates, and to learn from one event.

    python benchmarks/policies.py [--candidates 500] [--slate 20] [--rounds 200] [--items 100000]

Candidates have random scores, 64-dimensional unit vectors, counts, and one of 18 categories each. Times are CPU time of one thread: the
median over rounds, the least (what is left of it when neighbours do not get in the way), and the 95th percentile. Bandits have learnt from
1,000 slates before. The policies that are learnt in a simulator have no candidates: they score all of a catalogue with its item matrix, for
one visitor at a time.
"""

# B visitors, N items, D embedding, F features of a state

from __future__ import annotations

import argparse
import os
import time

# One thread: matrix products of this size gain nothing from more, and a server runs one thread a worker.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import torch

from genre.component import build
from genre.policies import Policy
from genre.policies.actor import Actor
from genre.policies.actor_critic import ActorCritic
from genre.types import Candidates

DIM, CATEGORIES, CATALOGUE, LEARNT = 64, 18, 10_000, 1000
LARGE_SLATE, FEATURES, HIDDEN = 5, 6 * DIM + 1, 128
SETTINGS: dict[str, dict[str, object]] = {
    **{name: {"use": name} for name in sorted(Policy.builtins) if name != "chain"},
    "linucb per item": {"use": "linucb", "per_item": True},
    "thompson per item": {"use": "thompson", "per_item": True},
    "chain: long_tail, mmr, caps, plackett_luce": {"use": "chain", "of": ["long_tail", "mmr", "caps", "plackett_luce"]},
}


def main() -> None:
    """Time every policy and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=500)
    parser.add_argument("--slate", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--items", type=int, default=100_000, help="catalogue of the policies that score all of it")
    asked = parser.parse_args()
    print(f"| policy | {asked.candidates} -> {asked.slate}, CPU ms, median | least | 95 % | one event learnt, CPU ms |\n|" + " --- |" * 5)
    for name, settings in SETTINGS.items():
        chosen, learnt = measure(build(Policy, dict(settings)), asked.candidates, asked.slate, asked.rounds)
        cells = [f"{np.quantile(chosen, part):.3f}" for part in (0.5, 0.0, 0.95)] + [f"{np.median(learnt):.3f}" if learnt else "–"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print(
        f"\n| policy | best {LARGE_SLATE} of {asked.items:,} items, CPU ms, median | least | 95 % | drawn, median | least | 95 % |\n|"
        + " --- |" * 7
    )
    for name, policy in of_everything(asked.items).items():
        cells = [f"{np.quantile(times, part):.1f}" for times in measure_all(policy, asked.rounds) for part in (0.5, 0.0, 0.95)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def measure(policy: Policy, k: int, n: int, rounds: int) -> tuple[list[float], list[float]]:
    """CPU milliseconds of each selection, and of each update of a policy that learns."""
    rng = np.random.default_rng(0)
    learns = policy.select(draw(k, rng), n, rng).features_nF is not None
    for _ in range(LEARNT if learns else 10):
        slate = policy.select(draw(n, rng), n, rng)
        policy.update(slate, (rng.random(n) < 0.05).astype(np.float64))
    chosen, learnt = [], []
    for _ in range(rounds):
        candidates = draw(k, rng)
        start = time.process_time()
        slate = policy.select(candidates, n, rng)
        chosen.append(1e3 * (time.process_time() - start))
        if slate.features_nF is not None:
            reward_n = np.full(n, np.nan)
            reward_n[0] = 1.0
            start = time.process_time()
            policy.update(slate, reward_n)
            learnt.append(1e3 * (time.process_time() - start))
    return chosen, learnt


def draw(k: int, rng: np.random.Generator) -> Candidates:
    """Candidates with everything that a policy may read."""
    vectors_KD = rng.normal(size=(k + 1, DIM)).astype(np.float32)
    vectors_KD /= np.linalg.norm(vectors_KD, axis=1, keepdims=True)
    share_KC = np.eye(CATEGORIES, dtype=np.float32)[rng.integers(CATEGORIES, size=k)]
    items = rng.choice(CATALOGUE, k, replace=False)
    mix_C = rng.dirichlet(np.ones(CATEGORIES))
    return Candidates(
        items, rng.normal(size=k), vectors_KD[:k], rng.integers(1000, size=k), {"category": share_KC}, {"category": mix_C}, vectors_KD[k]
    )


def of_everything(n_items: int) -> dict[str, Actor | ActorCritic]:
    """What is learnt in a simulator, over random items; the weights have no part in the time."""
    torch.manual_seed(0)
    items_ND = torch.randn(n_items, DIM)
    return {
        "REINFORCE": Actor(items_ND, FEATURES, HIDDEN, temperature=1.0),
        "actor-critic": ActorCritic(items_ND, FEATURES, HIDDEN, LARGE_SLATE, conservative=0.05, entropy=0.02),
    }


def measure_all(policy: Actor | ActorCritic, rounds: int) -> list[list[float]]:
    """CPU milliseconds of the best slates, and of drawn ones."""
    found: list[list[float]] = []
    for explore in (False, True):
        found.append([])
        for state_1F in torch.randn(rounds + 5, 1, FEATURES):
            start = time.process_time()
            policy.show(state_1F, LARGE_SLATE, explore)
            found[-1].append(1e3 * (time.process_time() - start))
    return [times[5:] for times in found]


if __name__ == "__main__":
    main()
