"""Pairs: a question's vector is nearest to that of its answer (contrastive: van den Oord et al., 2018), from a file of both."""

# P pairs of a batch, N items, Q questions, K vector size

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
from pydantic import Field, PositiveFloat, PositiveInt

from genre.data.readers.paths import DataPath
from genre.llm.objectives import Objective, TuningData
from genre.types import Ints

if TYPE_CHECKING:  # configs are read without torch
    from torch import Tensor, nn

    from genre.llm.bank import View


class PairsObjective(Objective):
    """Cross-entropy of the right item over the catalogue, by cosine. Items of the batch learn, the others stand as they were last seen."""

    class Config(Objective.Config):
        use: str = "pairs"
        file: DataPath
        """Parquet or CSV with one pair a row: a question, and the id of the item that answers it."""
        question: str = "text"
        """The column of what is asked, in words."""
        item: str = "item_id"
        """The column of the item's id."""
        batch_size: PositiveInt = 32
        """Pairs a step."""
        temperature: PositiveFloat = 0.05
        """Cosines are divided by it."""
        valid_share: float = Field(0.1, ge=0, lt=1)
        """Share of the pairs that are held out to choose by."""

        def files(self) -> tuple[Path, ...]:
            """See Objective.Config.files."""
            return (self.file,)

    config: Config
    normalizes = True
    figure: ClassVar[str] = "mrr"

    def prepare(self, data: TuningData) -> list[str]:
        """The questions.

        Raises:
            ValueError: a column is missing, or no item of the file is in the catalogue.
        """
        c = self.config
        table = pl.read_csv(c.file, infer_schema=False) if c.file.suffix == ".csv" else pl.read_parquet(c.file)
        for name in (c.question, c.item):
            if name not in table.columns:
                raise ValueError(f"finetune.objective: {c.file} has no column {name!r}; it has {', '.join(table.columns)}")
        place = {item: row for row, item in enumerate(data.item_ids)}
        table = table.select(question=pl.col(c.question).cast(pl.String), item=pl.col(c.item).cast(pl.String)).drop_nulls()
        known = table.filter(pl.col("item").is_in(list(place)) & (pl.col("question").str.strip_chars() != ""))
        if known.is_empty():
            shown = ", ".join(table["item"].head(3)) or "none"
            raise ValueError(f"finetune.objective: no item that {c.file} names in {c.item!r} ({shown}) is in the catalogue")
        self._answer_Q = np.array([place[item] for item in known["item"]], np.int64)
        self._n = len(place)
        mixed = np.random.default_rng(data.training.seed).permutation(len(known))
        held = round(c.valid_share * len(known))
        self._held, self._learnt = np.sort(mixed[:held]), np.sort(mixed[held:])
        return known["question"].to_list()

    def network(self, size: int) -> nn.Module | None:
        """Nothing learns above the vectors."""
        return None

    def counts(self) -> Ints:
        """Items as often as they answer, each question once an epoch."""
        items = np.bincount(self._answer_Q[self._learnt], minlength=self._n)
        asked = np.zeros(len(self._answer_Q), np.int64)
        asked[self._learnt] = 1
        return np.concatenate([items, asked])

    def batches(self, epoch: int, rng: np.random.Generator) -> Sequence[Ints]:
        """Numbers of questions, mixed anew."""
        mixed = rng.permutation(self._learnt)
        return [mixed[start : start + self.config.batch_size] for start in range(0, len(mixed), self.config.batch_size)]

    def fresh(self, batch: Ints) -> Ints:
        """The batch's questions and answers."""
        return np.unique(np.concatenate([self._answer_Q[batch], self._n + batch]))

    def loss(self, batch: Ints, view: View) -> Tensor:
        """See Objective.loss."""
        import torch

        from genre.losses import full_softmax

        device = view.bank.vectors_NK.device
        asked_PK = view.at(torch.from_numpy(self._n + batch).to(device))
        items_NK = view.at(torch.arange(self._n, device=device))
        answer_P = torch.from_numpy(self._answer_Q[batch]).to(device)
        return full_softmax(_unit(asked_PK) / self.config.temperature, _unit(items_NK), answer_P)

    def validate(self, view: View) -> float | None:
        """Mean reciprocal rank of the right item among all, for the held-out questions; ties count against it."""
        import torch

        if not len(self._held):
            return None
        items_NK = _unit(view.at(torch.arange(self._n, device=view.bank.vectors_NK.device)))
        total = 0.0
        for start in range(0, len(self._held), 512):
            part = self._held[start : start + 512]
            scores_PN = _unit(view.at(torch.from_numpy(self._n + part).to(items_NK.device))) @ items_NK.T
            right_P1 = scores_PN.gather(1, torch.from_numpy(self._answer_Q[part]).to(items_NK.device)[:, None])
            total += float((1 / (scores_PN >= right_P1).sum(1)).sum())
        return total / len(self._held)


def _unit(vectors_RK: Any) -> Any:
    return vectors_RK / vectors_RK.norm(dim=-1, keepdim=True).clamp(min=1e-6)
