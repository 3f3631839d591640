"""A server with its dashboard, and somebody who visits it as a browser without scripts does."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi.testclient import TestClient

sys.path.append(str(Path(__file__).parents[1] / "serving"))
from small_engine import SmallEngine, small_bundle

from genre.dashboard.mounting import mount
from genre.serving.app import create_app
from genre.serving.project import Loader
from genre.serving.settings import ServeSettings, open_store
from genre.serving.store import keys, registry

SECRET = b"a secret of thirty-two bytes or more"


def small_project(run: Path) -> tuple[Path, str]:
    """A run with two small models, the first of which serves, and an admin key."""
    run.mkdir()
    store = open_store(run)
    store.migrate()
    with store.write() as connection:
        for version in ("000001", "000002"):
            small_bundle(run, version)
            registry.register(connection, version, f"models/{version}", {}, "test")
        registry.promote(connection, "000001", "test")
        _, token = keys.create(connection, "me", ["admin"], 100, "test")
    store.close()
    return run, token


@contextmanager
def opened(run: Path, load: Loader = SmallEngine.load) -> Iterator[TestClient]:
    """A server of it."""
    app = create_app(ServeSettings(runs=[run], follow_seconds=0.05), load)
    mount(app, SECRET)
    with TestClient(app, follow_redirects=False) as client:
        yield client


class Visitor:
    """Reads pages and posts their forms, token and all."""

    def __init__(self, client: TestClient, token: str) -> None:
        self.client, self.key = client, token

    def get(self, page: str, follow: bool = True) -> Any:
        return self.client.get(f"/dashboard{page}", follow_redirects=follow)

    def log_in(self, key: str | None = None) -> Any:
        csrf = token_of(self.get("/login").text)
        return self.client.post("/dashboard/login", data={"key": self.key if key is None else key, "back": "/dashboard", "csrf": csrf})

    def post(self, page: str, address: str, fields: dict[str, str | list[str]]) -> Any:
        """Send a form of a page, and read what comes then."""
        csrf = token_of(self.get(page).text)
        return self.client.post(f"/dashboard{address}", data={**fields, "csrf": csrf}, follow_redirects=True)


def token_of(page: str) -> str:
    """The one that the page's forms carry."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


@contextmanager
def listening(run: Path, load: Loader) -> Iterator[str]:
    """The same behind a port, for a browser; its address."""
    app = create_app(ServeSettings(runs=[run], follow_seconds=0.05), load)
    mount(app, SECRET)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
