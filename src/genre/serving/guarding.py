"""Guarding: a thread that looks at the guardrails of running experiments, and stops one that must not go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from genre.data.readers.rejection import ReadError
from genre.experiments.definition import ExperimentError
from genre.experiments.state import Experiment
from genre.serving.findings import analysed
from genre.serving.observability import ERRORS, log
from genre.serving.store import experiments
from genre.serving.store.database import Database, Unavailable
from genre.serving.store.writer import Writer

ACTOR = "the server"
REST = 20.0
"""An experiment whose figures take long is looked at less often: at most a twentieth of the time goes into it."""


class Guarding:
    """One worker's part; the workers of all replicas share the turns."""

    def __init__(self, database: Database, writer: Writer, seconds: float, running: Callable[[], Sequence[Experiment]]) -> None:
        self._database, self._writer, self._seconds, self._running = database, writer, seconds, running
        self._took: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="genre-guard", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the look that is under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self, experiment: Experiment) -> str | None:
        """Once, if it is this worker's turn; the reason if the experiment was stopped."""
        name = experiment.config.name
        pause = max(self._seconds, REST * self._took.get(name, 0.0))
        if not self._writer.submit(lambda connection: experiments.claim(connection, name, time.time(), pause)).result():
            return None
        began = time.monotonic()
        try:
            decision = analysed(self._database, experiment, watching=True).decision
        except (ExperimentError, ReadError) as error:  # too early, or a log that says nothing: no reason to stop anything
            log.info("guardrails say nothing", experiment=name, reason=str(error))
            return None
        finally:
            self._took[name] = time.monotonic() - began
        if not decision.must_stop:
            return None
        reason = decision.reasons[0]
        log.warning("experiment stopped", experiment=name, reason=reason)
        self._writer.submit(lambda connection: experiments.stop(connection, name, reason, ACTOR)).result()
        return reason

    def _run(self) -> None:
        while not self._stop.wait(min(self._seconds, 1.0)):
            for experiment in self._running():
                try:
                    self.look(experiment)
                except Unavailable as error:
                    log.warning("the store is away", reason=str(error))
                except ExperimentError as error:  # somebody else stopped it meanwhile
                    log.info("experiment not stopped", experiment=experiment.config.name, reason=str(error))
                except Exception:  # this thread is what the next broken guardrail is noticed by: it must not end
                    ERRORS.labels("guard").inc()
                    log.exception("guarding failed", experiment=experiment.config.name)
