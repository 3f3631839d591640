"""Learning in front of users learnt from a real log, and what that log's held-out lists say of what was learnt (MIND, sample).

    python benchmarks/learnt_users.py [--data ../shared/data] [--seeds 10]

The users of the log are split at random: three fifths are learnt from (ranker, user model, policies), a fifth chooses the user model's
epoch, a fifth is held out. The catalogue are the news that were shown at all, and a visitor may choose one again. Visitors of the table
have the histories of held-out users, and choose as the model does that the policies learnt in front of (*same*), or as one learnt from
the held-out users' own lists (*other*).

Off-policy: where the logging policy placed the entries of a list is not known, since the file's order is shuffled, so the log is taken as
one of uniform draws from the list: the first place, whose pick had the chance 1 / length. All entries' clicks are known, so the draw is
averaged over exactly, and a policy's value is the sum over the list of its chance times the click. It says which of the entries that the
logging policy had chosen should come first, and nothing of other news; where an entry really stood may have had a part in its clicks.
Open Bandit's uniform log has exact propensities, but no histories to learn sequences from, and some 45 clicks a
campaign. The policies know each news' category beside the ranker's vectors, and the actor-critic has the settings of `reinforcement.py`,
which were chosen in the synthetic world; nothing was tuned here.
"""

# B visitors, I lists, E entries of all lists, S places, N items, C categories

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from deep import mind
from genre.data.impressions import impressions_of
from genre.evaluation.beyond_accuracy import category_shares
from genre.evaluation.off_policy.estimators import Contributions
from genre.evaluation.off_policy.intervals import interval, resampled
from genre.policies.actor import Actor
from genre.policies.actor_critic import ActorCritic
from genre.rankers.sequential import SequentialRanker
from genre.simulation.adversarial import LearntUsers, UserModelling
from genre.simulation.choices import Choices, Known
from genre.simulation.learning import learn
from genre.simulation.reinforcing import Reinforcing, reinforce
from genre.simulation.rollout import Decide, play
from genre.simulation.rounds import decide
from genre.simulation.states import UserStates
from genre.types import Floats, Histories, Impressions, Ints, Training
from genre.vectors import unit
from reinforcement import CRITIC
from reinforcement import interval as over_seeds
from user_models import standard

