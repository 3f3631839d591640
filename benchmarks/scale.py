"""Scale: time and memory of prepare, one epoch of `sequential`, and evaluation, at growing sizes of a synthetic world.

    python benchmarks/scale.py --out benchmarks/scale.png [--largest 1000000]

The largest size is 1 million users, 200 thousand items and 20 million interactions; the others are fractions of it. Each size runs in
a process of its own, so that its peak memory is its own. Prints a table; draws a plot.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from genre.runs import Run

FRACTIONS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
STAGES = {"prepare": "prepare", "rank/ids": "train, 1 epoch", "evaluate/ids": "evaluate 20,000 users"}
EVENTS_A_USER, USERS_AN_ITEM, JUDGED = 20, 5, 20_000


@dataclass(frozen=True)
class Measured:
    """One stage at one size."""

    interactions: int
    stage: str
    seconds: float
    cpu_seconds: float
    peak_mb: float


def main() -> None:
    """Measure every size and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=1_000_000, help="users at the largest size")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/scale.png"))
    asked = parser.parse_args()
    found = [line for fraction in FRACTIONS for line in measure(round(asked.largest * fraction))]
    print("| interactions | stage | seconds | CPU s | CPU µs an interaction | peak MB |\n| --- | --- | --- | --- | --- | --- |")
    for m in found:
        each = 1e6 * m.cpu_seconds / m.interactions
        print(f"| {m.interactions:,} | {STAGES[m.stage]} | {m.seconds:,.0f} | {m.cpu_seconds:,.0f} | {each:.1f} | {m.peak_mb:,.0f} |")
    plot(found, asked.out)


def measure(users: int) -> list[Measured]:
    """One size, end to end."""
    config = {
        "data": {
            "reader": {"use": "synthetic", "users": users, "items": max(200, users // USERS_AN_ITEM), "events_per_user": EVENTS_A_USER},
            "split": {"use": "leave_last_out"},
        },
        "rankers": {"ids": {"use": "sequential", "epochs": 1, "loss": "sampled"}},  # what auto takes at the largest size
        "evaluate": {"users": min(JUDGED, users)},
    }
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / f"scale-{users}.yaml"
        file.write_text(yaml.safe_dump(config))
        subprocess.run([sys.executable, "-m", "genre.cli", "run", str(file)], cwd=scratch, check=True, stdout=sys.stderr)
        run = Run(Path(scratch) / "runs" / file.stem)
        manifests = [run.manifest(stage) for stage in STAGES]
        return [Measured(users * EVENTS_A_USER, m.stage, m.seconds, m.cpu_seconds, m.peak_mb) for m in manifests]


def plot(found: list[Measured], file: Path) -> None:
    """CPU time and memory over the number of interactions."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    for stage, label in STAGES.items():
        mine = [m for m in found if m.stage == stage]
        millions = [m.interactions / 1e6 for m in mine]
        left.plot(millions, [m.cpu_seconds for m in mine], "o-", label=label)
        right.plot(millions, [m.peak_mb / 1000 for m in mine], "o-", label=label)
    left.set(title="CPU time", xlabel="million interactions", ylabel="seconds", ylim=(0, None))
    right.set(title="Peak memory of the process", xlabel="million interactions", ylabel="GB", ylim=(0, None))
    right.axhline(8, color="grey", linestyle=":", label="8 GB")
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
