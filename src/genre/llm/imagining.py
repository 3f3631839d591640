"""Imagining: for users with few events, what they might choose next, each tied to an item of the catalogue."""

# S imagined items, N items, L events of a history

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import polars as pl
from pydantic import NonNegativeFloat, PositiveInt

from genre.component import Settings
from genre.data.text import Template, render
from genre.llm.answering import Question, Unusable, read_json
from genre.llm.answers import Invented
from genre.llm.describing import Ask, told
from genre.llm.generation import Choices, Request, Schema
from genre.llm.prompts import Prompt, PromptName, PromptTemplate
from genre.llm.visible import Visible
from genre.types import Floats, Ints

Similar = Callable[[Sequence[str]], Floats]
"""Texts to their similarity with every item, shape (S, N), at most 1; 0 for a text that says nothing."""

NOT_FOUND = "no item like it"


class SyntheticItems(Settings):
    """For users with few events, what they might choose next: invented and tied to the catalogue's most similar item, or chosen from it."""

    below: PositiveInt = 5
    """Users with at least one and fewer training events than this get some."""
    n: PositiveInt = 3
    """How many each."""
    choose: bool = False
    """False: items are invented, and stand for the most similar one of the catalogue (Bao et al.'s BIGRec, 2023). True: the answer can only
    be a title of the catalogue."""
    prompt: PromptName | None = None
    """A built-in by name and version, or your own file by its path; None takes new_item@1, or next_item@1 to choose."""
    text: Template = "{shown}"
    """What is told of an item, as a template over the catalogue's columns, `{llm_summary}` and `{llm_keywords}` among them."""
    temperature: NonNegativeFloat = 0.8
    """Above 0, or the n items of a user would be one."""
    max_tokens: PositiveInt = 120
    """The longest answer."""
    max_history: PositiveInt = 20
    """Newest training events that are told."""

    def template(self) -> PromptTemplate:
        """The prompt that is used."""
        return PromptTemplate.load(self.prompt or ("next_item@1" if self.choose else "new_item@1"))


def invent(
    items: pl.DataFrame,
    profiles: Mapping[int, str],
    settings: SyntheticItems,
    visible: Visible,
    similar: Similar,
    seed: int,
    ask: Ask[Invented],
) -> pl.DataFrame:
    """`user_idx, title, description, item_idx, similarity, synthetic, problem`, n rows a user; `item_idx` is null where nothing is like it.

    Args:
        items: the catalogue, with its summaries if there are any.
        profiles: what was said of users, by index.
    """
    user_S, prompts = _prompts(items, profiles, settings, visible)
    schema = Schema.of(Invented)
    requests = [_request(prompt, settings, seed + place % settings.n, schema=schema) for place, prompt in enumerate(prompts)]
    answers = ask([Question(request, lambda text: read_json(text, Invented)) for request in requests], "inventing items")
    item_idx_S: list[int | None] = []
    likeness_S: list[float | None] = []
    problems: list[str | None] = []
    taken: dict[int, set[int]] = {}
    for user, answer in zip(user_S.tolist(), answers, strict=True):
        seen = taken.setdefault(user, set(visible.histories.items(user).tolist()))
        item, likeness = None, None
        if answer.value is not None:
            item, likeness = nearest(similar([f"{answer.value.title} {answer.value.description}"])[0], seen)
        if item is not None:
            seen.add(item)
        item_idx_S.append(item)
        likeness_S.append(likeness)
        problems.append(answer.problem or (NOT_FOUND if item is None else None))
    titles = [answer.value.title if answer.value else None for answer in answers]
    descriptions = [answer.value.description if answer.value else None for answer in answers]
    return _frame(user_S, titles, descriptions, item_idx_S, likeness_S, problems)


