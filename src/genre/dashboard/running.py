"""A server that answers the API and the dashboard from one process."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from genre.serving import running
from genre.serving.settings import ServeSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

SECRET = "GENRE_DASHBOARD_SECRET"
"""The environment variable that cookies are signed with. Drawn anew with every start, so that one logs in again after it, unless it is
set; set the same, of 32 bytes or more, for servers that share a store behind one address."""


def serve(settings: ServeSettings, host: str, port: int) -> None:
    """Listen until told to stop."""
    os.environ.setdefault(SECRET, secrets.token_hex(32))
    running.serve(settings, host, port, "genre.dashboard.running:worker")


def worker() -> FastAPI:
    """The application of one worker."""
    from genre.dashboard.mounting import mount

    app = running.worker()
    mount(app, os.environ[SECRET].encode())
    return app
