"""Experiments of a server that runs, by the commands that are of files without one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dashboards import listening, small_project
from small_engine import SmallEngine
from typer.testing import CliRunner

from genre import Client
from genre.cli import app
from genre.serving.contract import EventIn

DEFINITION = """
surface: default
variants: {old: {}, new: {serve: {model: "000002"}}}
metrics: {clicks: {use: mean, event: click}}
primary: clicks
min_units: 10
logs: {events: elsewhere.csv}
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Client]]:
    """The address of a server, whose key is in the environment; home.yaml is in the working directory."""
    run, token = small_project(tmp_path / "shop")
    (tmp_path / "home.yaml").write_text(DEFINITION)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("GENRE_KEY", token)
    with listening(run, SmallEngine.load) as url, Client(url, token) as client:
        yield url, client


def genre(*words: str) -> str:
    done = CliRunner().invoke(app, ["experiment", *words])
    assert done.exit_code == 0, repr(done.exception)
    return done.output


def refused(*words: str) -> str:
    done = CliRunner().invoke(app, ["experiment", *words])
    assert done.exit_code == 1
    return str(done.exception)


def test_the_four_commands_reach_a_server(shop: tuple[str, Client]) -> None:
    url, client = shop
    for user in range(60):
        client.recommend(f"u{user}")
        client.send([EventIn(event_id=f"{user}-{k}", type="click", user_id=f"u{user}", item_id="i1") for k in range(user % 3)])
    until = time.monotonic() + 10
    while "clicks is " not in (planned := CliRunner().invoke(app, ["experiment", "plan", "home.yaml", "--server", url]).output):
        assert time.monotonic() < until
        time.sleep(0.2)
    assert "planned_units: " in planned and "nobody is assigned before it is started" in planned
    assert client.admin.experiment("home")["status"] == "planned"
    started = genre("start", "home.yaml", "--server", url)
    assert f"home runs on {url}, surface default: old 50.0%, new 50.0%" in started
    assert client.admin.experiment("home")["status"] == "running" and not Path("experiments").exists()
    until = time.monotonic() + 10
    while client.admin.served() != ["home"]:
        assert time.monotonic() < until
        time.sleep(0.05)
    for user in range(60):
        client.recommend(f"u{user}")
        client.send([EventIn(event_id=f"{user}-again-{k}", type="click", user_id=f"u{user}", item_id="i2") for k in range(user * 7 % 5)])
    until = time.monotonic() + 10
    while (done := CliRunner().invoke(app, ["experiment", "report", "home", "--server", url])).exit_code:
        assert time.monotonic() < until, done.exception
        time.sleep(0.2)
    assert "Hold: " in done.output and "day 0.0 of 14" in done.output and "clicks" in done.output and "old" in done.output
    assert "home is stopped: enough" in genre("stop", "home", "--reason", "enough", "--server", url)
    assert client.admin.experiment("home")["reason"] == "enough"
    assert "is stopped: its definition is fixed" in refused("start", "home.yaml", "--server", url)


def test_what_cannot_be_done_there_is_said(shop: tuple[str, Client], monkeypatch: pytest.MonkeyPatch) -> None:
    url, _ = shop
    assert "there is no experiment 'none'" in refused("report", "none", "--server", url)
    assert "--now is of logs" in refused("start", "home.yaml", "--server", url, "--now", "2026-01-01")
    monkeypatch.delenv("GENRE_KEY")
    assert "GENRE_KEY" in refused("report", "home", "--server", url)
    assert "does not answer" in refused("report", "home", "--server", "http://127.0.0.1:9")


def test_without_a_server_it_is_said_that_none_is_concerned(shop: tuple[str, Client]) -> None:
    Path("home.yaml").write_text(DEFINITION.replace("surface: default", "surface: home"))
    said = genre("start", "home.yaml")
    assert "no server is told" in said and "--server" in said
    assert "--server URL" in refused("report", "personal") and "dashboard" in refused("report", "personal")