def choose(
    items: pl.DataFrame, profiles: Mapping[int, str], settings: SyntheticItems, visible: Visible, seed: int, ask: Ask[int]
) -> pl.DataFrame:
    """As `invent`, but each answer is the title of an item that the user has not chosen yet."""
    place_of: dict[str, int] = {}
    for item, title in enumerate(items["shown"].to_list()):
        place_of.setdefault(title, item)
    choices = Choices(tuple(title for title in place_of if title))
    user_S, prompts = _prompts(items, profiles, settings, visible)
    questions = [
        Question(
            _request(prompt, settings, seed + place % settings.n, choices=choices),
            partial(_pick, place_of=place_of, seen=frozenset(visible.histories.items(user).tolist())),
        )
        for place, (user, prompt) in enumerate(zip(user_S.tolist(), prompts, strict=True))
    ]
    answers = ask(questions, "choosing items")
    found = [answer.value for answer in answers]
    titles = [None if item is None else str(items["shown"][item]) for item in found]
    likeness_S = [None if item is None else 1.0 for item in found]
    return _frame(user_S, titles, [None] * len(found), found, likeness_S, [answer.problem for answer in answers])


def _pick(text: str, place_of: Mapping[str, int], seen: frozenset[int]) -> int:
    """The item whose title an answer is.

    Raises:
        Unusable: it is none, or one that was chosen before.
    """
    item = place_of.get(text.strip().strip('"'))
    if item is None:
        raise Unusable("no title of the catalogue")
    if item in seen:
        raise Unusable("chosen before")
    return item


def interactions(imagined: pl.DataFrame) -> pl.DataFrame:
    """`user_idx, item_idx, event, synthetic`: each user's imagined items that are tied to one of the catalogue, each once."""
    tied = imagined.filter(pl.col("item_idx").is_not_null()).unique(["user_idx", "item_idx"], keep="first", maintain_order=True)
    return tied.select("user_idx", "item_idx", pl.lit("synthetic").alias("event"), "synthetic")


def nearest(similarity_N: Floats, seen: set[int]) -> tuple[int | None, float | None]:
    """The most similar item that is not seen yet, and how similar it is; none if none is similar at all."""
    open_N = np.array(similarity_N, np.float64)
    open_N[list(seen)] = -np.inf
    best = int(open_N.argmax())
    return (best, float(open_N[best])) if open_N[best] > 0 else (None, None)


def _prompts(items: pl.DataFrame, profiles: Mapping[int, str], settings: SyntheticItems, visible: Visible) -> tuple[Ints, list[Prompt]]:
    """Whom each of the S prompts is about, and the prompts: the n of a user are alike, their seeds are not."""
    texts, lengths_U = render(items, settings.text), visible.histories.lengths
    template = settings.template()
    about = {
        user: template.render(history=history, profile=profiles.get(user, ""))
        for user in np.flatnonzero((lengths_U > 0) & (lengths_U < settings.below)).tolist()
        if (history := told(visible.newest(user, settings.max_history), texts))
    }
    user_S = np.array(list(about), np.int64).repeat(settings.n)
    return user_S, [about[user] for user in user_S.tolist()]


def _request(
    prompt: Prompt, settings: SyntheticItems, seed: int, *, choices: Choices | None = None, schema: Schema | None = None
) -> Request:
    return Request(prompt, settings.max_tokens, settings.temperature, seed, choices, schema)


def _frame(
    user_S: Ints,
    titles: Sequence[str | None],
    descriptions: Sequence[str | None],
    item_idx_S: Sequence[int | None],
    likeness_S: Sequence[float | None],
    problems: Sequence[str | None],
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user_idx": user_S.astype(np.int32),
            "title": pl.Series(titles, dtype=pl.String),
            "description": pl.Series(descriptions, dtype=pl.String),
            "item_idx": pl.Series(item_idx_S, dtype=pl.Int32),
            "similarity": pl.Series(likeness_S, dtype=pl.Float64),
            "synthetic": pl.repeat(True, len(user_S), eager=True),
            "problem": pl.Series(problems, dtype=pl.String),
        }
    )
