"""A server: the projects it holds, and which of them a caller's key opens."""

from __future__ import annotations

import time

from fastapi import Request

from genre.serving.answering import Problem
from genre.serving.limits import Bucket, Limits
from genre.serving.observability import log
from genre.serving.project import Loader, Project
from genre.serving.settings import ServeSettings
from genre.serving.store import keys
from genre.serving.turns import Turns

LOOK_AGAIN = 0.2
"""Seconds after which an unknown key is worth asking the store about: it may be new."""
AT_ONCE = 8
"""Lists in the making where PostgreSQL is waited for; as many as its connections."""


class Server:
    """Projects by name. With no key anywhere and one project, everybody who can reach the port may do everything."""

    def __init__(self, settings: ServeSettings, load: Loader) -> None:
        self.settings = settings
        self.limits: Limits = settings.limits
        names = [run.resolve().name for run in settings.runs]
        if len(set(names)) < len(names):
            raise ValueError(f"two runs have the same name: {', '.join(names)}")
        self.projects = {name: Project(run, settings, load) for name, run in zip(names, settings.runs, strict=True)}
        on_disk = all(project.database.is_sqlite for project in self.projects.values())
        self.turns = Turns(1 if on_disk else AT_ONCE, settings.limits.waiting)
        self._buckets: dict[str, Bucket] = {}
        self._looked = 0.0

    def start(self) -> None:
        """Open every project."""
        for project in self.projects.values():
            project.start()
        if not self.guarded:
            log.warning("no keys: whoever can reach this port may do everything", projects=list(self.projects))

    def stop(self) -> None:
        """Close every project."""
        for project in self.projects.values():
            project.stop()

    @property
    def guarded(self) -> bool:
        """Whether a key is needed: there is one somewhere, or several projects that nothing else tells apart."""
        return len(self.projects) > 1 or any(project.guarded for project in self.projects.values())

    def admit(self, request: Request, scope: keys.Scope) -> Project:
        """The project that the caller's key opens.

        Raises:
            Problem: 401 without a good key, 403 where it is not good for this, 429 where it is used too often.
        """
        if not self.guarded:
            project = next(iter(self.projects.values()))
            request.scope["state"]["project"] = project.name
            return project
        project, key = self.known(request.headers.get("authorization", ""))
        request.scope["state"].update(project=project.name, key=key.key_id)
        if not key.allows(scope):
            raise Problem(403, f"this key is good for {', '.join(key.scopes)}; this needs {scope}")
        bucket = self._buckets.get(key.key_id)
        if bucket is None or bucket.per_second != key.per_second / self.settings.workers:
            bucket = self._buckets[key.key_id] = Bucket(key.per_second / self.settings.workers)
        if wait := bucket.take():
            raise Problem(429, f"this key is good for {key.per_second:g} requests a second", headers={"retry-after": str(int(wait) + 1)})
        return project

    def known(self, header: str) -> tuple[Project, keys.Key]:
        """The project and the key of an Authorization header, whatever the key is good for.

        Raises:
            Problem: 401, there is no such key.
        """
        kind, _, token = header.partition(" ")
        parsed = keys.parse(token.strip()) if kind.lower() == "bearer" else None
        if parsed is not None:
            key_id, secret = parsed
            for again in (False, True):
                if again and not self._look_again():
                    break
                for project in self.projects.values():
                    key = project.keys.get(key_id)
                    if key is not None and key.matches(secret):
                        return project, key
        raise Problem(401, "send Authorization: Bearer and a key (genre keys create)", headers={"www-authenticate": "Bearer"})

    def _look_again(self) -> bool:
        if time.monotonic() - self._looked < LOOK_AGAIN:
            return False
        self._looked = time.monotonic()
        for project in self.projects.values():
            project.look_for_keys()
        return True
