"""Learning for the long run: REINFORCE and the actor-critic beside greedy on the same ranker, in the synthetic world with strong boredom.

    python benchmarks/reinforcement.py [--seeds 5] [--runs runs/reinforcement]

Worlds of 1,000 users and 100 items in 6 topics; a click makes the topic less wanted (boredom 4, half of it gone after the next click), a
slate of 3 without a click makes leaving likely, 20 slates at most. The ranker is a sequential transformer learnt from the world's log, by
ids; the policies know the catalogue's categories beside it, and the same ranker with categories is a row of its own. The policies learn
from visits of 800 users; the table is of three visits of each of the other 200, whom no policy has served before. World and settings were
chosen with seed 0, the actor-critic's memory, passes and states with seeds 0, 6 and 7, the world by oracles alone: there greedy leaves
something to be won even for who knows every taste. The table is of seeds 1 to 5, each with its own world, ranker and policies;
REINFORCE's learning rate and price of divergence, and the number of rounds, were changed after a look at the learning curves of seed 1.
Intervals: Student's t over the seeds.
"""

# B visitors, S places of a slate

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from genre.data.synthetic import World, WorldConfig
from genre.evaluation.beyond_accuracy import category_shares
from genre.rankers.sequential import SequentialRanker
from genre.simulation.learning import Learning, learn
from genre.simulation.optimum import Optimum
from genre.simulation.reinforcing import Reinforcing, reinforce
from genre.simulation.rollout import Decide, play
from genre.simulation.rounds import decide
from genre.simulation.states import UserStates
from genre.simulation.world_users import Patience, WorldUsers, WorldVisit
from genre.types import Floats, Histories, Ints, Training

SLATE, HORIZON, VISITS = 3, 20, 3
LEARNT, TESTED = np.arange(800), np.repeat(np.arange(800, 1000), VISITS)
CRITIC = Learning(
    epochs=12, visitors=384, batch_size=512, passes=12, memory=12, learning_rate=2e-3, schedule="cosine", discount=0.8, trace=0.0,
    conservative=0.05, entropy=0.02,
)  # fmt: skip
REINFORCE = Reinforcing(epochs=12, visitors=384, batch_size=512, passes=2, learning_rate=3e-4, discount=0.8, conservative=0.05)
RANKER = SequentialRanker.Config(
    embedding_dim=32, epochs=15, max_history=60, learning_rate=3e-3, dropout=0.1, input_dropout=0.1, item_mask=0.0, device="cpu"
)
GREEDY, BOUND, PLAN = "greedy on the ranker", "upper bound by dynamic programming", "planning with every taste known"


