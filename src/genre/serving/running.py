"""A server as a process: checked before it listens, one or several workers on one port."""

from __future__ import annotations

import gc
import os
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from genre.serving.settings import ServeSettings, is_public, open_store
from genre.serving.shelf import bundles, put_first
from genre.serving.store import keys, registry

if TYPE_CHECKING:
    from fastapi import FastAPI

    from genre.serving.contract import Engine

KEPT_OPEN = 75
"""Seconds that an idle connection stays open: longer than load balancers keep theirs (mostly 60), so that none sends into a closed one."""
SETTINGS = "GENRE_SERVE"
"""The environment variable that hands the settings to the workers."""


def prepare(settings: ServeSettings, host: str) -> None:
    """What must be so before a port is opened: tables of this version, a model, and on a public address a key.

    Raises:
        ValueError: there is no bundle, or no key where everybody could call.
        Unavailable: the store cannot be reached.
    """
    for run in settings.runs:
        with closing(open_store(run, settings.database)) as store:
            store.migrate()
            with store.write() as connection:
                put_first(connection, run, "genre serve")
                serves = registry.now(connection).current is not None
                guarded = bool(keys.valid(connection))
        if not serves and not bundles(run):
            raise ValueError(f"{run} has no bundle to serve; make one with: genre publish {run}")
        if not guarded and (is_public(host) or len(settings.runs) > 1):
            why = f"on {host} anybody could call" if is_public(host) else "with several runs a key says which one is meant"
            raise ValueError(f"{run} has no key, and {why}; make one with: genre keys create {run} --scope read --scope ingest")


def serve(settings: ServeSettings, host: str, port: int, factory: str = "genre.serving.running:worker") -> None:
    """Listen until told to stop.

    Args:
        factory: what makes the application of each worker.
    """
    # Before numpy is loaded: two workers with two threads each on two cores are slower than with one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    prepare(settings, host)
    os.environ[SETTINGS] = settings.model_dump_json()
    import uvicorn

    def listen() -> None:
        uvicorn.run(
            factory, factory=True, host=host, port=port, workers=settings.workers, access_log=False,
            log_level="warning", timeout_graceful_shutdown=10, server_header=False,
            timeout_keep_alive=KEPT_OPEN,
        )  # fmt: skip

    if settings.workers == 1:
        listen()
    else:
        with tempfile.TemporaryDirectory(prefix="genre-metrics-") as folder:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
            listen()


def worker() -> FastAPI:
    """The application of one worker."""
    from genre.serving.app import create_app
    from genre.serving.observability import log_as_json

    log_as_json()
    return create_app(ServeSettings.model_validate_json(os.environ[SETTINGS]), _load)


def _load(folder: Path) -> Engine:
    """A bundle, which garbage collection passes by from then on: to look through it takes a tenth of a second, and every request waits."""
    from genre.serving.engine import BundleEngine

    engine = BundleEngine.load(folder)
    gc.unfreeze()  # what is left of a bundle that was loaded before
    gc.collect()
    gc.freeze()
    return engine
