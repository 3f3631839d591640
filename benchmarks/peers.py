"""Trains peers and genre's own rankers on the same splits, judges all with one evaluator, and prints a section a data set.

python benchmarks/peers.py --install                    # one environment a peer, in ./peers
python benchmarks/peers.py movielens-100k > RESULTS.md  # trains what --out does not hold yet, then prints
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genre import pipeline
from genre.config import GenreConfig, load_config
from genre.data.dataset import Dataset
from genre.rankers import Ranker
from genre.runs import VERSION, Run
from judging import ONE_CORE, Judge, contend
from outcome import Outcome, section
from quality import CONFIGS, REFITTED, courses, paths

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SETS = ("movielens-100k", "amazon-beauty-2014", "online-retail")
"""Where items recur both protocols come out of one training of the peers."""


@dataclass(frozen=True)
class Peer:
    """A library's model: which environment and script train it, and whether it is what `sequential` is timed against."""

    environment: str
    options: tuple[str, ...] = ()
    neural: bool = False


PEERS = {
    "RecTools SASRec": Peer("rectools", ("--model", "sasrec"), neural=True),
    "RecBole SASRec": Peer("recbole", neural=True),
    "RecTools EASE": Peer("rectools", ("--model", "ease")),
    "implicit ALS": Peer("implicit", ("--model", "als")),
    "implicit BPR": Peer("implicit", ("--model", "bpr")),
    "implicit item-kNN": Peer("implicit", ("--model", "knn")),
}


def main() -> None:
    """Install, or train, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SETS)}; all of them unless --install is given")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GENRE_DATA", "../shared/data")), help="folder of data sets")
    parser.add_argument("--install", action="store_true", help="make the peers' environments first")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="which ones")
    parser.add_argument("--rankers", nargs="*", default=["ids", "hybrid"], help="which of the configuration's rankers")
    parser.add_argument("--cpu-minutes", type=float, default=60, help="of training a peer and data set; who needs more is cut")
    parser.add_argument("--limit", nargs="*", default=[], metavar="PEER=MINUTES", help="another limit for one peer")
    parser.add_argument("--environments", type=Path, default=ROOT / "peers", help="where the peers' environments are")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "peers", help="traces and results; what is there is not done again")
    parser.add_argument("--print", action="store_true", dest="only_print", help="train no peer: print of those that --out holds")
    parser.add_argument("--force", action="store_true", help="do everything again")
    given = parser.parse_args()
    if given.install:
        install(given.environments, sorted({PEERS[name].environment for name in given.peers}))
    limits = dict.fromkeys(given.peers, given.cpu_minutes)
    limits |= {name: float(minutes) for name, _, minutes in (limit.rpartition("=") for limit in given.limit) if name in limits}
    sections = []
    for name in given.names or ([] if given.install else SETS):
        config = load_config(CONFIGS[name], [*paths(name, given.data), f"name={name}"])
        folder = given.out / name
        judge = judge_of(name, given.data, folder)
        theirs = compete(judge, folder, limits, given.environments, not given.only_print, given.force)
        # What is learnt anew before the test is in the results of quality.py.
        ours = own(judge, config, folder, [] if name in REFITTED else given.rankers, given.force)
        sections += [section(name, judge.describe(protocol), ours[protocol], theirs[protocol]) for protocol in judge.protocols]
    if sections:
        print("\n\n".join([heading(), *sections]))


def judge_of(name: str, data: Path, folder: Path) -> Judge:
    """Of a data set's split."""
    found = []
    for learnt, place in zip(courses(name), ("split", "refit"), strict=False):
        run = Run(folder / place)
        pipeline.prepare(load_config(CONFIGS[name], [*paths(name, data), f"name={name}", learnt]), run)
        found.append(Dataset.load(run.path("prepare")))
    return Judge(*found)


def heading() -> str:
    """What the figures below are."""
    return f"""# Peers

Printed by `benchmarks/peers.py` on {time.strftime("%Y-%m-%d")}. Every system learns from the same training interactions, on one core, and
is judged by genre's evaluator over the whole catalogue, ties against the model. The model that is best on validation is scored once on the
test part, where the validation interaction belongs to the history; nothing is learnt anew for it unless the protocol says so. ± is half a
95% bootstrap interval over users. CPU seconds are of training, all threads, without imports; a peer's validations are not counted, genre's
own are, and so are the encoders it reads. "Cut" is who would have gone on after the CPU minutes it was given: its best model until then
counts."""


def install(environments: Path, names: list[str]) -> None:
    """A virtual environment a peer, of this Python."""
    for name in names:
        python = environments / name / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--clear", environments / name], check=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "-r", HERE / "peers" / f"{name}.txt"], check=True
        )
        print(f"{name}: {environments / name}", file=sys.stderr)


