"""Quality on real data: every rung of each configuration, several seeds, one table.

    python benchmarks/quality.py --data ../shared/data --seeds 3 [NAME ...]

Protocol and intervals are in every table. Finished runs are not done again.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import genre
from genre.reporting import ladder

HERE = Path(__file__).parent
NAMES = ("movielens-100k", "amazon-beauty-2014", "online-retail", "online-retail-repeats", "complete-journey")
CONFIGS = {name: HERE / f"{name}.yaml" for name in NAMES}
METRICS = ("hit_rate@10", "ndcg@10")
REFITTED = ("online-retail", "online-retail-repeats")
"""What sells there is another thing two weeks later, so no figure is of models that did not see the last two weeks."""


def main() -> None:
    """Run what is asked for and print its tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(CONFIGS), choices=list(CONFIGS), metavar="NAME", help=f"of {', '.join(CONFIGS)}")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GENRE_DATA", "../shared/data")), help="folder of data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/quality"), help="where runs are kept")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--change", action="append", default=[], help="path.to.key=value, on top of every configuration")
    asked = parser.parse_args()
    for name in asked.names:
        folders = []
        for seed in range(asked.seeds):
            seeds = [f"seed={seed}", f"data.seed={seed}"]  # of learning, and of the order of events with equal time stamps
            changes = [*paths(name, asked.data), f"name={name}", *seeds, *asked.change]
            folders.append(asked.runs / name / f"seed-{seed}")
            for learnt in courses(name):
                genre.run(genre.load_config(CONFIGS[name], [*changes, learnt]), folder=folders[-1])
        print(f"\n## {name}\n\n{markdown(folders)}", flush=True)


def courses(name: str) -> list[str]:
    """What a data set is learnt from: training, to choose, and then for the test, where it is REFITTED, validation, too."""
    return [f"data.split.refit={refit}" for refit in (("false", "true") if name in REFITTED else ("false",))]


def paths(name: str, data: Path) -> list[str]:
    """Where a data set's files are, as changes of the configuration; MovieLens-100K finds its own."""
    if name == "movielens-100k":
        return []
    folder = (data / name.removesuffix("-repeats")).resolve()
    return [f"data.reader.events={folder / 'interactions.parquet'}", f"data.reader.items={folder / 'items.parquet'}"]


def markdown(folders: Sequence[Path]) -> str:
    """The ladder over the seeds."""
    climbed = ladder(folders)
    header, rows = climbed.table(*METRICS)
    lines = [header, ["---"] * len(header), *rows]
    return climbed.caption() + "\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
