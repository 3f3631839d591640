"""Guarding: a thread that looks at every running experiment from time to time, and stops one whose guardrail or split is broken."""

from __future__ import annotations

import functools
import threading

from genre.experiments.definition import ExperimentError
from genre.experiments.state import Experiment
from genre.serving.evidence import evidence
from genre.serving.observability import ERRORS, log
from genre.serving.store import experiments
from genre.serving.store.database import Database, Unavailable
from genre.serving.store.writer import Writer

ACTOR = "guardrails"


class Guarding:
    """Of all workers and replicas, whoever comes first looks.

    Args:
        seconds: between two looks at an experiment; 0 never looks.
    """

    def __init__(self, database: Database, writer: Writer, project: str, seconds: float) -> None:
        self._database, self._writer, self._project, self._seconds = database, writer, project, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"genre-guard-{project}", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        if self._seconds:
            self._thread.start()

    def stop(self) -> None:
        """Look no more; a look that is under way is finished first."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Once, at every experiment whose turn it is.

        Raises:
            Unavailable: the store is away.
        """
        with self._database.read() as connection:
            running = experiments.running(connection)
        for experiment in running:
            mine = functools.partial(experiments.due, name=experiment.config.name, seconds=self._seconds)
            if not self._stop.is_set() and self._writer.submit(mine).result():
                self._judge(experiment)

    def _judge(self, experiment: Experiment) -> None:
        name = experiment.config.name
        try:
            decision = evidence(self._database, experiment).decision
            if decision.must_stop:
                reason = decision.reasons[0]
                self._writer.submit(functools.partial(experiments.stop, name=name, reason=reason, actor=ACTOR)).result()
                log.warning("experiment stopped", project=self._project, experiment=name, reason=reason)
        except ExperimentError as error:  # too early, or stopped by somebody else meanwhile
            log.info("experiment not judged", project=self._project, experiment=name, reason=str(error))
        except Unavailable:
            raise
        except Exception:  # one experiment that cannot be judged must not keep the others from it
            ERRORS.labels("guard").inc()
            log.exception("experiment not judged", project=self._project, experiment=name)

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            try:
                self.look()
            except Unavailable as error:
                log.warning("the store is away", project=self._project, reason=str(error))
