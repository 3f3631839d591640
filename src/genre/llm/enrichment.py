"""Enrichment: what a language model adds to items and users before anything is learnt from clicks (after Liu et al.'s GENRE, 2023)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import PositiveInt, SerializeAsAny, model_validator

from genre.component import Chosen, Settings, build
from genre.data.dataset import Dataset
from genre.data.enriched import IMAGINED, ITEMS, SYNTHETIC, USERS, with_summaries
from genre.data.readers.paths import NewPath
from genre.llm.answering import Answer, Question
from genre.llm.answering import ask as ask_model
from genre.llm.call_cache import CallCache
from genre.llm.describing import ItemSummaries, UserProfiles, describe, summarise
from genre.llm.generation import Generator
from genre.llm.imagining import Similar, SyntheticItems, choose, interactions, invent
from genre.llm.ledger import LEDGER, Budget, Ledger
from genre.llm.visible import Visible

log = logging.getLogger(__name__)

T = TypeVar("T")


class EnrichConfig(Settings):
    """What a language model writes, and at what price: summaries first, which profiles are told, which synthetic items are told."""

    generator: Annotated[SerializeAsAny[Generator.Config], Chosen(Generator)]
    """Who writes."""
    items: ItemSummaries | None = None
    """Summarise items; `{}` takes all defaults, None leaves it out."""
    users: UserProfiles | None = None
    """Describe users."""
    synthetic: SyntheticItems | None = None
    """Imagine items for users with few events."""
    attempts: PositiveInt = 3
    """How often one question is asked at most, until its answer is usable."""
    budget: Budget = Budget()
    """When one of these limits is reached, the stage ends with what there is; what was paid for is kept, also for a larger budget."""
    cache: NewPath | None = None
    """The file in which answers are kept, there or not yet; None is calls.sqlite in the run's folder."""

    @model_validator(mode="after")
    def _does_something(self) -> EnrichConfig:
        if not (self.items or self.users or self.synthetic):
            raise ValueError("nothing to do: give at least one of items, users, synthetic (`items: {}` takes all defaults)")
        for part in self.parts():
            part.template()
        return self

    def parts(self) -> list[ItemSummaries | UserProfiles | SyntheticItems]:
        """What is asked for."""
        return [part for part in (self.items, self.users, self.synthetic) if part is not None]

    def decides(self) -> dict[str, object]:
        """The settings that decide what is written: not where answers are kept, nor how a server is reached."""
        generator = build(Generator, self.generator)
        return self.model_dump(mode="json", exclude={"generator", "cache"}) | {
            "generator": generator.identity() | {"prices": [self.generator.prompt_price, self.generator.completion_price]},
            "prompts": [part.template().source for part in self.parts()],
        }


def enrich(dataset: Dataset, config: EnrichConfig, folder: Path, cache: Path, similar: Similar, seed: int = 0) -> Ledger:
    """Write what was asked for, and `ledger.json`, into a folder.

    Args:
        cache: the file of answers; one that is there is gone on with.
        similar: how alike texts and the catalogue's items are, to tie what is invented to what exists.
    """
    generator, ledger, visible, items = build(Generator, config.generator), Ledger(config.budget), Visible(dataset), dataset.items
    profiles: dict[int, str] = {}
    with CallCache(config.cache or cache) as calls:

        def ask(questions: Sequence[Question[T]], what: str) -> list[Answer[T]]:
            return ask_model(questions, generator, calls, ledger, config.attempts, what)

        if config.items is not None:
            summaries = summarise(dataset, config.items, ask)
            summaries.write_parquet(folder / ITEMS)
            items = with_summaries(items, summaries)
        else:
            items = with_summaries(items, None)
        if config.users is not None:
            described = describe(dataset, items, config.users, visible, ask)
            described.write_parquet(folder / USERS)
            profiles = dict(described.filter(described["profile"].is_not_null()).select("user_idx", "profile").iter_rows())
        if (settings := config.synthetic) is not None:
            if settings.choose:
                imagined = choose(items, profiles, settings, visible, seed, ask)
            else:
                imagined = invent(items, profiles, settings, visible, similar, seed, ask)
            imagined.write_parquet(folder / IMAGINED)
            interactions(imagined).write_parquet(folder / SYNTHETIC)
    ledger.save(folder / LEDGER)
    if ledger.stopped_by:
        log.warning(
            "enrich: the budget's %s are used up, %s questions were not asked. Raise enrich.budget.%s and run again: "
            "what was paid for is kept",
            ledger.stopped_by,
            f"{ledger.left_out:,}",
            ledger.stopped_by,
        )
    return ledger
