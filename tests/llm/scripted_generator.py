"""A generator for tests: answers by the schema, in the words of the question, and remembers what it was asked."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator, Sequence
from typing import ClassVar

from genre.llm.generation import Completion, Failure, Generator, Request


class ScriptedGenerator(Generator):
    """Ten tokens read and five written a call."""

    class Config(Generator.Config):
        use: str = "scripted_generator:ScriptedGenerator"
        model: str = "script"
        kill_after: int | None = None
        """Calls after which the process dies."""

    config: Config
    asked: ClassVar[list[Request]] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion | Failure]]:
        """See Generator.generate."""
        for place, request in enumerate(requests):
            self.asked.append(request)
            if self.config.kill_after is not None and len(self.asked) > self.config.kill_after:
                os.kill(os.getpid(), signal.SIGKILL)
            yield place, Completion(self._answer(request), 10, 5, 0.01)

    def _answer(self, request: Request) -> str:
        quotes = [json.loads(quote) for quote in re.findall(r'"(?:[^"\\]|\\.)*"', request.prompt.user)]
        if request.choices is not None:
            return request.choices.texts[request.seed % len(request.choices.texts)]
        if "sulk" in quotes:
            return "I would rather not."
        name = request.schema.name if request.schema else ""
        words = " ".join(quotes).split()
        return json.dumps(
            {
                "summary": {"summary": f"about {quotes[0]}", "keywords": words[:3]},
                "profile": {"profile": f"likes {quotes[0]}", "interests": words[:2]},
                "invented": {"title": f"{quotes[-1]} {request.seed}", "description": f"as {quotes[-1]}"},
            }[name]
        )
