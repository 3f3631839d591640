"""Generation: the one interface to a language model that writes, whether it runs in this process or behind a URL."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, NonNegativeFloat, PositiveInt

from genre.component import Component
from genre.llm.prompts import Prompt


@dataclass(frozen=True)
class Choices:
    """Texts of which an answer must be one; shared by many requests, so hashed once."""

    texts: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """Of all texts in order."""
        return hashlib.sha256(json.dumps(self.texts).encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self.digest)


@dataclass(frozen=True)
class Schema:
    """What an answer must look like: a JSON Schema by name, kept as text so that it can be hashed."""

    name: str
    text: str

    @classmethod
    def of(cls, model: type[BaseModel]) -> Schema:
        """The schema of a pydantic model, its properties in their order."""
        return cls(model.__name__.lower(), json.dumps(model.model_json_schema() | {"additionalProperties": False}))

    @property
    def opening(self) -> str:
        """How an answer begins: `{"summary": "` where `summary` is the first property, and a text."""
        name, first = next(iter(json.loads(self.text)["properties"].items()))
        texts = first.get("type") == "array" and first.get("items", {}).get("type") == "string"
        return f'{{"{name}": ' + ('"' if first.get("type") == "string" else '["' if texts else "")


@dataclass(frozen=True)
class Request:
    """One question to a language model.

    Attributes:
        max_tokens: the longest answer.
        temperature: 0 takes the likeliest token each time.
        seed: of sampling; another seed, another answer.
        choices: what the answer must be one of; None leaves it free.
        schema: of the answer; None leaves it free. A server is asked to keep to it; the answer is checked either way.
    """

    prompt: Prompt
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0
    choices: Choices | None = None
    schema: Schema | None = None

    @property
    def opening(self) -> str:
        """What can be put into a model's mouth: an answer with a schema begins in one way only."""
        return self.schema.opening if self.schema else ""

    def again(self, attempt: int, temperature: float = 0.7) -> Request:
        """The same question for another answer: the first attempt is the request itself, later ones are sampled with seeds of their own."""
        return self if attempt == 0 else replace(self, temperature=max(self.temperature, temperature), seed=self.seed + 1_000_003 * attempt)

    def as_dict(self) -> dict[str, Any]:
        """All that decides the answer, JSON-like."""
        return {
            "system": self.prompt.system, "user": self.prompt.user, "max_tokens": self.max_tokens, "temperature": self.temperature,
            "seed": self.seed, "choices": self.choices and self.choices.digest, "schema": self.schema and self.schema.text,
        }  # fmt: skip


@dataclass(frozen=True)
class Completion:
    """What a model wrote, and what that took; `seconds` is this request's share of the time."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float


@dataclass(frozen=True)
class Failure:
    """A request that got no answer: in few words why (they are counted), and how long it took to find out."""

    reason: str
    detail: str
    seconds: float = 0.0


class Generator(Component):
    """Answers requests. What an answer means, whether it is usable and what to do if not is `answering.py`'s business."""

    kind = "generator"
    builtins: ClassVar[dict[str, str]] = {
        "local": "genre.llm.generation_local:LocalGenerator",
        "http": "genre.llm.generation_http:HttpGenerator",
    }

    class Config(Component.Config):
        model: str
        """Which model; what a name means is each generator's."""
        prompt_price: NonNegativeFloat = 0.0
        """Money a million tokens read cost, in the currency of the budget."""
        completion_price: NonNegativeFloat = 0.0
        """Money a million tokens written cost."""
        batch_size: PositiveInt = 8
        """Requests handed over at a time: the most that a budget can be overrun by."""

        def files(self) -> tuple[Path, ...]:
            """Files and folders it reads, so that it is asked anew when they change."""
            return ()

    config: Any

    @abstractmethod
    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion | Failure]]:
        """Each request's place and outcome, in whatever order they are done.

        Raises:
            ValueError: nothing it is asked could be answered: a wrong key, no such model. A single request that fails is a `Failure`.
        """

    def identity(self) -> dict[str, Any]:
        """The settings that decide what is answered (not how fast or at what price): part of the key under which answers are kept."""
        return {"use": self.config.use, "model": self.config.model}

    def price(self, completion: Completion) -> float:
        """What an answer costs."""
        per_million = completion.prompt_tokens * self.config.prompt_price + completion.completion_tokens * self.config.completion_price
        return float(per_million) / 1e6
