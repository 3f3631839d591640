"""User models learnt from logged lists: how likely they hold the choices really made, and whether their choices can be told from real ones.

    python benchmarks/user_models.py [--data ../shared/data] [--seeds 3] [mind-sample] [world]

`world`: the synthetic world's logged slates (1,000 users, 8 slates of 5 each, near-uniform logging), split by user. `mind-sample`: MIND's
impressions, their first ten places (in the file's order, which is shuffled), split by time. Three fifths are learnt from, a fifth chooses
the epoch, the last fifth is looked at once. Generator and discriminator get ten rounds after the likelihood; nothing was tuned.
"""

# E choices, S places of a slate, N items

from __future__ import annotations

import argparse
import os
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from deep import mind
from genre.data.impressions import impressions_of
from genre.data.synthetic import World, WorldConfig
from genre.evaluation.intervals import bootstrap, paired_difference
from genre.simulation.adversarial import LearntUsers, UserModelling, batch_of, fit_choices, log_likelihood, play_out
from genre.simulation.choices import Choices, Known
from genre.simulation.choosing import Chooser, Logit, log_chances
from genre.simulation.realism import TwoSample, two_sample
from genre.types import Floats, Histories, Ints
from genre.vectors import unit

MODELS = "chance", "multinomial logit", "network, likelihood alone", "network, against the discriminator", "network, discriminator alone"


def main() -> None:
    """Run what is asked for and print its table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["world", "mind-sample"]
    parser.add_argument("names", nargs="*", choices=[*names, []], default=[], metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GENRE_DATA", "../shared/data")), help="folder of data sets")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    for name in asked.names or names:
        with tempfile.TemporaryDirectory() as scratch:
            known, parts = from_world() if name == "world" else from_mind(asked.data / "mind-sample", Path(scratch))
            print(f"\n### {name}\n\n{table(known, parts, asked.seeds, Path(scratch))}", flush=True)


def from_world() -> tuple[Known, list[Choices]]:
    """Logged slates of the synthetic world, split by user."""
    world = World(WorldConfig(users=1000, items=100, topics=6, repeats=True, new_items=0.0, boredom=2.0, events_per_user=30, min_events=20))
    slates, rounds = 5, 8
    shown = world.impressions(world.explore(slates), rounds).sort("user_id", "request_id", "position", maintain_order=True)
    index = {item: i for i, item in enumerate(world.item_ids.to_list())}
    item_ES = np.array([index[item] for item in shown["item_id"].to_list()]).reshape(-1, slates)
    click_ES = shown["clicked"].to_numpy().reshape(-1, slates)
    taken_E = np.where(click_ES.any(axis=1), click_ES.argmax(axis=1), slates)
    # What a user had clicked in earlier rounds is the history: the log alone, not the world's own events.
    clicks = [item_ES[start + r][click_ES[start + r]] for start in range(0, len(item_ES), rounds) for r in range(rounds)]
    parts = [np.concatenate([np.zeros(0, np.int64), *clicks[e - e % rounds : e]]) for e in range(len(clicks))]
    everything = Choices(Histories.of(parts), item_ES, taken_E)
    user_E = np.arange(len(item_ES)) // rounds
    bounds = [0, 600, 800, 1000]
    known = Known(unit(one_hot(world)), standard(np.bincount(item_ES[:4800][click_ES[:4800]], minlength=100)))
    return known, [everything.take(np.flatnonzero((user_E >= a) & (user_E < b))) for a, b in pairwise(bounds)]


def one_hot(world: World) -> Floats:
    """The items' topics, as an encoder of their texts would find them."""
    found_NT: Floats = np.eye(world.config.topics)[world.topic_N]
    return found_NT


