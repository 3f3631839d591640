"""What becomes of answers: read, retried, counted, kept, and stopped by a budget."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from textwrap import dedent

import pytest
from pydantic import BaseModel, ConfigDict

from genre.llm.answering import GIVE_UP, NOT_ASKED, Question, Unusable, ask, read_json
from genre.llm.call_cache import CallCache
from genre.llm.generation import Completion, Failure, Generator, Request
from genre.llm.ledger import Budget, Ledger
from genre.llm.prompts import Prompt


class Scripted(Generator):
    """Says what its script says; ten tokens read and two written a call."""

    def __init__(self, script: Callable[[Request], str | None], batch_size: int = 2) -> None:
        super().__init__(self.Config(use="scripted", model="script", prompt_price=100_000, batch_size=batch_size))
        self.script = script
        self.asked: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion | Failure]]:
        for place in reversed(range(len(requests))):  # in whatever order they are done
            self.asked.append(requests[place])
            said = self.script(requests[place])
            yield place, Failure("timed out", "no answer") if said is None else Completion(said, 10, 2, 0.5)


def number(text: str) -> int:
    if not text.isdigit():
        raise Unusable("no number")
    return int(text)


def questions(n: int) -> list[Question[int]]:
    return [Question(Request(Prompt("p@1", "", str(place))), number) for place in range(n)]


def test_answers_come_in_the_order_of_the_questions(tmp_path: Path) -> None:
    ledger = Ledger()
    with CallCache(tmp_path / "calls") as cache:
        answers = ask(questions(5), Scripted(lambda request: request.prompt.user), cache, ledger)
    assert [answer.value for answer in answers] == [0, 1, 2, 3, 4]
    assert (ledger.calls, ledger.prompt_tokens, ledger.completion_tokens, ledger.money) == (5, 50, 10, 5.0)
    assert not ledger.failures


def test_an_unusable_answer_is_asked_for_again_with_another_seed_and_counted(tmp_path: Path) -> None:
    generator = Scripted(lambda request: "7" if request.seed else "seven")
    ledger = Ledger()
    with CallCache(tmp_path / "calls") as cache:
        answers = ask(questions(1), generator, cache, ledger)
    assert answers[0].value == 7
    assert ledger.failures == {"no number": 1} and ledger.calls == 2
    assert [request.temperature for request in generator.asked] == [0.0, 0.7]


def test_a_question_that_is_never_answered_well_has_a_problem_and_the_others_go_on(tmp_path: Path) -> None:
    def script(request: Request) -> str | None:
        return {"0": "zero", "1": None}.get(request.prompt.user, request.prompt.user)

    ledger = Ledger()
    with CallCache(tmp_path / "calls") as cache:
        answers = ask(questions(3), Scripted(script), cache, ledger, attempts=3)
    assert [(answer.value, answer.problem) for answer in answers] == [(None, "no number"), (None, "timed out"), (2, None)]
    assert ledger.failures == {"no number": 3, "timed out": 3}
    assert "6 failures (3 no number, 3 timed out)" in str(ledger)


def test_what_was_answered_is_not_asked_again_and_costs_what_it_cost(tmp_path: Path) -> None:
    first, second = Scripted(lambda request: request.prompt.user), Scripted(lambda request: request.prompt.user)
    before, after = Ledger(), Ledger()
    with CallCache(tmp_path / "calls") as cache:
        ask(questions(3), first, cache, before)
        answers = ask(questions(5), second, cache, after)
    assert [answer.value for answer in answers] == [0, 1, 2, 3, 4]
    assert sorted(request.prompt.user for request in second.asked) == ["3", "4"]
    assert (after.calls, after.cached, after.money) == (5, 3, 5.0)


@pytest.mark.parametrize(("budget", "limit"), [({"money": 3.0}, "money"), ({"tokens": 40}, "tokens"), ({"seconds": 1.6}, "seconds")])
def test_a_budget_stops_cleanly_and_says_what_was_left_out(tmp_path: Path, budget: dict[str, float], limit: str) -> None:
    ledger = Ledger(Budget.model_validate(budget))
    generator = Scripted(lambda request: request.prompt.user)
    with CallCache(tmp_path / "calls") as cache:
        answers = ask(questions(7), generator, cache, ledger)
        # Two at a time: the third call reaches each limit, the fourth was under way beside it.
        assert [answer.value for answer in answers] == [0, 1, 2, 3, None, None, None]
        assert {answer.problem for answer in answers[4:]} == {NOT_ASKED}
        assert (ledger.stopped_by, ledger.left_out, ledger.calls) == (limit, 3, 4)
        # With a larger budget what was paid for is not paid again.
        larger, more = Ledger(Budget(money=100.0)), Scripted(lambda request: request.prompt.user)
        assert [answer.value for answer in ask(questions(7), more, cache, larger)] == list(range(7))
    assert len(more.asked) == 3


def test_a_model_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with CallCache(tmp_path / "calls") as cache, pytest.raises(RuntimeError, match=f"script gave no answer {GIVE_UP} times in a row"):
        ask(questions(GIVE_UP + 5), Scripted(lambda request: None), cache, Ledger())


def test_answers_survive_a_kill(tmp_path: Path) -> None:
    script = dedent(f"""
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_generation_answering import *
        def script(request):
            if request.prompt.user == "5":
                os.kill(os.getpid(), signal.SIGKILL)
            return request.prompt.user
        with CallCache(Path({str(tmp_path / "calls")!r})) as cache:
            ask(questions(8), Scripted(script, batch_size=1), cache, Ledger())
    """)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    ledger, generator = Ledger(), Scripted(lambda request: request.prompt.user)
    with CallCache(tmp_path / "calls") as cache:
        answers = ask(questions(8), generator, cache, ledger)
    assert [answer.value for answer in answers] == list(range(8))
    assert sorted(request.prompt.user for request in generator.asked) == ["5", "6", "7"]


class Thing(BaseModel):
    model_config = ConfigDict(strict=True)
    name: str
    words: list[str] = []


@pytest.mark.parametrize("text", ['{"name": "a", "words": ["b"]}', 'Sure! ```json\n{"name": "a", "words": ["b"], "more": 1}\n``` {"x"'])
def test_json_is_found_in_what_stands_around_it(text: str) -> None:
    assert read_json(text, Thing) == Thing(name="a", words=["b"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I cannot do that.", "no JSON in the answer"),
        ("", "no JSON in the answer"),
        ('{"name": "a", "wor', "broken JSON in the answer"),
        ("{" * 100_000, "broken JSON in the answer"),
        ('{"words": []}', "name: field required"),
        ('{"name": 5}', "name: input should be a valid string"),
        ('{"name": "a", "words": ["b", 5]}', "words: input should be a valid string"),
    ],
)
def test_json_that_does_not_fit_is_a_reason_that_can_be_counted(text: str, reason: str) -> None:
    with pytest.raises(Unusable, match=f"^{reason}$"):
        read_json(text, Thing)
