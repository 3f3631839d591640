"""Language-model reranker: another ranker's best candidates, reordered by how likely a language model finds them after the history."""

# B queries, N items, K candidates of a query, Q held-out queries

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, NonNegativeFloat, PositiveInt

from genre.component import Arrays
from genre.data.text import Template, render
from genre.index import top_k
from genre.llm.model_files import files_of
from genre.llm.prompts import PromptName, PromptTemplate, quoted
from genre.llm.reading_settings import ReadsModel
from genre.progress import track
from genre.rankers import Ranker
from genre.rankers.reordering import CUTOFF, WEIGHTS, Values, gains, paying_weight, reordered
from genre.types import GroundTruth, Histories, Ints, Training

if TYPE_CHECKING:
    from genre.llm.backbone import Backbone

log = logging.getLogger(__name__)


class LLMReranker(Ranker):
    """Says log p(item | history) minus log p(item | no history) by a causal language model, mixed with the order of the ranker below it.

    A language model knows what goes with what from reading, not from your clicks: it helps where there are few of them. Only users with at
    most `up_to` events are reranked, and of the catalogue only the `candidates`; below them the order is the other ranker's.
    """

    class Config(Ranker.Config, ReadsModel):
        use: str = "llm_reranker"
        of: str
        """Name of the ranker that provides the candidates."""
        text: Template = "{shown}"
        """What is read of an item, as a template over the catalogue's columns; short, since it is read once a candidate."""
        prompt: PromptName = "reranker@1"
        """A built-in prompt by name and version, or your own file by its path."""
        candidates: PositiveInt = 50
        """Best items of the other ranker that are reordered."""
        max_history: PositiveInt = 10
        """Newest events that the language model reads."""
        up_to: PositiveInt | None = 20
        """Users with more events than this keep the other ranker's order; None reranks everybody."""
        weight: Annotated[float, Field(ge=0, le=1)] | None = None
        """Of the likelihood against the other ranker's score: 1 is the language model alone; None learns it on validation queries."""
        prior: NonNegativeFloat = 1.0
        """How much of an item's likelihood without a history is taken off: a famous title is likely after anything."""
        validation_users: PositiveInt = 200
        """Held-out queries used at most, drawn at random, to learn the weight."""
        max_item_tokens: PositiveInt = 24
        """Of longer texts the beginning is read."""

        def members(self) -> tuple[str, ...]:
            """See Ranker.Config.members."""
            return (self.of,)

        def files(self) -> tuple[Path, ...]:
            """See Ranker.Config.files."""
            return (*files_of(self.model), *PromptTemplate.load(self.prompt).files)

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.prompt = PromptTemplate.load(config.prompt)
        self.prior: dict[int, float] = {}

    def fit(self, training: Training, folder: Path) -> None:
        """Learn the weight on validation queries; what the language model said of them is kept in `folder` and not computed again.

        Raises:
            ValueError: the other ranker or the items are missing, or there is neither validation nor `weight`.
        """
        config = self.config
        if config.of not in training.members:
            raise ValueError(f"llm_reranker: no fitted ranker called {config.of}; there are: {', '.join(training.members) or 'none'}")
        if training.items is None:
            raise ValueError("llm_reranker: the training has no items, so there is nothing to read")
        if config.weight is None and not (training.validation and len(training.validation)):
            raise ValueError(
                "llm_reranker: there are no validation queries to learn the weight from, as with data.split.use=none. Run with a split "
                "first, or give weight: 0.5"
            )
        self.member = training.members[config.of]
        self.texts = render(training.items, config.text).to_list()
        self.repeats = training.repeats
        self.prior = {}
        self.weight = config.weight if config.weight is not None else 0.0
        if config.weight is None and training.validation is not None:
            self.weight = self._learn(training.validation, folder, np.random.default_rng(training.seed))

    def chosen(self) -> dict[str, Any]:
        """The weight: with it in the config, fitting needs no validation."""
        return {"weight": self.weight}

    def leaves(self) -> list[Ranker]:
        """Those of the other ranker; what is new has no text here and keeps its place among the candidates."""
        return self.member.leaves()

    def score(self, queries: Histories) -> npt.NDArray[np.float32]:
        """The other ranker's scores, its best candidates reordered; one query at a time, whose prompt is read once for all candidates."""
        scores_BN = np.array(self.member.score(queries), np.float32)
        if self.weight > 0:
            seen = queries.seen
            for b in track(np.flatnonzero(self._reranks(queries)).tolist(), "reading candidates"):
                item_idx_K = self.candidates(scores_BN[b], seen.items(b))
                surprise_K = self.likelihood(queries.items(b), item_idx_K)
                scores_BN[b] = reordered(scores_BN[b], item_idx_K, surprise_K, self.weight)
        return scores_BN

    def extend(self, content_MD: npt.NDArray[np.float32] | None, m: int) -> None:
        """Extends the `leaves`; the caller who has their content extends each leaf with its own.

        Raises:
            ValueError: a leaf reads content, which cannot be told apart from here.
        """
        if readers := [leaf.config.use for leaf in self.leaves() if leaf.config.encoders()]:
            raise ValueError(f"llm_reranker: {', '.join(readers)} read content; extend each of leaves() with its own vectors")
        for leaf in self.leaves():
            leaf.extend(None, m)

    def state(self) -> Arrays:
        """The weight, and what items are worth without a history, as far as it was needed."""
        return {
            "weight": np.array([self.weight]), "repeats": np.array([self.repeats], np.uint8),
            "prior_idx": np.array(list(self.prior), np.int64), "prior": np.array(list(self.prior.values()), np.float64),
        }  # fmt: skip

    def restore(self, state: Arrays) -> None:
        """Take them back."""
        self.weight, self.repeats = float(state["weight"][0]), bool(state["repeats"][0])
        self.prior = dict(zip(state["prior_idx"].tolist(), state["prior"].tolist(), strict=True))

    def save(self, folder: Path) -> None:
        """The other ranker goes into `member/`, what is read of items into `texts.parquet`; the language model stays where it is."""
        super().save(folder)
        self.member.save(folder / "member")
        pl.DataFrame({"text": self.texts}, schema={"text": pl.String}).write_parquet(folder / "texts.parquet")

    def load_state(self, folder: Path) -> None:
        """Load the other ranker, too; the language model when it is first needed."""
        super().load_state(folder)
        self.member = Ranker.load(folder / "member")
        self.texts = pl.read_parquet(folder / "texts.parquet")["text"].to_list()

    @cached_property
    def backbone(self) -> Backbone:
        """The language model.

        Raises:
            ValueError: it is not causal.
        """
        from genre.llm.backbone import load_backbone

        backbone = load_backbone(self.config.model, head=True, device=self.config.device, precision=self.config.precision)
        if backbone.kind != "causal":
            raise ValueError(f"llm_reranker: {self.config.model} is a masked model; likelihoods need a causal one")
        return backbone

    def _reranks(self, queries: Histories) -> npt.NDArray[np.bool_]:
        """Users with a history, and not too long a one."""
        most = np.inf if self.config.up_to is None else self.config.up_to
        return (queries.lengths > 0) & (queries.lengths <= most)

    def candidates(self, scores_N: npt.NDArray[np.float32], seen: Ints) -> Ints:
        """The other ranker's best items; what was seen can only be one of them where repeats are recommended."""
        item_idx_K = top_k(scores_N[None], self.config.candidates, None if self.repeats else Histories.of([seen]))[0][0]
        found_K: Ints = item_idx_K[item_idx_K >= 0]
        return found_K

    def likelihood(self, history: Ints, item_idx_K: Ints) -> Values:
        """How much likelier each candidate is after the history; NaN for one without text."""
        from genre.llm.likelihood import log_likelihoods
        from genre.llm.memory import advice

        tokens = {int(i): ids for i in item_idx_K if (ids := self._tokens(int(i)))}
        read = [self.texts[i] for i in history.tolist() if i < len(self.texts) and self.texts[i]][-self.config.max_history :]
        found = np.full(len(item_idx_K), np.nan)
        if not tokens or not read:
            return found
        unknown = [i for i in tokens if i not in self.prior] if self.config.prior > 0 else []
        with advice("llm_reranker", "max_history or max_item_tokens"):
            alone = log_likelihoods(self.backbone, self._prefix([]), [tokens[i] for i in unknown])
            after = dict(zip(tokens, log_likelihoods(self.backbone, self._prefix(read), list(tokens.values())), strict=True))
        self.prior |= zip(unknown, alone.tolist(), strict=True)
        for k, i in enumerate(item_idx_K.tolist()):
            if i in after:
                found[k] = after[i] - self.config.prior * self.prior.get(i, 0.0)
        return found

    def _prefix(self, texts: Sequence[str]) -> list[int]:
        """The prompt up to the quotation mark behind which a candidate begins; the beginning of one that is too long is left out."""
        prompt = self.prompt.render(history=list(texts))
        ids = self.backbone.tokenizer(f'{prompt.system}\n{prompt.user} "')["input_ids"]
        return list(ids[-(self.backbone.limit - self.config.max_item_tokens) :])

    def _tokens(self, item: int) -> list[int]:
        """What is read of an item, with the quotation mark that ends it; empty where it says nothing."""
        text = self.texts[item] if item < len(self.texts) else ""
        if not text:
            return []
        return list(self.backbone.tokenizer(quoted(text)[1:], add_special_tokens=False)["input_ids"][: self.config.max_item_tokens])

    def _learn(self, validation: GroundTruth, folder: Path, rng: np.random.Generator) -> float:
        """The weight that pays on a sample of the validation queries that would be reranked; 0 where none does."""
        rows = np.flatnonzero(self._reranks(validation.queries))
        truth = validation.take(np.sort(rng.permutation(rows)[: self.config.validation_users]))
        if not len(truth):
            log.info("llm_reranker: no validation query has 1 to %s events, so nobody is reranked", self.config.up_to)
            return 0.0
        gain_QW = np.array([gains(*found) for found in self._read(truth, folder / "validation.jsonl")])
        said = dict(zip(WEIGHTS, gain_QW.mean(0).round(4).tolist(), strict=True))
        log.info("llm_reranker: NDCG@%d by weight on %d queries: %s", CUTOFF, len(truth), said)
        return paying_weight(gain_QW)

    def _read(self, truth: GroundTruth, file: Path) -> Iterator[tuple[Ints, npt.NDArray[np.float32], Ints, Values]]:
        """Targets, scores, candidates and likelihoods of each query; those in the file, whose end a kill may have cut off, are kept."""
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = file.read_text().splitlines(keepends=True) if file.is_file() else []
        kept = [json.loads(line) for line in lines if line.endswith("\n")]
        file.write_text("".join(json.dumps(line) + "\n" for line in kept))
        with file.open("a") as handle:
            for b in track(range(len(truth)), "reading candidates of validation queries"):
                one = truth.queries.take(slice(b, b + 1))
                scores_N = self.member.score(one)[0]
                item_idx_K = self.candidates(scores_N, one.seen.items(0))
                if b >= len(kept):
                    surprise_K = self.likelihood(one.items(0), item_idx_K)
                    handle.write(json.dumps([None if np.isnan(value) else value for value in surprise_K.tolist()]) + "\n")
                    handle.flush()
                else:
                    surprise_K = np.array(kept[b], np.float64)
                yield truth.targets(b), scores_N, item_idx_K, surprise_K
