"""A real server process over a tiny model, and servers that behave badly."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from genre.component import build
from genre.llm.answering import Question, ask
from genre.llm.call_cache import CallCache
from genre.llm.generation import Completion, Failure, Generator, Request, Schema
from genre.llm.generation_http import HttpGenerator, Pace
from genre.llm.ledger import Ledger
from genre.llm.prompts import Prompt

SERVER = Path(__file__).with_name("openai_server.py")
Reply = tuple[int, dict[str, str], bytes]


def request_of(text: str = "hello", **settings: Any) -> Request:
    return Request(Prompt("p@1", "be brief", text), max_tokens=8, **settings)


def generator_at(url: str, **settings: Any) -> HttpGenerator:
    quick = {"timeout_seconds": 5.0, "first_pause_seconds": 0.01, "retries": 2}
    generator = build(Generator, {"use": "http", "model": "tiny", "url": url, **quick, **settings})
    assert isinstance(generator, HttpGenerator)
    return generator


def answers_of(generator: Generator, *requests: Request) -> list[Completion | Failure]:
    found = dict(generator.generate(requests))
    return [found[place] for place in range(len(requests))]


def chat(text: Any, **more: Any) -> Reply:
    body = {"choices": [{"message": {"role": "assistant", "content": text}}], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    return 200, {}, json.dumps(body | more).encode()


@contextmanager
def server_that(reply: Callable[[int, dict[str, Any]], Reply]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its URL, and the requests it has got; `reply` is told how many came before."""
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.append({"path": self.path, "headers": dict(self.headers), "body": asked})
            status, headers, body = reply(len(seen) - 1, asked)
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def real_server(tiny_causal: Path) -> Iterator[str]:
    """Another process, which serves the tiny model."""
    with subprocess.Popen([sys.executable, str(SERVER), str(tiny_causal)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        process.terminate()


def test_a_real_server_answers_many_requests_at_a_time(real_server: str, tmp_path: Path) -> None:
    generator = generator_at(real_server, prompt_price=1.0, completion_price=2.0, timeout_seconds=60)
    requests = [request_of(text) for text in ("hello", "how are you?", "七人の侍", "hello")]
    answers = answers_of(generator, *requests)
    assert all(isinstance(answer, Completion) and answer.completion_tokens <= 8 and answer.prompt_tokens > 3 for answer in answers)
    assert answers[0].text == answers[3].text  # type: ignore[union-attr]
    sampled = [request.again(1) for request in requests[:1]]
    assert isinstance(answers_of(generator, *sampled)[0], Completion)
    ledger = Ledger()
    with CallCache(tmp_path / "calls.sqlite") as cache:
        found = ask([Question(request, str) for request in requests], generator, cache, ledger)
    assert [answer.value for answer in found] == [answer.text for answer in answers]  # type: ignore[union-attr]
    assert ledger.money == pytest.approx((ledger.prompt_tokens + 2 * ledger.completion_tokens) / 1e6)


def test_a_model_that_the_server_lacks_is_an_error_at_once(real_server: str) -> None:
    with pytest.raises(ValueError, match=r"no such model or address.*'other'.*no model other"):
        answers_of(generator_at(real_server, model="other"), request_of())


def test_what_is_sent_is_a_chat_completion_with_schema_key_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret-1")
    schema = Schema("thing", '{"properties": {"a": {"type": "string"}}}')
    with server_that(lambda n, asked: chat("yes")) as (url, seen):
        generator = generator_at(url + "/", key_env="MY_KEY", options={"top_k": 5})
        assert answers_of(generator, request_of(schema=schema, seed=3)) == [Completion("yes", 5, 2, pytest.approx(0, abs=2))]  # type: ignore[arg-type]
    assert seen[0]["path"] == "/v1/chat/completions"
    assert seen[0]["headers"]["authorization"] == "Bearer secret-1"
    assert seen[0]["body"] == {
        "model": "tiny",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}],
        "max_tokens": 8,
        "temperature": 0.0,
        "seed": 3,
        "top_k": 5,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "thing", "schema": {"properties": {"a": {"type": "string"}}}, "strict": True},
        },
    }
    assert "secret" not in json.dumps(generator.config.model_dump())


