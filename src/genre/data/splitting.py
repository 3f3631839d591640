"""Splits: which interactions are learnt from, which choose, which judge."""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime
from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from genre.component import Component

TRAIN, VALID, TEST, LATER, COLD = 0, 1, 2, 3, 4
"""Values of the column `part`. LATER: after a target within its window, history for later targets only.
COLD: taken out of training because its item is held out, still part of histories."""

Unit = Literal["interaction", "session"]


class Split(Component):
    """Gives each interaction its part."""

    kind = "split"
    builtins: ClassVar[dict[str, str]] = {
        "leave_last_out": "genre.data.splitting:LeaveLastOut",
        "global_time": "genre.data.splitting:GlobalTime",
        "none": "genre.data.splitting:NoSplit",
    }

    class Config(Component.Config):
        cold_items: float = Field(0.0, ge=0, lt=1)
        """Share of the catalogue whose interactions are kept out of training, to measure what happens to new items."""
        refit: bool = False
        """Learn from the validation part, too, with what an earlier run of the folder chose by it: as fresh as in production."""

        @property
        def chooses(self) -> bool:
            """Whether a part is kept to choose settings by."""
            return self.use != "none" and not self.refit

    config: Config

    @abstractmethod
    def assign(self, interactions: pl.DataFrame) -> pl.Series:
        """The part of each row, int8, of a frame sorted by user and time with `user_idx`, `time` (null: no clock) and `session`
        (an integer that changes from one session of a user to the next)."""

    def parts(self, interactions: pl.DataFrame) -> pl.Series:
        """As `assign` says; once choices are made, what comes before the first test is all learnt from."""
        part = self.assign(interactions)
        if not self.config.refit:
            return part
        first = pl.col("time").filter(pl.col("part") == TEST).min()
        learnt = (pl.col("part") == VALID) | ((pl.col("part") == LATER) & (pl.col("time") < first))
        asked = interactions.select("time", part=part)
        return asked.select(pl.when(learnt).then(pl.lit(TRAIN, pl.Int8)).otherwise("part")).to_series()

    def describe(self) -> str:
        """The protocol in words, for the line beside every figure."""
        told = [self.config.use.replace("_", "-")]
        told += [f"{self.config.cold_items:.0%} of items held out"] if self.config.cold_items else []
        return ", ".join([*told, *(["learnt anew from training and validation"] if self.config.refit else [])])


class LeaveLastOut(Split):
    """Each user's last interaction (or session) is test, the one before is validation, the rest is training.

    Users with fewer than three units are only trained on.
    """

    class Config(Split.Config):
        unit: Unit = "interaction"
        """What is left out: one interaction, or all of one session (a basket, an invoice)."""

    config: Config

    def assign(self, interactions: pl.DataFrame) -> pl.Series:
        """See Split.assign."""
        unit = pl.int_range(pl.len()).over("user_idx") if self.config.unit == "interaction" else pl.col("session")
        rank = interactions.select("user_idx", unit=unit).select(
            back=pl.col("unit").max().over("user_idx") - pl.col("unit"), units=pl.col("unit").max().over("user_idx") + 1
        )
        back = pl.when(pl.col("units") >= 3).then(pl.col("back"))
        return rank.select(pl.when(back == 0).then(TEST).when(back == 1).then(VALID).otherwise(TRAIN).cast(pl.Int8)).to_series()


class GlobalTime(Split):
    """Everything before one moment is training; the first unit of each user in the next window validates, in the last window tests.

    No model sees anything younger than what it is judged on, for any user.
    """

    class Config(Split.Config):
        unit: Unit = "interaction"
        """What a user is judged by: the first interaction in a window, or all of the first session."""
        valid_share: float = Field(0.1, gt=0, lt=0.5)
        """Share of interactions, by time, in the validation window."""
        test_share: float = Field(0.1, gt=0, lt=0.5)
        """Share of interactions, by time, in the test window, the newest."""
        valid_from: datetime | None = None
        """Begin of the validation window (UTC), instead of a share."""
        test_from: datetime | None = None
        """Begin of the test window (UTC), instead of a share."""

    config: Config

    def assign(self, interactions: pl.DataFrame) -> pl.Series:
        """See Split.assign.

        Raises:
            ValueError: there is no clock, or a window is empty.
        """
        time = interactions["time"]
        if time.null_count():
            raise ValueError(
                f"data.split: global_time needs a time in every row, {time.null_count():,} have none; "
                "name the column with data.reader.columns.time, or use leave_last_out"
            )
        config = self.config
        test_from = _seconds(config.test_from, time.quantile(1 - config.test_share, "higher"))
        valid_from = _seconds(config.valid_from, time.quantile(1 - config.test_share - config.valid_share, "higher"))
        first, last = time.min(), time.max()
        assert isinstance(first, float) and isinstance(last, float)
        if not first < valid_from < test_from <= last:
            raise ValueError(
                f"data.split: windows are empty: data runs from {_date(first)} to {_date(last)}, validation from {_date(valid_from)}, "
                f"test from {_date(test_from)}; set data.split.valid_from and test_from between them"
            )
        window = pl.when(pl.col("time") >= test_from).then(TEST).when(pl.col("time") >= valid_from).then(VALID).otherwise(TRAIN)
        frame = interactions.select("user_idx", "session", window=window.cast(pl.Int8)).with_row_index("row")
        mine = ["user_idx", "window"]
        if config.unit == "interaction":
            judged = pl.col("row") == pl.col("row").min().over(mine)
        else:
            judged = pl.col("session") == pl.col("session").min().over(mine)
        return frame.select(
            pl.when(pl.col("window") == TRAIN).then(TRAIN).when(judged).then(pl.col("window")).otherwise(LATER).cast(pl.Int8)
        ).to_series()


class NoSplit(Split):
    """Everything is training: for the model that goes to production, once the choices are made."""

    def assign(self, interactions: pl.DataFrame) -> pl.Series:
        """See Split.assign."""
        return pl.repeat(TRAIN, len(interactions), dtype=pl.Int8, eager=True)


def _seconds(moment: datetime | None, otherwise: float | None) -> float:
    if moment is not None:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    assert otherwise is not None
    return otherwise


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