def compete(judge: Judge, folder: Path, limits: dict[str, float], environments: Path, train: bool, force: bool) -> dict[str, list[Outcome]]:
    """Every peer's outcomes by protocol, trained now or read from an earlier time with the same split."""
    results = folder / judge.fingerprint()
    exchange = results / "exchange"
    judge.write(exchange)
    found: dict[str, list[Outcome]] = {protocol: [] for protocol in judge.protocols}
    lengths = judge.dataset.training.lengths
    dense = bool(np.median(lengths[lengths > 0]) > 32)
    for name, minutes in limits.items():
        peer = PEERS[name]
        place = results / name.lower().replace(" ", "-")
        files = {protocol: place / f"{protocol}.json" for protocol in judge.protocols}
        before = [Outcome.load(file) for file in files.values() if file.is_file()]
        # Who was cut is trained again if there is more time now.
        done = len(before) == len(files) and not any(outcome.cut and outcome.budget < minutes for outcome in before)
        if train and (force or not done):
            python = environments / peer.environment / "bin" / "python"
            if not python.is_file():
                raise SystemExit(f"{python} is missing; make it with: python benchmarks/peers.py --install --peers {name!r}")
            shutil.rmtree(place, ignore_errors=True)
            options = list(peer.options)
            if name == "RecTools SASRec":  # its authors' 0.2 where there is much data, more where there is little; no padding for nothing
                options += ["--length", "64", "--dropout", "0.2"] if dense else ["--length", "50", "--dropout", "0.5"]
            script = HERE / "peers" / f"{peer.environment}_run.py"
            print(f"{time.strftime('%H:%M')} {folder.name}: {name}, at most {minutes:g} CPU minutes", file=sys.stderr)
            outcomes = contend(judge, exchange, name, [str(python), str(script), *options], minutes, place)
            for protocol, outcome in outcomes.items():
                outcome.neural = peer.neural
                if outcome.failed:
                    print(f"{name}: {outcome.failed}; see {place / 'log.txt'}", file=sys.stderr)
                else:
                    outcome.save(files[protocol])
                found[protocol].append(outcome)
        else:
            for protocol, outcome in zip(files, before, strict=False):
                found[protocol].append(outcome)
    return found


def own(judge: Judge, config: GenreConfig, folder: Path, rankers: list[str], force: bool) -> dict[str, list[Outcome]]:
    """genre's rankers on the same split, by the pipeline, in this process; one run a protocol, as validation differs."""
    found = {}
    for protocol in judge.protocols:
        mine = config.model_copy(update={"data": config.data.model_copy(update={"repeats": protocol == "repeats"})})
        run = Run(folder / f"genre-{protocol}")
        pipeline.prepare(mine, run)
        dataset = Dataset.load(run.path("prepare"))
        if not dataset.training.item_idx_E.tolist() == judge.dataset.training.item_idx_E.tolist():
            raise SystemExit(f"{run.folder} was split in another way than {folder / 'split'}: delete both")
        rungs = {name: with_all_validation(ranker) if name in rankers else ranker for name, ranker in mine.rankers.items()}
        mine = mine.model_copy(update={"rankers": rungs})
        for name in needed(mine, rankers):
            for encoder in mine.rankers[name].encoders():
                pipeline.embed(mine, run, encoder)
            print(f"{time.strftime('%H:%M')} {folder.name}: genre {name}, {protocol}", file=sys.stderr)
            pipeline.rank(mine, run, name, force)
        found[protocol] = [measured(judge, protocol, mine, run, name) for name in rankers]
    return found


def with_all_validation(settings: Ranker.Config) -> Ranker.Config:
    """Settings by which validation takes every user, as the peers' does, or the race would be run over two courses."""
    if "validation_users" not in type(settings).model_fields:
        return settings
    return settings.model_copy(update={"validation_users": 1_000_000})


def needed(config: GenreConfig, rankers: list[str]) -> Iterator[str]:
    """The rankers and those that they combine, in the configuration's order."""
    wanted = set(rankers)
    for name in reversed(config.rankers):
        if name in wanted:
            wanted |= set(config.rankers[name].members())
    if missing := wanted - set(config.rankers):
        raise SystemExit(
            f"the configuration {config.name!r} has no ranker {', '.join(sorted(missing))}; it has {', '.join(config.rankers)}"
        )
    return (name for name in config.rankers if name in wanted)


def measured(judge: Judge, protocol: str, config: GenreConfig, run: Run, name: str) -> Outcome:
    """A finished ranker by the same judge; its CPU seconds include the encoders it reads and the rankers it combines."""
    folder = run.path(f"rank/{name}")
    settings = config.rankers[name]
    stages = [f"rank/{name}", *(f"embed/{x}" for x in settings.encoders()), *(f"rank/{x}" for x in settings.members())]
    stages += [f"embed/{encoder}" for member in settings.members() for encoder in config.rankers[member].encoders()]
    before = sum(run.manifest(stage).cpu_seconds for stage in set(stages[1:]))
    outcome = Outcome(f"genre {name}", VERSION, settings.model_dump(mode="json"))
    history = folder / "history.jsonl"
    for line in history.read_text().splitlines() if history.is_file() else []:
        epoch = json.loads(line)
        outcome.seen(epoch["epoch"] + 1, round(before + epoch["cpu_seconds"], 2), epoch["validation"])
    outcome.cpu_seconds = round(before + run.manifest(f"rank/{name}").cpu_seconds, 2)
    outcome.cpu_to_best = outcome.cpu_to_best or outcome.cpu_seconds
    # The trace is what training saw; the table shows what the judge finds for the weights that were kept.
    ranker = Ranker.load(folder)
    outcome.valid_ndcg = judge.validate(protocol, ranker.score)
    outcome.test = judge.test(protocol, ranker.score)
    return outcome


if __name__ == "__main__":
    os.environ |= ONE_CORE  # CPU time is what is compared; torch is not loaded yet
    main()
