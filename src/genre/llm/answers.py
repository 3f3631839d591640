"""What answers must look like: strict where a wrong type means a wrong answer, forgiving where a model is only too wordy."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from genre.llm.prompts import one_line

WORD = re.compile(r"\w")
WORDS, LONGEST_WORD, LONGEST_TITLE, LONGEST_SENTENCE = 8, 40, 120, 400


def _cut(longest: int) -> AfterValidator:
    """One line of at most so many characters, in Python and not in the JSON schema: servers differ in what they know of patterns."""

    def cut(text: str) -> str:
        # Punctuation alone, as small models like it, says nothing.
        if not WORD.search(text):
            raise ValueError("says nothing")
        return one_line(text, longest)

    return AfterValidator(cut)


def _few(words: Any) -> Any:
    """Each once, the first ones: what stands behind is repetition."""
    return list(dict.fromkeys(words))[:WORDS] if isinstance(words, list) and all(isinstance(word, str) for word in words) else words


Sentence = Annotated[str, _cut(LONGEST_SENTENCE)]
Title = Annotated[str, _cut(LONGEST_TITLE)]
Words = Annotated[list[Annotated[str, _cut(LONGEST_WORD)]], BeforeValidator(_few), Field(min_length=1, max_length=WORDS)]


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
