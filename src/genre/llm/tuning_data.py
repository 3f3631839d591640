"""What fine-tuning may see of a dataset: training interactions, and what was shown before anything held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from genre.data.dataset import Dataset
from genre.data.splitting import COLD, TRAIN
from genre.llm.objectives import TuningData
from genre.types import Training


def tuning_data(dataset: Dataset, prepared: Path, validate: bool, seed: int) -> TuningData:
    """From a finished prepare stage.

    Args:
        validate: whether the split's validation part may be used to choose by.
    """
    held = dataset.interactions.filter(~pl.col("part").is_in([TRAIN, COLD]))
    until_U = np.full(len(dataset.users), np.inf)
    if len(held):
        # Where there is no clock nothing is known to be earlier than what is held out.
        first = held.group_by("user_idx").agg(pl.col("time").fill_null(-np.inf).min())
        until_U[first["user_idx"].to_numpy()] = first["time"].to_numpy()
    truth = dataset.ground_truth("valid") if validate else None
    training = Training(dataset.training, dataset.n_items, None, truth, dataset.repeats, seed=seed)
    return TuningData(dataset.items["item_id"].to_list(), training, _impressions(dataset, prepared / "impressions.parquet"), until_U)


def _impressions(dataset: Dataset, file: Path) -> pl.DataFrame | None:
    """What was shown, with dense indices; items whose interactions are held out are left out with them."""
    if not file.is_file():
        return None
    cold = dataset.interactions.filter(pl.col("part") == COLD)["item_idx"].unique()
    return (
        pl.read_parquet(file)
        .join(dataset.items.select("item_id", "item_idx"), on="item_id", maintain_order="left")
        .join(dataset.users.select("user_id", "user_idx"), on="user_id", maintain_order="left")
        .filter(pl.col("time").is_not_null() & ~pl.col("item_idx").is_in(cold.to_list()))
        .select("user_idx", "item_idx", "time", "clicked", request=pl.col("request_id"))
    )
