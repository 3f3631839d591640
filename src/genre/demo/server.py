"""A server of one's own: a real process on a free port of this machine, for as long as a block lasts."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

PATIENCE = 120.0
"""Seconds that a start may take."""


@contextmanager
def serving(run: Path) -> Iterator[str]:
    """`genre serve` of a run; yields its address. What it says goes into RUN/server.log.

    Raises:
        RuntimeError: it does not start.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, said = f"http://127.0.0.1:{port}", run / "server.log"
    with said.open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "genre.cli", "serve", str(run), "--port", str(port)], stdout=log, stderr=log)
        try:
            _wait(process, url, said)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, said: Path) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=2).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"the server did not start; {said} says why")
