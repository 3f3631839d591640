"""The server in a virtual environment of its own, as somebody installs it who only serves: it starts, answers, and there is no torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from test_client import free_port, wait_for

from genre.serving import operating

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """The Python of an environment that has `genre-rec[serve]` and nothing else."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", f"{REPOSITORY}[serve]"], check=True, env=clean)
    return python


@pytest.fixture
def served(alone: Path, small_bundle: Path, tmp_path: Path) -> Iterator[str]:
    """The address of its server; of a run nothing but the bundle was copied there."""
    shop = tmp_path / "shop"
    shutil.copytree(small_bundle, shop / "models" / "000001")
    operating.promote(shop)
    port = free_port()
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen([str(alone), "-W", "error", "-m", "genre.cli", "serve", str(shop), "--port", str(port)], env=clean)
    try:
        wait_for(port, 120)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.slow
def test_installed_for_serving_alone_it_answers_and_has_no_torch(alone: Path, served: str) -> None:
    with httpx.Client(base_url=served, timeout=30) as http:
        clicked = {"event_id": "1", "type": "click", "user_id": "ann", "item_id": "001"}
        assert http.post("/v1/events", json=[clicked]).json()["accepted"] == 1
        shown = http.post("/v1/recommend", json={"user_id": "ann", "n": 5, "text": "coffee", "explain": True}).json()
        assert (len(shown["items"]), shown["degraded"]) == (5, False)
        assert http.put("/v1/items/new", json={"attributes": {"title": "coffee beans", "description": ""}}).status_code == 200
        assert http.get("/metrics").status_code == 200
    listed = subprocess.run([str(alone), "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True).stdout.lower()
    there = {line.partition("==")[0] for line in listed.splitlines()}
    assert not there & {"torch", "transformers", "scikit-learn", "tensorboard", "onnx"}
    assert {"genre-rec", "fastapi", "onnxruntime"} <= there
