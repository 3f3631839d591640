"""A project: a run's bundles and its store, an engine that answers, and a thread that notices what others change."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from genre.serving.contract import Engine, PastEvent, RequestError
from genre.serving.following import Following
from genre.serving.guarding import Guarding
from genre.serving.live import Arm, Live, models_of
from genre.serving.observability import ERRORS, LOADS, MODEL, STORE_UP, WAITING, log
from genre.serving.settings import ServeSettings, open_store
from genre.serving.shadowing import Shadowing
from genre.serving.shelf import register_all
from genre.serving.shown import ShownLists
from genre.serving.store import assignments, events, experiments, exposures, keys, registry
from genre.serving.store.database import Unavailable
from genre.serving.store.writer import Writer

T = TypeVar("T")
Loader = Callable[[Path], Engine]
HOUSEKEEPING = 600.0


class Project:
    """One run behind the API."""

    def __init__(self, run: Path, settings: ServeSettings, load: Loader) -> None:
        self.run = run
        self.name = run.resolve().name
        self.settings = settings
        self.database = open_store(run, settings.database)
        self.writer = Writer(self.database)
        self.shown = ShownLists(self.writer)
        self.shadowing = Shadowing(self.writer)
        self.keys: dict[str, keys.Key] = {}
        self.serving: Following | None = None
        self.shadow: Following | None = None
        self.arms: dict[str, Following] = {}
        self.live = Live()
        self.guarding = Guarding(self.database, self.writer, settings.guard_seconds, lambda: self.live.experiments)
        self._experiments = -1
        self._load = load
        self._guarded: bool | None = None
        self._revision = -1
        self._swept = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"genre-follow-{self.name}", daemon=True)

    def start(self) -> None:
        """Bring the store up to date, load the model that serves, and follow from then on.

        A store that is away at the start is no reason not to start: it is asked again and again, and `/readyz` says so.
        """
        try:
            self.database.migrate()
        except Unavailable as error:
            log.error("the store is away", project=self.name, reason=str(error))
        self.look()
        self._thread.start()
        self.guarding.start()

    def stop(self) -> None:
        """Write what waits, then let go of everything."""
        self._stop.set()
        self.guarding.stop()
        if self._thread.is_alive():
            self._thread.join()
        self.shadowing.close()
        self.shown.close()
        for following in self._held():
            following.keep(self.writer, all_of_it=True)
        self.writer.close()
        self.database.close()

    def look(self) -> None:
        """Once: who serves, which keys are good, what changed, what happened. Says so and goes on if the store is away."""
        try:
            with self.database.read() as connection:
                self.keys = keys.valid(connection)
                self._guarded = bool(self._guarded) or keys.any_ever(connection)
                roles = registry.now(connection)
                if roles.revision != self._revision or self.serving is None:
                    self._switch(connection, roles)
                if (revision := experiments.revision(connection)) != self._experiments:
                    self._arrange(connection)
                    self._experiments = revision
                for following in self._held():
                    following.catch_up(connection)
                    following.learn(connection)
                    following.keep(self.writer)
            STORE_UP.labels(self.name).set(1)
        except Unavailable as error:
            STORE_UP.labels(self.name).set(0)
            log.warning("the store is away", project=self.name, reason=str(error))
        self.shown.flush()
        WAITING.set(self.writer.waiting)

    def look_for_keys(self) -> None:
        """Once: which keys are good."""
        try:
            with self.database.read() as connection:
                self.keys = keys.valid(connection)
        except Unavailable as error:
            log.warning("the store is away", project=self.name, reason=str(error))

    @property
    def guarded(self) -> bool:
        """Whether it has a key, even one that was revoked: what was closed once does not open by itself. Closed while nobody knows."""
        return self._guarded is not False

    async def read(self, question: Callable[[sa.Connection], T]) -> T:
        """Ask the store. SQLite answers at once, in microseconds; PostgreSQL is waited for without holding up other requests.

        Raises:
            Unavailable: the store cannot be reached.
        """
        return self._ask(question) if self.database.is_sqlite else await asyncio.to_thread(self._ask, question)

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Change the store; it is on the disk when this returns.

        Raises:
            Unavailable: nothing was written.
        """
        return await asyncio.wrap_future(self.writer.submit(work))

    async def stocktake(self, actor: str) -> None:
        """Make bundles known that were published beside this server.

        Raises:
            Unavailable: the store cannot be reached.
        """
        await self.write(lambda connection: register_all(connection, self.run, actor))

    async def change(self, work: Callable[[sa.Connection], T]) -> T:
        """Change the catalogue; it is on the disk, and this worker's engine has heard of it, when this returns.

        Raises:
            Unavailable: nothing was written.
        """
        done = await self.write(work)
        for following in self._held():
            try:
                await asyncio.to_thread(self._ask, following.catch_up)
            except Unavailable:  # it is written: the engine will hear of it with the next look
                log.warning("the store is away", project=self.name)
        return done

    async def history(self, user_id: str | None, session_id: str | None, began: float) -> tuple[Sequence[PastEvent], str | None]:
        """What somebody did, and why that is not known if it is not: a list without it is better than none.

        Args:
            began: when the request came in, by time.perf_counter.
        """
        if user_id is None and session_id is None:
            return (), None
        ask = functools.partial(events.history, user_id=user_id, session_id=session_id, n=self.settings.history)
        try:
            return await self._soon(ask, began), None
        except (Unavailable, TimeoutError) as error:
            return (), str(error) or "the store took too long"

    async def arm(self, surface: str, unit: str, began: float) -> Arm | None:
        """The arm of an experiment that somebody gets here; None for strangers, and while the store cannot say who was merged."""
        if unit == events.ANONYMOUS or not self.live.concerns(surface):
            return None
        try:
            root = await self._soon(functools.partial(assignments.root_of, unit=unit), began)
        except (Unavailable, TimeoutError):
            return None
        return self.live.arm(surface, root, time.time())

    def _held(self) -> list[Following]:
        """Every engine in memory."""
        found = [self.serving, self.shadow, *self.arms.values()]
        return list({id(following): following for following in found if following is not None}.values())

    async def _soon(self, question: Callable[[sa.Connection], T], began: float) -> T:
        """Ask what an answer should not wait long for; of SQLite without the cost of a clock.

        Raises:
            TimeoutError: the list is late already, or the store is.
        """
        if self.database.is_sqlite:
            return self._ask(question)
        return await asyncio.wait_for(self.read(question), began + self.settings.patience_seconds - time.perf_counter())

    def _ask(self, question: Callable[[sa.Connection], T]) -> T:
        with self.database.read() as connection:
            return question(connection)

    def _follow(self) -> None:
        while not self._stop.wait(self.settings.follow_seconds):
            try:
                self.look()
                if time.monotonic() - self._swept > HOUSEKEEPING:
                    self._swept = time.monotonic()
                    old = exposures.older_than_days(self.settings.trace_days)
                    self.writer.submit(functools.partial(exposures.drop_traces, before=old))
            except Exception:  # this thread is what the next promote is noticed by: it must not end
                ERRORS.labels("follow").inc()
                log.exception("following failed", project=self.name)

    def _switch(self, connection: sa.Connection, roles: registry.Roles) -> None:
        """Load who serves now; what cannot be loaded leaves whoever serves serving, or else the model before it."""
        for model in [roles.current, *([] if self.serving else roles.below)]:
            if model is not None and (self.serving is None or self.serving.model != model):
                loaded = self._loaded(connection, model)
                if loaded is not None:
                    before, self.serving = self.serving, loaded
                    if before is not None:
                        MODEL.labels(self.name, before.model).set(0)
                    MODEL.labels(self.name, model).set(1)
                    break
        if roles.shadow is None:
            self.shadow = None
        elif self.shadow is None or self.shadow.model != roles.shadow:
            self.shadow = self._loaded(connection, roles.shadow)
        self._revision = roles.revision

    def _arrange(self, connection: sa.Connection) -> None:
        """Load what the running experiments compare. One that cannot be made ready is left out whole: half of it would be a wrong split."""
        engines: dict[str, Following] = {}
        ready = []
        for one in experiments.running(connection):
            found = {model: engines.get(model) or self._loaded(connection, model) for model in models_of([one])}
            loaded = {model: following for model, following in found.items() if following is not None}
            engines |= loaded
            try:
                Live([one], {model: following.engine for model, following in loaded.items()})
            except (KeyError, RequestError) as error:
                LOADS.labels("failed").inc()
                log.error("experiment not served", project=self.name, experiment=one.config.name, reason=str(error))
            else:
                ready.append(one)
        self.live = Live(ready, {model: following.engine for model, following in engines.items()})
        self.arms = engines
        log.info("experiments", project=self.name, running=[one.config.name for one in ready])

    def _loaded(self, connection: sa.Connection, model: str) -> Following | None:
        if held := next((following for following in self._held() if following.model == model), None):
            return held
        began = time.perf_counter()
        try:
            registered = registry.get(connection, model)
            engine = self._load(self.run / registered["path"])
            following = Following(engine, model, connection, registered["registered"])
        except Unavailable:
            raise
        except Exception as error:  # a damaged bundle is one way to fail; whichever way, the model that serves goes on serving
            LOADS.labels("failed").inc()
            log.error("model not loaded", project=self.name, model=model, reason=str(error))
            return None
        LOADS.labels("loaded").inc()
        log.info("model loaded", project=self.name, model=model, seconds=round(time.perf_counter() - began, 3))
        return following
