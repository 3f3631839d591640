"""Answering: questions to usable answers, through the cache, within the budget, with what fails retried and counted."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from genre.llm.call_cache import CallCache, key_of
from genre.llm.generation import Completion, Failure, Generator, Request
from genre.llm.ledger import Ledger
from genre.progress import track

log = logging.getLogger(__name__)

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

GIVE_UP = 20
"""So many requests without any answer, one after another, and there is no point in going on."""
NOT_ASKED = "budget used up"


class Unusable(ValueError):
    """An answer that cannot be used; the message is the reason under which it is counted."""


@dataclass(frozen=True)
class Question(Generic[T]):
    """A request, and how its answer is read: `read` raises `Unusable`."""

    request: Request
    read: Callable[[str], T]


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What was read; where `value` is None, `problem` says why there is nothing."""

    value: T | None
    problem: str | None = None


def ask(
    questions: Sequence[Question[T]], generator: Generator, cache: CallCache, ledger: Ledger, attempts: int = 3, what: str = "asking"
) -> list[Answer[T]]:
    """An answer for each question, in order.

    A question whose answer is not usable is asked again, sampled with another seed, up to `attempts` times in all. When the budget is used
    up, what is left is not asked. Answers come from the cache where they are there; the ledger counts them with what they cost then, so a
    stage that was killed ends as one that was not.

    Raises:
        RuntimeError: the model does not answer at all.
    """
    answers: list[Answer[T]] = [Answer(None, NOT_ASKED)] * len(questions)
    silent, identity = 0, generator.identity()
    waiting = list(range(len(questions)))
    for attempt in range(attempts):
        failed: list[int] = []
        size = generator.config.batch_size
        batches = [waiting[start : start + size] for start in range(0, len(waiting), size)]
        for batch in track(batches, what if attempt == 0 else f"{what}, attempt {attempt + 1}"):
            if ledger.used_up():
                ledger.left_out += sum(answers[place].problem == NOT_ASKED for place in batch)
                continue
            requests = [questions[place].request.again(attempt) for place in batch]
            outcomes = _outcomes(requests, [key_of(identity, request) for request in requests], generator, cache, ledger)
            for place, outcome in zip(batch, outcomes, strict=True):
                answers[place] = _read(questions[place], outcome)
                if (problem := answers[place].problem) is not None:
                    if isinstance(outcome, Failure) and problem not in ledger.failures:
                        log.warning("%s: %s: %s; more of the kind are only counted", what, problem, outcome.detail)
                    ledger.failures[problem] += 1
                    failed.append(place)
                silent = silent + 1 if isinstance(outcome, Failure) else 0
                if isinstance(outcome, Failure) and silent >= GIVE_UP:
                    raise RuntimeError(
                        f"{generator.config.model} gave no answer {silent} times in a row, the last time: {outcome.detail}. "
                        "What was answered before is kept; the same command goes on from there"
                    )
        waiting = failed
    log.info("%s: %s", what, ledger)
    return answers


def _outcomes(
    requests: Sequence[Request], keys: Sequence[str], generator: Generator, cache: CallCache, ledger: Ledger
) -> list[Completion | Failure]:
    """What is in the cache, and what is generated now, in the order of the requests."""
    outcomes: list[Completion | Failure | None] = [None] * len(requests)
    for place, key in enumerate(keys):
        if (found := cache.find(key)) is not None:
            completion, money = found
            ledger.book(completion.prompt_tokens, completion.completion_tokens, completion.seconds, money, cached=True)
            outcomes[place] = completion
    missing = [place for place, outcome in enumerate(outcomes) if outcome is None]
    for position, outcome in generator.generate([requests[place] for place in missing]) if missing else ():
        place = missing[position]
        outcomes[place] = outcome
        if isinstance(outcome, Completion):
            money = generator.price(outcome)
            cache.keep(keys[place], requests[place].prompt.name, outcome, money)
            ledger.book(outcome.prompt_tokens, outcome.completion_tokens, outcome.seconds, money)
        else:
            ledger.seconds += outcome.seconds
    return [outcome if outcome is not None else Failure("no outcome", "the generator lost a request") for outcome in outcomes]


def _read(question: Question[T], outcome: Completion | Failure) -> Answer[T]:
    if isinstance(outcome, Failure):
        return Answer(None, outcome.reason)
    try:
        return Answer(question.read(outcome.text))
    except Unusable as error:
        return Answer(None, str(error))


def read_json(text: str, model: type[M]) -> M:
    """The first JSON object in an answer, as the model that it must fit; whatever stands around it is ignored.

    Raises:
        Unusable: there is none, or it does not fit.
    """
    start = text.find("{")
    if start < 0:
        raise Unusable("no JSON in the answer")
    try:
        found, _ = json.JSONDecoder().raw_decode(text, start)
    except (json.JSONDecodeError, RecursionError) as error:
        raise Unusable("broken JSON in the answer") from error
    try:
        return model.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        raise Unusable(f"{'.'.join(str(part) for part in first['loc'] if isinstance(part, str))}: {first['msg'].lower()}") from error
