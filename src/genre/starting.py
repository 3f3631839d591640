"""Starting: where training begins when a model serves already, found in its bundle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from genre.rankers import Ranker
from genre.types import Start


def ranker_of(bundle: Path, name: str) -> Path | None:
    """The folder of a ranker by its name in the configuration: the served one, or one that it is made of; None if it is not there."""
    served = json.loads((bundle / "bundle.json").read_text())["facts"]["ranker"]
    return next((folder for inside, folder in _inside(bundle / "ranker", served) if inside == name), None)


def start_of(folder: Path, items: pl.DataFrame) -> Start:
    """An earlier ranker, and where today's items stand in its bundle's catalogue."""
    bundle = next(above for above in folder.parents if (above / "bundle.json").is_file())
    earlier = pl.read_parquet(bundle / "items.parquet", columns=["item_id", "item_idx"])
    joined = items.select("item_id").join(earlier, on="item_id", how="left", maintain_order="left")
    return Start(Ranker.load(folder), joined["item_idx"].fill_null(-1).to_numpy().astype(np.int64))


def _inside(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    yield name, folder
    for member in sorted(folder.glob("members/*/component.json")):
        yield from _inside(member.parent, member.parent.name)
