"""A server process with a small engine, for the tests that kill it: `python small_server.py RUN PORT [DATABASE]`."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from patient import LONG
from small_engine import SmallEngine

from genre.serving.app import create_app
from genre.serving.observability import log_as_json
from genre.serving.settings import ServeSettings

if __name__ == "__main__":
    log_as_json(30)
    run, port, *database = sys.argv[1:]
    settings = ServeSettings(runs=[Path(run)], database=database[0] if database else None, patience_seconds=LONG)
    uvicorn.run(create_app(settings, SmallEngine.load), host="127.0.0.1", port=int(port), log_level="error")