def main() -> None:
    """Run every seed, keep what it gave, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/reinforcement"), help="where runs are kept, and gone on from")
    asked = parser.parse_args()
    found = []
    for seed in range(1, asked.seeds + 1):
        file = asked.runs / f"seed-{seed}" / "clicks.json"
        if not file.exists():
            clicks = one(seed, file.parent)
            file.write_text(json.dumps(clicks, indent=1))
        found.append(json.loads(file.read_text()))
    print(table(found))


def one(seed: int, folder: Path) -> dict[str, float]:
    """Clicks a visit of everything in the world of one seed."""
    world = World(
        WorldConfig(
            seed=seed, users=1000, items=100, topics=6, repeats=True, new_items=0.0, series=-float(np.log(100)), min_events=20,
            events_per_user=100, boredom=4.0, recovery=0.5, reluctance=-1.0, position_bias=0.3, taste=0.7, popularity=0.5,
        )
    )  # fmt: skip
    patience = Patience(past_events=100)
    learnt, everyone = WorldUsers(world, patience, LEARNT), WorldUsers(world, patience)
    training = Training(world.sample_histories(), world.config.items, repeats=True, seed=seed)
    ranker = SequentialRanker(RANKER)
    ranker.fit(training, folder / "ranker")
    category_NC, _ = category_shares(world.items["category"])
    informed = SequentialRanker(RANKER.model_copy(update={"content": ("category",)}))
    informed.fit(replace(training, content_ND=category_NC), folder / "informed")
    plain, states = UserStates(ranker), UserStates(ranker, category_NC)
    uninformed, _ = learn(learnt, plain, CRITIC, folder / "by-ids", seed)
    critic, _ = learn(learnt, states, CRITIC, folder / "actor-critic", seed)
    actor, _ = reinforce(learnt, states, REINFORCE, folder / "reinforce", seed)
    optimum = Optimum(everyone, SLATE, HORIZON)
    best_S = np.argsort(-world.quality_N)[:SLATE]

    def fixed(choose: Callable[[Histories], Ints]) -> Decide:
        def deciding(histories: Histories, rng: np.random.Generator) -> tuple[Ints, Floats]:
            return choose(histories), np.ones((len(histories), SLATE))

        return deciding

    def served(deciding: Decide) -> float:
        rng = np.random.default_rng([seed, 7])
        return float(play(everyone, deciding, len(TESTED), HORIZON, rng, everyone.visit(TESTED)).reward_B.mean())

    def knowing(choose: Callable[[WorldVisit, int], Ints]) -> float:
        rng = np.random.default_rng([seed, 7])
        visit, there_B, clicks = everyone.visit(TESTED), np.ones(len(TESTED), bool), 0
        for h in range(HORIZON):
            item_BS = np.full((len(TESTED), SLATE), -1)
            rows = np.flatnonzero(there_B)
            if len(rows):
                item_BS[rows] = choose(visit.take(rows), h)
            answer = visit.answer(item_BS, rng)
            clicks += int(answer.clicked_BS.sum())
            there_B &= ~answer.left_B
        return clicks / len(TESTED)

    return {
        "the most popular items": served(fixed(lambda histories: np.tile(best_S, (len(histories), 1)))),
        GREEDY: served(fixed(lambda histories: np.argsort(-ranker.score(histories), axis=1)[:, :SLATE])),
        "greedy on a ranker that reads categories": served(
            fixed(lambda histories: np.argsort(-informed.score(histories), axis=1)[:, :SLATE])
        ),
        "REINFORCE, top-K correction": served(decide(actor, states, SLATE)),
        "actor-critic, by ids alone": served(decide(uninformed, plain, SLATE)),
        "actor-critic": served(decide(critic, states, SLATE)),
        "greedy with every taste known": knowing(
            lambda visit, h: np.argsort(-world.utility(visit.user_idx_B, visit.state), axis=1)[:, :SLATE]
        ),
        PLAN: knowing(optimum.plan),
        BOUND: float(optimum.value(np.unique(TESTED)).mean()),
    }


def table(found: list[dict[str, float]]) -> str:
    """Means over seeds with intervals, beside greedy and beside what could be had."""
    lines = [
        f"{len(found)} seeds; clicks a visit.",
        "",
        "| | clicks | beside greedy | of the bound | of planning | seed by seed |",
        "|---" * 6 + "|",
    ]
    for name in found[0]:
        value = np.array([one[name] for one in found])
        greedy, bound, plan = (np.array([one[other] for one in found]) for other in (GREEDY, BOUND, PLAN))
        shares = [interval(100 * (value / greedy - 1), "+.1f"), interval(100 * value / bound, ".1f"), interval(100 * value / plan, ".1f")]
        cells = [interval(value, ".2f"), *(f"{share} %" for share in shares), " ".join(f"{each:.1f}" for each in value)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def interval(value: Floats, form: str) -> str:
    """The mean and half the width of its 95 % interval over seeds."""
    half = stats.t.ppf(0.975, len(value) - 1) * value.std(ddof=1) / np.sqrt(len(value)) if len(value) > 1 else float("nan")
    return f"{value.mean():{form}} ±{half:{form.lstrip('+')}}"


if __name__ == "__main__":
    main()
