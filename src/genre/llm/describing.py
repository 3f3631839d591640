"""Describing: a sentence and keywords for items from their texts, and for users from what they chose."""

# N items, U users

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import polars as pl
from pydantic import PositiveInt

from genre.component import Settings
from genre.data.dataset import Dataset
from genre.data.text import Template, render
from genre.llm.answering import Answer, Question, read_json
from genre.llm.answers import Profile, Summary
from genre.llm.generation import Request, Schema
from genre.llm.prompts import Prompt, PromptName, PromptTemplate
from genre.llm.visible import Visible
from genre.types import Ints

T = TypeVar("T")
Ask = Callable[[Sequence[Question[T]], str], list[Answer[T]]]
"""Questions and what they are about to answers; see `answering.ask`."""


class ItemSummaries(Settings):
    """A sentence and keywords for each item, from its text."""

    prompt: PromptName = "item_summary@1"
    """A built-in by name and version, or your own file by its path."""
    limit: PositiveInt | None = None
    """At most so many items, those with the most training interactions first; None takes all that have text."""
    max_tokens: PositiveInt = 120
    """The longest answer."""

    def template(self) -> PromptTemplate:
        """The prompt that is used."""
        return PromptTemplate.load(self.prompt)


class UserProfiles(Settings):
    """A sentence and interests for each user, from what they chose."""

    prompt: PromptName = "user_profile@1"
    """A built-in by name and version, or your own file by its path."""
    text: Template = "{shown}"
    """What is told of an item, as a template over the catalogue's columns, `{llm_summary}` and `{llm_keywords}` among them."""
    max_history: PositiveInt = 20
    """Newest training events that are told."""
    limit: PositiveInt | None = None
    """At most so many users, those with the fewest training interactions first; None takes all that have one."""
    max_tokens: PositiveInt = 120
    """The longest answer."""

    def template(self) -> PromptTemplate:
        """The prompt that is used."""
        return PromptTemplate.load(self.prompt)


def summarise(dataset: Dataset, settings: ItemSummaries, ask: Ask[Summary]) -> pl.DataFrame:
    """`item_idx, item_id, llm_summary, llm_keywords, problem`, a row for each item with text; `problem` says why there is none."""
    texts = dataset.items["text"]
    counts_N = dataset.training.item_counts(dataset.n_items)
    with_text = np.flatnonzero((texts != "").to_numpy())
    chosen = with_text[np.argsort(-counts_N[with_text], kind="stable")][: settings.limit]
    prompt = settings.template()
    request = _asking(Schema.of(Summary), settings.max_tokens)
    questions = [Question(request(prompt.render(text=texts[i])), lambda text: read_json(text, Summary)) for i in chosen.tolist()]
    answers = ask(questions, "summarising items")
    return pl.DataFrame(
        {
            "item_idx": chosen.astype(np.int32),
            "item_id": dataset.items["item_id"].gather(chosen),
            "llm_summary": pl.Series([answer.value and answer.value.summary for answer in answers], dtype=pl.String),
            "llm_keywords": pl.Series([answer.value and answer.value.keywords for answer in answers], dtype=pl.List(pl.String)),
            "problem": pl.Series([answer.problem for answer in answers], dtype=pl.String),
        }
    )


def describe(dataset: Dataset, items: pl.DataFrame, settings: UserProfiles, visible: Visible, ask: Ask[Profile]) -> pl.DataFrame:
    """`user_idx, user_id, profile, interests, problem`, a row for each user with training interactions
    that say something.

    Args:
        items: the catalogue, with its summaries if there are any.
    """
    lengths_U, texts = visible.histories.lengths, render(items, settings.text)
    active = np.flatnonzero(lengths_U)
    few_first = active[np.argsort(lengths_U[active], kind="stable")].tolist()
    histories = {user: history for user in few_first if (history := told(visible.newest(user, settings.max_history), texts))}
    chosen = np.array(list(histories), np.int64)[: settings.limit]
    prompt = settings.template()
    request = _asking(Schema.of(Profile), settings.max_tokens)
    questions = [
        Question(request(prompt.render(history=histories[user])), lambda text: read_json(text, Profile)) for user in chosen.tolist()
    ]
    answers = ask(questions, "describing users")
    return pl.DataFrame(
        {
            "user_idx": chosen.astype(np.int32),
            "user_id": dataset.users["user_id"].gather(chosen),
            "profile": pl.Series([answer.value and answer.value.profile for answer in answers], dtype=pl.String),
            "interests": pl.Series([answer.value and answer.value.interests for answer in answers], dtype=pl.List(pl.String)),
            "problem": pl.Series([answer.problem for answer in answers], dtype=pl.String),
        }
    )


def told(item_idx_L: Ints, texts: pl.Series) -> list[str]:
    """What a prompt says of the items of a history; those without text are passed over."""
    return [text for text in texts.gather(item_idx_L).to_list() if text]


def _asking(schema: Schema, max_tokens: int) -> Callable[[Prompt], Request]:
    return lambda prompt: Request(prompt, max_tokens, schema=schema)
