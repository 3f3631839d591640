"""Objectives: what fine-tuning makes vectors good for; each is a loss over the vectors of texts."""

# N items, Q further texts (questions), K vector size

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from genre.component import Component
from genre.types import Ints, Training

if TYPE_CHECKING:  # configs are read without torch
    from torch import Tensor, nn

    from genre.llm.bank import View


@dataclass(frozen=True)
class TuningData:
    """What an objective may learn from.

    Attributes:
        item_ids: N of them.
        training: interactions of the training part, and validation queries where some are held out.
        impressions: `request`, `user_idx`, `item_idx`, `time`, `clicked` of what was shown; None where nothing was logged.
        until_U: of each user the moment from which on nothing may be learnt (their first held-out interaction), else infinity.
    """

    item_ids: Sequence[str]
    training: Training
    impressions: pl.DataFrame | None
    until_U: np.ndarray[Any, np.dtype[np.float64]]


class Objective(Component):
    """A loss over vectors of texts: rows 0 to N - 1 are the items', those after them what `prepare` adds."""

    class Config(Component.Config):
        def files(self) -> tuple[Path, ...]:
            """Files it reads."""
            return ()

    kind = "objective"
    builtins: ClassVar[dict[str, str]] = {
        "next_item": "genre.llm.next_item:NextItemObjective",
        "click": "genre.llm.click:ClickObjective",
        "pairs": "genre.llm.pairs:PairsObjective",
    }
    normalizes: ClassVar[bool] = False
    """Whether vectors are meant to be compared at length 1."""

    @abstractmethod
    def prepare(self, data: TuningData) -> list[str]:
        """Take the data, and give the texts that are encoded beside the items'.

        Raises:
            ValueError: what it learns from is not there.
        """

    @abstractmethod
    def network(self, size: int) -> nn.Module | None:
        """What learns above vectors of this size, made anew from torch's generator; None if nothing does. Called once, after `prepare`."""

    @abstractmethod
    def counts(self) -> Ints:
        """How often each text (N + Q) occurs in what is learnt from: the commonest are cached first."""

    @abstractmethod
    def batches(self, epoch: int, rng: np.random.Generator) -> Sequence[Any]:
        """The batches of an epoch, never none."""

    @abstractmethod
    def fresh(self, batch: Any) -> Ints:
        """Rows whose vectors this batch teaches, each once; draws from torch's generator only."""

    @abstractmethod
    def loss(self, batch: Any, view: View) -> Tensor:
        """A scalar to minimise."""

    def validate(self, view: View) -> float | None:
        """A figure to maximise, from the vectors of all texts; None where nothing is held out."""
        return None

    figure: ClassVar[str] = "ndcg@10"
    """What `validate` gives."""
