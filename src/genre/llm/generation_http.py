"""Generation by any server that speaks OpenAI's chat completions: vLLM, llama.cpp, Ollama, or a paid one, named by its URL."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from genre.llm.generation import Completion, Failure, Generator, Request

if TYPE_CHECKING:
    import httpx

BUSY = {408, 409, 425, 429, 500, 502, 503, 504}
"""Answers after which the same request is worth another try."""
LONGEST_WAIT = 60.0
LARGEST_ANSWER = 1 << 20


class HttpGenerator(Generator):
    """Many requests at a time, not faster than allowed, each tried again with growing pauses while the server is busy."""

    class Config(Generator.Config):
        use: str = "http"
        url: str
        """Up to and including /v1: `http://localhost:8000/v1`."""
        key_env: str | None = None
        """The environment variable that holds the API key; the key itself is never in a configuration. None sends none."""
        batch_size: PositiveInt = 32
        concurrency: PositiveInt = 8
        """Requests under way at the same time."""
        requests_per_minute: PositiveFloat | None = None
        """The server's limit; None sends as fast as answers come."""
        timeout_seconds: PositiveFloat = 120.0
        """For one answer; a server that takes longer is asked again."""
        retries: NonNegativeInt = 4
        """Further tries after a timeout, a lost connection or a busy server."""
        first_pause_seconds: PositiveFloat = 1.0
        """Before the first further try, doubled with each; a server's own Retry-After comes first."""
        structured: bool = True
        """Ask the server to keep to the schema (response_format); false for servers that refuse it. Answers are checked either way."""
        options: dict[str, Any] = Field(default_factory=dict)
        """Sent along with every request as they are, for what only one server knows."""

        @field_validator("url")
        @classmethod
        def _is_url(cls, url: str) -> str:
            if not re.match(r"https?://[^/\s]", url):
                raise ValueError("needs a URL that begins with http:// or https://, for example http://localhost:8000/v1")
            return url.rstrip("/")

    config: Config

    def identity(self) -> dict[str, Any]:
        """The model by name, and the options; the same model behind another URL gives the same answers."""
        return super().identity() | {"structured": self.config.structured, "options": self.config.options}

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion | Failure]]:
        """See Generator.generate."""
        import httpx

        headers, pace = self._headers(), Pace(self.config.requests_per_minute)
        pool = ThreadPoolExecutor(self.config.concurrency)
        with httpx.Client(headers=headers, timeout=self.config.timeout_seconds) as client:
            try:
                under_way = {pool.submit(self._answer, client, pace, request): place for place, request in enumerate(requests)}
                for done in as_completed(under_way):
                    yield under_way[done], done.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _answer(self, client: httpx.Client, pace: Pace, request: Request) -> Completion | Failure:
        """One request with its further tries."""
        import httpx

        config, began = self.config, time.perf_counter()
        failure = Failure("no answer", "it was never asked")
        for attempt in range(config.retries + 1):
            pace.turn()
            sent, wait = time.perf_counter(), None
            try:
                status, wait, body = self._post(client, request)
            except (TimeoutError, httpx.TimeoutException):
                failure = Failure("timed out", f"no answer from {config.url} within {config.timeout_seconds:g} s (timeout_seconds)")
            except httpx.TransportError as error:
                failure = Failure("no connection", f"{config.url}: {error or type(error).__name__}")
            else:
                if 200 <= status < 300:
                    return read_answer(body, request, time.perf_counter() - sent)
                failure = self._refused(status, body)
                if status not in BUSY:
                    break
            if attempt < config.retries:
                time.sleep(min(config.first_pause_seconds * 2**attempt if wait is None else wait, LONGEST_WAIT))
        return Failure(failure.reason, failure.detail, time.perf_counter() - began)

    def _post(self, client: httpx.Client, request: Request) -> tuple[int, float | None, bytes]:
        """Status, seconds to wait if the server names them, and body; read piece by piece, since a client's timeout is for each piece."""
        deadline, body = time.monotonic() + self.config.timeout_seconds, bytearray()
        with client.stream("POST", f"{self.config.url}/chat/completions", json=self._body(request)) as answer:
            for piece in answer.iter_bytes():
                body += piece
                if time.monotonic() > deadline:
                    raise TimeoutError
                if len(body) > LARGEST_ANSWER:
                    break
            return answer.status_code, retry_after(answer.headers.get("retry-after")), bytes(body)

    def _refused(self, status: int, body: bytes) -> Failure:
        """What an error status says.

        Raises:
            ValueError: it would say the same to every request.
        """
        said = " ".join(body[:300].decode(errors="replace").split())
        if status in (401, 403):
            named = f"the key in {self.config.key_env}" if self.config.key_env else "no key was sent: set key_env"
            raise ValueError(f"{self.config.url} refuses access (HTTP {status}; {named}): {said}")
        if status == 404:
            raise ValueError(f"{self.config.url} has no such model or address (HTTP 404; model {self.config.model!r}): {said}")
        return Failure(f"HTTP {status}", f"{self.config.url} answered HTTP {status}: {said}")

    def _headers(self) -> dict[str, str]:
        if self.config.key_env is None:
            return {}
        key = os.environ.get(self.config.key_env)
        if not key:
            raise ValueError(f"generator http: key_env names {self.config.key_env}, which is not set in the environment")
        return {"authorization": f"Bearer {key}"}

    def _body(self, request: Request) -> dict[str, Any]:
        messages = [
            {"role": role, "content": text} for role, text in (("system", request.prompt.system), ("user", request.prompt.user)) if text
        ]
        body = {
            "model": self.config.model, "messages": messages, "max_tokens": request.max_tokens, "temperature": request.temperature,
            "seed": request.seed,
        }  # fmt: skip
        if request.schema is not None and self.config.structured:
            schema = {"name": request.schema.name, "schema": json.loads(request.schema.text), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body | self.config.options


class Pace:
    """Lets callers through one by one, at most so many a minute."""

    def __init__(self, per_minute: float | None) -> None:
        self.gap = 60.0 / per_minute if per_minute else 0.0
        self.free = 0.0
        self.lock = threading.Lock()

    def turn(self) -> None:
        """Wait for one's turn."""
        with self.lock:
            now = time.monotonic()
            turn = max(now, self.free)
            self.free = turn + self.gap
        time.sleep(turn - now)


def read_answer(body: bytes, request: Request, seconds: float) -> Completion | Failure:
    """A chat completion's text and tokens; a Failure where it is none. For a server that does not count, four characters are a token."""
    shown = f"the server sent {body[:200].decode(errors='replace')!r}"
    if len(body) > LARGEST_ANSWER:
        return Failure("answer too large", f"the server sent more than {LARGEST_ANSWER:,} bytes", seconds)
    try:
        found = json.loads(body)
        text = found["choices"][0]["message"]["content"]
        usage = found.get("usage") or {}
        read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Failure("not a chat completion", shown, seconds)
    if not isinstance(text, str):
        return Failure("no text in the answer", shown, seconds)
    asked = len(request.prompt.system) + len(request.prompt.user)
    return Completion(text, _count(read, asked), _count(written, len(text)), seconds)


def _count(said: object, characters: int) -> int:
    return said if isinstance(said, int) and said >= 0 else -(-characters // 4)


def retry_after(header: str | None) -> float | None:
    """Seconds that a server asks to wait; None where it gives none, or a date."""
    try:
        return max(0.0, float(header)) if header is not None else None
    except ValueError:
        return None