def from_mind(folder: Path, scratch: Path) -> tuple[Known, list[Choices]]:
    """MIND's impressions, split by time."""
    dataset, content_ND = mind(folder, scratch)
    assert dataset.impressions is not None
    shown = impressions_of(dataset, dataset.impressions.collect())
    choices = Choices.of(shown, 10)
    order = np.argsort(shown.queries.now_B, kind="stable")
    first, second = int(0.6 * len(order)), int(0.8 * len(order))
    learnt = shown.take(np.sort(order[:first]))
    popular_N = np.bincount(learnt.item_idx_E[learnt.labels["click"] > 0], minlength=dataset.n_items)
    return Known(unit(content_ND), standard(popular_N)), [choices.take(rows) for rows in np.split(order, [first, second])]


def standard(count_N: Ints) -> Floats:
    """Logarithms of counts, with mean 0 and spread 1."""
    log_N = np.log1p(count_N)
    return np.asarray((log_N - log_N.mean()) / (log_N.std() + 1e-9))


def table(known: Known, parts: list[Choices], seeds: int, scratch: Path) -> str:
    """Log-likelihood of the test choices, and how often a classifier tells generated from real ones."""
    learnt, held, test = parts
    likelihood: dict[str, list[Floats]] = {name: [] for name in MODELS}
    told: dict[str, list[TwoSample]] = {name: [] for name in MODELS}
    kept = 0
    for seed in range(seeds):
        settings, folder = UserModelling(), scratch / f"models-{seed}"
        torch.manual_seed(seed)
        sample = batch_of(known, learnt.take(np.arange(1)))
        sizes = sample.profile_EP.shape[1], sample.item_ESX.shape[2], settings.hidden
        logit, alone, nothing = Logit(), Chooser(*sizes), Chooser(*sizes)
        for weights in nothing.parameters():
            torch.nn.init.zeros_(weights)
        fit_choices(logit, known, learnt, held, settings, folder / "logit", seed)
        plain = LearntUsers.fit(known, learnt, held, settings.model_copy(update={"rounds": 0}), folder / "plain", seed).generator
        against = Chooser(*sizes)
        against.load_state_dict(plain.state_dict())
        play_out(against, known, learnt, settings, seed)
        kept += log_likelihood(against, known, held) >= log_likelihood(plain, known, held) - 0.01
        play_out(alone, known, learnt, settings.model_copy(update={"rounds": 20, "adversarial_rate": 3e-3, "likelihood": 0.0}), seed)
        for name, model in zip(MODELS, (nothing, logit, plain, against, alone), strict=True):
            log_EC = chances(model, known, test)
            likelihood[name].append(log_EC[np.arange(len(test)), test.taken_E])
            drawn_E = (np.exp(log_EC).cumsum(1) < np.random.default_rng(seed).random((len(test), 1))).sum(1)
            drawn_E = np.minimum(drawn_E, test.item_ES.shape[1])
            told[name].append(two_sample(known, test, Choices(test.histories, test.item_ES, drawn_E), seed))
    value = {name: np.stack(rows).astype(np.float64)[:, :, None] for name, rows in likelihood.items()}
    lines = [
        f"{len(learnt):,} choices learnt from, {len(held):,} to choose the epoch, {len(test):,} looked at once; {seeds} seeds.",
        "",
        "| | log-likelihood, nats | minus the logit's | told from real choices |",
        "|---|---|---|---|",
    ]
    for name in MODELS:
        gain = "" if name == MODELS[1] else str(paired_difference(value[name], value[MODELS[1]])[0])
        mean, half = np.mean([one.accuracy for one in told[name]]), told[name][0].half
        lines.append(f"| {name} | {bootstrap(value[name].mean(0))[0]} | {gain} | {mean:.3f} ±{half:.3f} |")
    lines += ["", f"What the adversary made of the network would have been kept by `LearntUsers.fit` for {kept} of {seeds} seeds."]
    return "\n".join(lines)


@torch.inference_mode()
def chances(model: torch.nn.Module, known: Known, choices: Choices) -> Floats:
    """Log-chances of every place, and of nothing."""
    batch = batch_of(known, choices)
    return np.asarray(log_chances(model(batch.profile_EP, batch.item_ESX), batch.shown_ES).double().numpy())


if __name__ == "__main__":
    main()
