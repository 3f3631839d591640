"""Trains peers and genre's own rankers on the same splits, judges all with one evaluator, and prints a section a data set.

python benchmarks/peers.py --install                          # one environment a peer, in ./peers
python benchmarks/peers.py configs/a.yaml configs/b.yaml      # trains what --out does not hold yet, then prints
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
from genre.runs import VERSION, Run, digest
from judging import ONE_CORE, Judge, contend
from outcome import Outcome, section

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


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
    parser.add_argument("configs", nargs="*", type=Path, help="a genre configuration a data set; its split is everybody's")
    parser.add_argument("--install", action="store_true", help="make the peers' environments first")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="which ones")
    parser.add_argument("--rankers", nargs="*", default=["sequential"], help="which of the configuration's rankers; the first is timed")
    parser.add_argument("--cpu-minutes", type=float, default=60, help="of training a peer and data set; who needs more is cut")
    parser.add_argument("--limit", nargs="*", default=[], metavar="PEER=MINUTES", help="another limit for one peer")
    parser.add_argument("--environments", type=Path, default=ROOT / "peers", help="where the peers' environments are")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "peers", help="traces and results; what is there is not done again")
    parser.add_argument("--force", action="store_true", help="do everything again")
    given = parser.parse_args()
    if given.install:
        install(given.environments, sorted({PEERS[name].environment for name in given.peers}))
    limits = dict.fromkeys(given.peers, given.cpu_minutes)
    limits |= {name: float(minutes) for name, _, minutes in (limit.rpartition("=") for limit in given.limit) if name in limits}
    sections = []
    for file in given.configs:
        config = load_config(file)
        folder = given.out / config.name
        run = Run(folder / "split")
        pipeline.prepare(config, run)
        judge = Judge(Dataset.load(run.path("prepare")))
        theirs = compete(judge, folder, limits, given.environments, given.force)
        ours = own(judge, config, folder, given.rankers, given.force)
        sections += [section(config.name, judge.describe(protocol), ours[protocol], theirs[protocol]) for protocol in judge.protocols]
    if sections:
        print("\n\n".join([heading(limits), *sections]))


def heading(limits: dict[str, float]) -> str:
    """What the figures below are."""
    allowed = ", ".join(f"{name} {minutes:g}" for name, minutes in limits.items())
    return f"""# Peers

Printed by `benchmarks/peers.py` on {time.strftime("%Y-%m-%d")}. Every system learns from the same training interactions, on one core, and
is judged by genre's evaluator over the whole catalogue, ties against the model. The model that is best on validation is scored once on the
test part, where the validation interaction belongs to the history but nothing is refitted. ± is half a 95% bootstrap interval over users.
CPU seconds are of training, all threads, without imports; a peer's validations are not counted, genre's own are, and so are the encoders
it reads. A peer had at most so many CPU minutes a data set ({allowed}); "cut" says who would have
taken more: its best model until then counts."""


def install(environments: Path, names: list[str]) -> None:
    """A virtual environment a peer, of this Python; the constraints keep torch to its CPU build."""
    for name in names:
        python = environments / name / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--clear", environments / name], check=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "-r", HERE / "peers" / f"{name}.txt",
             "-c", ROOT / "constraints.txt"], check=True,
        )  # fmt: skip
        print(f"{name}: {environments / name}", file=sys.stderr)


def compete(judge: Judge, folder: Path, limits: dict[str, float], environments: Path, force: bool) -> dict[str, list[Outcome]]:
    """Every peer's outcomes by protocol, trained now or read from an earlier time with the same split."""
    exchange = folder / "exchange"
    judge.write(exchange)
    results = folder / digest(exchange)
    found: dict[str, list[Outcome]] = {protocol: [] for protocol in judge.protocols}
    lengths = judge.dataset.training.lengths
    dense = bool(np.median(lengths[lengths > 0]) > 32)
    for name, minutes in limits.items():
        peer = PEERS[name]
        place = results / name.lower().replace(" ", "-")
        files = {protocol: place / f"{protocol}.json" for protocol in judge.protocols}
        if force or not all(file.is_file() for file in files.values()):
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
            for protocol in judge.protocols:
                found[protocol].append(Outcome.load(files[protocol]))
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
        for name in needed(mine, rankers):
            for encoder in mine.rankers[name].encoders():
                pipeline.embed(mine, run, encoder)
            print(f"{time.strftime('%H:%M')} {folder.name}: genre {name}, {protocol}", file=sys.stderr)
            pipeline.rank(mine, run, name, force)
        found[protocol] = [measured(judge, protocol, mine, run, name) for name in rankers]
    return found


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
