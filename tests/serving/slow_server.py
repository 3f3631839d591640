"""A server process whose lists take long, for the tests of too much load: `python slow_server.py RUN PORT WAITING`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import uvicorn

from genre.serving.app import create_app
from genre.serving.engine import BundleEngine
from genre.serving.observability import log_as_json
from genre.serving.settings import ServeSettings
from genre.serving.sources import Asked, Source
from genre.types import Ints

TAKES = 0.05


class SlowSource(Source):
    """Keeps the process busy, and finds nothing."""

    def find(self, asked: Asked, k: int) -> Ints:
        time.sleep(TAKES)
        return np.empty(0, np.int64)


if __name__ == "__main__":
    log_as_json(30)
    run, port, waiting = sys.argv[1:]
    settings = ServeSettings.model_validate({"runs": [Path(run)], "limits": {"waiting": int(waiting)}})
    uvicorn.run(create_app(settings, BundleEngine.load), host="127.0.0.1", port=int(port), log_level="error")