def test_a_key_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ValueError, match="MY_KEY, which is not set"):
        answers_of(generator_at("http://127.0.0.1:9/v1", key_env="MY_KEY"), request_of())


def test_a_refused_key_stops_everything() -> None:
    with server_that(lambda n, asked: (401, {}, b"who are you?")) as (url, seen):
        with pytest.raises(ValueError, match=r"refuses access \(HTTP 401; no key was sent: set key_env\): who are you"):
            answers_of(generator_at(url, concurrency=1), *[request_of()] * 5)
        assert len(seen) < 5


def test_a_busy_server_is_asked_again_when_it_says() -> None:
    replies = [(429, {"retry-after": "0.2"}, b"slow down"), (503, {}, b""), chat("at last")]
    with server_that(lambda n, asked: replies[n]) as (url, seen):
        began = time.monotonic()
        answer = answers_of(generator_at(url), request_of())[0]
    assert isinstance(answer, Completion) and answer.text == "at last"
    assert len(seen) == 3 and time.monotonic() - began >= 0.2


def test_a_server_that_stays_busy_or_finds_the_request_bad_is_a_failure() -> None:
    with server_that(lambda n, asked: (500, {}, b"oops")) as (url, seen):
        assert answers_of(generator_at(url), request_of())[0].reason == "HTTP 500"  # type: ignore[union-attr]
        assert len(seen) == 3
    with server_that(lambda n, asked: (400, {}, b"response_format is not known")) as (url, seen):
        failure = answers_of(generator_at(url), request_of())[0]
        assert isinstance(failure, Failure) and "response_format is not known" in failure.detail
        assert len(seen) == 1


def test_a_server_that_does_not_answer_in_time_is_a_failure() -> None:
    release = threading.Event()

    def never(n: int, asked: dict[str, Any]) -> Reply:
        release.wait(10)
        return chat("too late")

    with server_that(never) as (url, seen):
        failure = answers_of(generator_at(url, timeout_seconds=0.2, retries=1), request_of())[0]
        release.set()
    assert isinstance(failure, Failure) and failure.reason == "timed out" and "timeout_seconds" in failure.detail
    assert len(seen) == 2


def test_nobody_listening_is_a_failure() -> None:
    failure = answers_of(generator_at("http://127.0.0.1:9/v1", retries=0), request_of())[0]
    assert isinstance(failure, Failure) and failure.reason == "no connection"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ((200, {}, b"<html>hello</html>"), "not a chat completion"),
        ((200, {}, b'{"choices": []}'), "not a chat completion"),
        ((200, {}, b'["choices"]'), "not a chat completion"),
        ((200, {}, b"\xff\xfe"), "not a chat completion"),
        ((200, {}, b"[" * 100_000), "not a chat completion"),
        (chat(None), "no text in the answer"),
        (chat("x" * (2 << 20)), "answer too large"),
    ],
)
def test_rubbish_is_a_failure(reply: Reply, reason: str) -> None:
    with server_that(lambda n, asked: reply) as (url, _):
        failure = answers_of(generator_at(url), request_of())[0]
    assert isinstance(failure, Failure) and failure.reason == reason


def test_tokens_that_a_server_does_not_count_are_estimated() -> None:
    with server_that(lambda n, asked: chat("12345678", usage=None)) as (url, _):
        answer = answers_of(generator_at(url), request_of())[0]
    assert isinstance(answer, Completion)
    assert (answer.prompt_tokens, answer.completion_tokens) == (4, 2)  # 13 and 8 characters


def test_requests_go_out_side_by_side_but_no_more_than_allowed() -> None:
    now, most, lock = 0, 0, threading.Lock()

    def slow(n: int, asked: dict[str, Any]) -> Reply:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1
        return chat("yes")

    with server_that(slow) as (url, _):
        answers_of(generator_at(url, concurrency=3), *[request_of(str(n)) for n in range(9)])
    assert most == 3


def test_a_rate_limit_spaces_requests_evenly() -> None:
    pace, began = Pace(per_minute=600), time.monotonic()
    for _ in range(4):
        pace.turn()
    assert 0.3 <= time.monotonic() - began < 0.6


def test_a_url_that_is_none_is_refused_at_load() -> None:
    with pytest.raises(ValueError, match="begins with http"):
        generator_at("localhost:8000/v1")
