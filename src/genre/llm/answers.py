"""What answers must look like: strict where a wrong type means a wrong answer, forgiving where a model is only too wordy."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from genre.llm.prompts import one_line

WORDS, LONGEST_WORD, LONGEST_TITLE, LONGEST_SENTENCE = 8, 40, 120, 400


def _cut(longest: int) -> AfterValidator:
    return AfterValidator(lambda text: one_line(text, longest))


def _few(words: Any) -> Any:
    """Each once, the first ones: what stands behind is repetition."""
    return list(dict.fromkeys(words))[:WORDS] if isinstance(words, list) and all(isinstance(word, str) for word in words) else words


Text = Field(min_length=1, pattern=r"\w")
"""A text with at least one letter or digit: punctuation alone, as small models like it, says nothing."""
Sentence = Annotated[str, Text, _cut(LONGEST_SENTENCE)]
Title = Annotated[str, Text, _cut(LONGEST_TITLE)]
Words = Annotated[list[Annotated[str, Text, _cut(LONGEST_WORD)]], BeforeValidator(_few), Field(min_length=1, max_length=WORDS)]


class Answer(BaseModel):
    """Further keys are dropped: what is not asked for is not taken."""

    model_config = ConfigDict(strict=True, extra="ignore")


class Summary(Answer):
    """Of an item."""

    summary: Sentence
    keywords: Words


class Profile(Answer):
    """Of a user."""

    profile: Sentence
    interests: Words


class Invented(Answer):
    """An item that does not exist, for one user."""

    title: Title
    description: Sentence