SLATE, HORIZON, VISITORS, PLACES = 5, 10, 600, 10
ROUNDS = {"epochs": 8, "visitors": 192, "judged": 100, "slate": SLATE, "horizon": HORIZON, "hidden": 64}
GREEDY, LOGGED = "greedy on the ranker", "as it was logged"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GENRE_DATA", "../shared/data")), help="folder of data sets")
    parser.add_argument("--seeds", type=int, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        shown, user_I, content_ND, category_NC = read(asked.data / "mind-sample", Path(scratch))
        fifth_I = np.random.default_rng(0).integers(5, size=int(user_I.max()) + 1)[user_I]
        learnt, held, test = (shown.take(np.flatnonzero(rows)) for rows in (fifth_I < 3, fifth_I == 3, fifth_I == 4))
        rewards: dict[str, list[tuple[float, float]]] = {}
        values: dict[str, list[Floats]] = {}
        for seed in range(asked.seeds):
            one(learnt, held, test, content_ND, category_NC, seed, Path(scratch) / str(seed), rewards, values)
            print(f"seed {seed}: { ({name: np.round(found[-1], 3).tolist() for name, found in rewards.items()}) }", flush=True)
        print(simulated(rewards) + "\n\n" + logged(values, user_I[fifth_I == 4]))


def read(folder: Path, scratch: Path) -> tuple[Impressions, Ints, Floats, Floats]:
    """The lists over the catalogue of what was shown, whose they are, and the items' vectors and categories."""
    dataset, content_ND = mind(folder, scratch)
    assert dataset.impressions is not None
    frame = dataset.impressions.collect()
    found = impressions_of(dataset, frame)
    items, item_E = np.unique(found.item_idx_E, return_inverse=True)
    new_N = np.full(dataset.n_items, -1)
    new_N[items] = np.arange(len(items))
    kept = found.queries.only(new_N[found.queries.item_idx_E] >= 0)
    queries = Histories(new_N[kept.item_idx_E].astype(np.int32), np.full(len(kept.item_idx_E), np.nan), kept.offsets, kept.now_B)
    first = frame.sort("time", "request_id", "position", maintain_order=True).unique("request_id", keep="first", maintain_order=True)
    user_I = first.join(dataset.users, on="user_id", maintain_order="left")["user_idx"].to_numpy()
    category_NC, _ = category_shares(dataset.items["category"])
    return replace(found, queries=queries, item_idx_E=item_E.astype(np.int32)), user_I, content_ND[items], category_NC[items]


def one(
    learnt: Impressions, held: Impressions, test: Impressions, content_ND: Floats, category_NC: Floats, seed: int, folder: Path,
    rewards: dict[str, list[tuple[float, float]]], values: dict[str, list[Floats]],
) -> None:  # fmt: skip
    """Learn everything with one seed; adds to clicks a visit in front of both models, and to the value of each list."""
    n_items = len(content_ND)
    clicked = np.flatnonzero(learnt.labels["click"] > 0)
    popular_N = np.bincount(learnt.item_idx_E[clicked], minlength=n_items)
    known = Known(unit(content_ND), standard(popular_N))
    settings = UserModelling()
    same = LearntUsers.fit(known, Choices.of(learnt, PLACES), Choices.of(held, PLACES), settings, folder / "same", seed)
    other_known = Known(known.vector_ND, standard(np.bincount(test.item_idx_E[test.labels["click"] > 0], minlength=n_items)))
    other = LearntUsers.fit(other_known, Choices.of(test, PLACES), Choices.of(held, PLACES), settings, folder / "other", seed)
    owner_E = learnt.owner_E()
    sequences = [np.concatenate([learnt.queries.items(i), learnt.item_idx_E[clicked[owner_E[clicked] == i]]]) for i in range(len(learnt))]
    ranker = SequentialRanker(
        SequentialRanker.Config(
            embedding_dim=32, epochs=10, max_history=30, learning_rate=3e-3, dropout=0.1, input_dropout=0.1, item_mask=0.0, device="cpu",
            sitting_seconds=None,
        )
    )  # fmt: skip
    ranker.fit(Training(Histories.of(sequences), n_items, repeats=True, seed=seed), folder / "ranker")
    states = UserStates(ranker, category_NC)
    critic, _ = learn(same, states, CRITIC.model_copy(update=ROUNDS), folder / "critic", seed)
    actor, _ = reinforce(same, states, Reinforcing(**ROUNDS, learning_rate=3e-4, conservative=0.05, discount=0.8), folder / "actor", seed)
    best_S = np.argsort(-popular_N, kind="stable")[:SLATE]

    def always(choose: Callable[[Histories], Ints]) -> Decide:
        return lambda histories, rng: (choose(histories), np.ones((len(histories), SLATE)))

    systems: dict[str, tuple[Decide, Callable[[Histories], Floats]]] = {
        "most clicked": (
            always(lambda histories: np.tile(best_S, (len(histories), 1))),
            lambda histories: np.tile(popular_N.astype(np.float64), (len(histories), 1)),
        ),
        GREEDY: (always(lambda histories: np.argsort(-ranker.score(histories), axis=1)[:, :SLATE]), ranker.score),
        "REINFORCE, top-K correction": (decide(actor, states, SLATE), lambda histories: logits(actor, states, histories)),
        "actor-critic": (decide(critic, states, SLATE), lambda histories: logits(critic, states, histories)),
    }
    for name, (deciding, score) in systems.items():
        clicks = []
        for users in (same, other):
            visitors = LearntUsers(users.generator, users.known, test.queries)
            episodes = play(visitors, deciding, VISITORS, HORIZON, np.random.default_rng([seed, 7]))
            clicks.append(float(episodes.reward_B.mean()))
        rewards.setdefault(name, []).append((clicks[0], clicks[1]))
        values.setdefault(name, []).append(first_place(test, score))
    values.setdefault(LOGGED, []).append(first_place(test, lambda histories: np.zeros((len(histories), n_items))))


@torch.no_grad()
def logits(policy: Actor | ActorCritic, states: UserStates, histories: Histories) -> Floats:
    """What a policy goes by at the first place."""
    state_BF = torch.from_numpy(states.of(histories))
    if isinstance(policy, Actor):
        return np.asarray(policy(state_BF).numpy())
    nothing = torch.zeros(len(state_BF), 0, dtype=torch.int64)
    return np.asarray(policy.logits(policy.worth(state_BF, nothing, 0), policy.prior(state_BF)).numpy())


def first_place(test: Impressions, score: Callable[[Histories], Floats]) -> Floats:
    """The chance of a click at the first place of each list if the best entry stands there; equals share it."""
    found = np.empty(len(test))
    label_E = test.labels["click"]
    for start in range(0, len(test), 256):
        part = score(test.queries.take(slice(start, start + 256)))
        for row, score_N in enumerate(part, start):
            entries = slice(test.offsets[row], test.offsets[row + 1])
            score_K = score_N[test.item_idx_E[entries]]
            found[row] = label_E[entries][score_K == score_K.max()].mean()
    return found


def simulated(rewards: dict[str, list[tuple[float, float]]]) -> str:
    """Clicks a visit, over the seeds."""
    lines = ["| clicks a visit | same | beside greedy | other | beside greedy |", "|---" * 5 + "|"]
    greedy_Z2 = np.array(rewards[GREEDY])
    for name, found in rewards.items():
        value_Z2 = np.array(found)
        cells = []
        for side in range(2):
            cells += [over_seeds(value_Z2[:, side], ".2f"), f"{over_seeds(100 * (value_Z2[:, side] / greedy_Z2[:, side] - 1), '+.1f')} %"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def logged(values: dict[str, list[Floats]], user_I: Ints) -> str:
    """The value at the first place beside what was logged, by the bootstrap over users of the mean over seeds."""
    mean = {name: np.mean(found, axis=0) for name, found in values.items()}
    parts = [Contributions(mean[name], np.ones(len(user_I))) for name in values]
    estimate_ZP = resampled(parts, user_I, 2000)
    base, greedy = list(values).index(LOGGED), list(values).index(GREEDY)
    lines = [
        f"{len(user_I):,} held-out lists of {len(np.unique(user_I)):,} users.", "",
        "| click at the first place | value | minus logged | minus greedy | not worse than logged |", "|---" * 5 + "|",
    ]  # fmt: skip
    for place, (name, part) in enumerate(zip(values, parts, strict=True)):
        cells = [f"{part.estimate:.4f} ±{interval(part.estimate, estimate_ZP[:, place]).half:.4f}"]
        gains = [interval(part.estimate - parts[i].estimate, estimate_ZP[:, place] - estimate_ZP[:, i]) for i in (base, greedy)]
        cells += [f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})" for gain in gains]
        verdict = "holds" if gains[0].low >= 0 else "fails" if gains[0].high < 0 else "cannot be told"
        lines.append(f"| {name} | {' | '.join(cells)} | {'' if name == LOGGED else verdict} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
