"""Stages: each part of a request has a name, is timed, and may fail or be left out without the request failing."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from genre.serving.contract import RequestError

log = logging.getLogger(__name__)
T = TypeVar("T")
LATE = "out of time"


class Stages:
    """The stages of one request.

    Args:
        waited: seconds since the request came in; they count.

    Attributes:
        ms: milliseconds each took; first of all, if it had to wait for its turn, `wait`.
        failed: those that did not do their work, and why.
    """

    def __init__(
        self, deadline_ms: float, failures: Counter[str], waited: float = 0.0, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.ms: dict[str, float] = {"wait": round(waited * 1000, 3)} if waited else {}
        self.failed: dict[str, str] = {}
        self._deadline, self._failures, self._clock = deadline_ms / 1000.0, failures, clock
        self._begun = clock()
        self._start = self._begun - waited

    @property
    def seconds(self) -> float:
        """Of work, without the wait."""
        return self._clock() - self._begun

    def left(self, share: float = 1.0) -> float:
        """Seconds until a share of the deadline is over; not below 0."""
        return max(self._deadline * share - (self._clock() - self._start), 0.0)

    def run(self, name: str, work: Callable[[], T], otherwise: Callable[[], T], share: float = 1.0) -> T:
        """Do a stage, or something simpler if it fails or the share of the deadline is over before it begins.

        Raises:
            RequestError: the request itself is to blame.
        """
        begin = self._clock()
        if begin - self._start > self._deadline * share:
            self.fail(name, LATE)
            return otherwise()
        try:
            return work()
        except RequestError:
            raise
        except TimeoutError:
            self.fail(name, LATE)
            return otherwise()
        except Exception as error:
            log.exception("stage %s failed", name)
            self.fail(name, type(error).__name__)
            return otherwise()
        finally:
            self.ms[name] = round((self._clock() - begin) * 1000, 3)

    def fail(self, name: str, why: str) -> None:
        """Note that a stage did not do its work."""
        self.failed[name] = why
        self._failures[name] += 1
