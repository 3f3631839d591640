"""The command line as a stranger uses it, in processes of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import yaml

from genre.data.synthetic import World, WorldConfig
from genre.evaluation.ladder import signed
from genre.reporting import ladder
from genre.runs import Run

ENVIRONMENT = {**os.environ, "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}


def genre(*words: object, cwd: Path, code: int = 0, columns: int = 160) -> str:
    """What a command prints, errors included."""
    command = [sys.executable, "-m", "genre.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=ENVIRONMENT | {"COLUMNS": str(columns)})
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stranger's folder: a CSV of events and a Parquet of items."""
    folder = tmp_path_factory.mktemp("shop")
    world = World(WorldConfig(users=150, items=60, seed=5))
    events = world.events().select(
        client="user_id", sku="item_id", at=pl.from_epoch(pl.col("time").cast(pl.Int64)).dt.to_string(), stars="value"
    )
    events.write_csv(folder / "events.csv")
    world.items.rename({"item_id": "sku"}).write_parquet(folder / "items.parquet")
    return folder


@pytest.fixture(scope="module")
def yaml_of_shop(shop: Path) -> Path:
    genre("init", "shop", "--events", "events.csv", "--items", "items.parquet", cwd=shop)
    return shop / "shop.yaml"


def test_from_a_csv_to_lists_in_five_commands(shop: Path, yaml_of_shop: Path) -> None:
    config = yaml.safe_load(yaml_of_shop.read_text())
    columns = config["data"]["reader"]["columns"]
    assert (columns["user"], columns["item"], columns["time"]) == ("client", "sku", "at")
    assert "{title}" in config["data"]["text"]
    assert "0 errors" in genre("check", "shop.yaml", cwd=shop)
    quick = [f"rankers.{name}.epochs=2" for name, ranker in config["rankers"].items() if ranker["use"] == "sequential"]
    said = genre("run", "shop.yaml", *quick, cwd=shop)
    assert "full ranking, history masked" in said
    assert "popularity" in said
    made = {file: file.stat().st_mtime_ns for file in (shop / "runs" / "shop").rglob("manifest.json")}
    genre("run", "shop.yaml", *quick, cwd=shop)
    assert made and made == {file: file.stat().st_mtime_ns for file in (shop / "runs" / "shop").rglob("manifest.json")}, (
        "nothing is done twice"
    )
    assert "<svg" in (shop / "runs" / "shop" / "report.html").read_text()
    assert "verdict" in genre("report", "runs/shop", cwd=shop)
    user = pl.read_csv(shop / "events.csv", infer_schema=False)["client"][0]
    assert "because of" in genre("recommend", "runs/shop", "--user", user, "--explain", "-n", "5", cwd=shop)
    found = json.loads(genre("recommend", "runs/shop", "--user", user, "-n", 3, "--json", cwd=shop))
    assert [item["rank"] for item in found["items"]] == [1, 2, 3]
    genre("recommend", "runs/shop", "--all-users", "-n", 2, "--out", "recs.parquet", cwd=shop)
    assert pl.read_parquet(shop / "recs.parquet").columns == ["user_id", "item_id", "rank", "score"]
    assert re.search(r"popularity +ndcg@10 0\.\d{4} ±0\.\d+ \(.*validation, full ranking", genre("evaluate", "runs/shop", cwd=shop))

    page = (shop / "runs" / "shop" / "report.html").read_bytes()
    said = genre("run", "shop.yaml", "data.split.use=none", *quick, cwd=shop)
    assert "ndcg" not in said and "report.html tells of the run that was evaluated before" in said
    assert "nothing is left to judge it on" in genre("report", "runs/shop", cwd=shop, code=1)
    assert (shop / "runs" / "shop" / "report.html").read_bytes() == page
    dataset = json.loads((shop / "runs" / "shop" / "prepare" / "summary.json").read_text())
    assert dataset["parts"]["train"] == dataset["interactions"]
    assert "learnt from everything (data.split.use=none), so nothing is left to judge by" in genre(
        "evaluate", "runs/shop", cwd=shop, code=1
    )
    assert json.loads(genre("recommend", "runs/shop", "--user", user, "-n", 3, "--json", cwd=shop))["items"]


def test_a_killed_run_goes_on_and_ends_the_same(shop: Path, yaml_of_shop: Path) -> None:
    tree = yaml.safe_load(yaml_of_shop.read_text())
    tree["rankers"] = {"ids": {"use": "sequential", "embedding_dim": 32, "epochs": 40, "patience": 40}}
    tree.pop("serve", None)
    for name in ("whole", "killed"):
        (shop / f"{name}.yaml").write_text(yaml.safe_dump(tree | {"name": name}))
    genre("run", "whole.yaml", cwd=shop)
    process = subprocess.Popen([sys.executable, "-m", "genre.cli", "run", "killed.yaml"], cwd=shop, env=ENVIRONMENT, stderr=subprocess.PIPE)
    partial = shop / "runs" / "killed" / "rank" / ".ids.partial"
    deadline = time.monotonic() + 120
    while not list(partial.rglob("history.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (shop / "runs" / "killed" / "rank" / "ids").exists()
    assert "going on where it stopped" in genre("run", "killed.yaml", cwd=shop)
    states = [Run(shop / "runs" / name).path("rank/ids") / "state.safetensors" for name in ("whole", "killed")]
    assert states[0].read_bytes() == states[1].read_bytes()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "shopp.yaml"), "no such file; is it shop.yaml?"),
        (("run", "shop.yaml", "rankers.popularity.colour=red"), "rankers.popularity.colour: unknown key"),
        (("run", "shop.yaml", "data.reader.columns.user=custommer"), "custommer"),
        (("recommend", "runs/nothing", "--user", "1"), "is not a run"),
        (("report", "runs/nothing"), "is not a run"),
        (("init", "shop", "--events", "events.csv"), "shop.yaml"),
        (("init", "other", "--events", "event.csv"), "event.csv"),
        (("init", "other", "--events", "events.csv", "--role", "user"), "write role=column"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_1(shop: Path, yaml_of_shop: Path, words: tuple[str, ...], says: str) -> None:
    said = genre(*words, cwd=shop, code=1)
    assert says in said
    assert "Traceback" not in said


@pytest.mark.parametrize("columns", [80, 100, 160])
def test_no_figure_of_the_ladder_is_cut_in_a_narrow_terminal(small_run: Run, tmp_path: Path, columns: int) -> None:
    climbed = ladder([small_run.folder])
    said = genre("report", small_run.folder, "--out", "page.html", cwd=tmp_path, columns=columns)
    lines = said.splitlines()
    assert lines[0] == climbed.caption()
    assert "…" not in said
    assert "ndcg@10" in said and "difference" in said
    for rung in climbed.rungs:
        line = next(line for line in lines if f" {rung.name} " in line)
        assert len(line) <= columns
        assert str(rung.metrics["ndcg@10"]) in line
        assert not rung.gains or signed(rung.gains["ndcg@10"]) in line
    left_out = {80: "left out at 80 columns: CPU s, seconds, peak MB", 100: "left out at 100 columns: CPU s", 160: ""}
    assert left_out[columns] in said and (columns < 160) == ("left out" in said)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("rank/transitions/state.safetensors", "state.safetensors is damaged"),
        ("embed/text/item_vectors.safetensors", "item_vectors.safetensors is damaged"),
        ("embed/text/transform.safetensors", "transform.safetensors is damaged"),
        ("rank/transitions/manifest.json", "manifest.json is damaged"),
    ],
)
def test_a_truncated_file_is_named_with_what_to_do(small_run: Run, tmp_path: Path, broken: str, says: str) -> None:
    file = shutil.copytree(small_run.folder, tmp_path / "run") / broken
    file.write_bytes(file.read_bytes()[:20])
    said = genre("recommend", "run", "--user", "u1", "--ranker", "transitions", cwd=tmp_path, code=1)
    assert says in said and f"delete {Path('run') / Path(broken).parent}" in said
    assert "Traceback" not in said


def test_a_folder_in_a_files_place_is_named(small_run: Run, tmp_path: Path) -> None:
    (tmp_path / "taken.parquet").mkdir()
    for words in (("report", small_run.folder), ("recommend", small_run.folder, "--all-users")):
        said = genre(*words, "--out", "taken.parquet", cwd=tmp_path, code=1)
        assert "error taken.parquet: is a directory" in said


def test_the_trace_is_shown_where_it_is_asked_for_before_the_command_or_after(tmp_path: Path) -> None:
    for words in (("--debug", "report", "nothing"), ("report", "nothing", "--debug")):
        assert "Traceback" in genre(*words, cwd=tmp_path, code=1)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "for whom?"),
        (("--user", ""), "--user is empty"),
        (("--user", "u1", "--out", "recs.parquet"), "--out is where --all-users writes"),
        (("--all-users", "--user", "u1", "--explain"), "--all-users knows no --user and no --explain"),
        (("--all-users", "--history", "i1"), "--all-users knows no --history"),
        (("--all-users", "--exclude", "i1"), "--all-users knows no --exclude"),
        (("--user", "u1", "--context", "device"), "--context device: write NAME=VALUE"),
        (("--user", "u1", "--context", "devce=phone"), "--context devce: the ranker reads no context"),
        (("--all-users", "--out", "recs.csv"), "recs.csv: lists of everybody are Parquet; name the file recs.parquet"),
    ],
)
def test_recommend_drops_nothing_it_is_given(tmp_path: Path, small_run: Run, words: tuple[str, ...], says: str) -> None:
    assert says in genre("recommend", small_run.folder, *words, cwd=tmp_path, code=1)
    assert not list(tmp_path.iterdir())


def test_a_run_says_how_many_rows_could_not_be_read(tmp_path: Path) -> None:
    rows = [f"u{u},i{(u + step) % 7},{100 * u + step}" for u in range(20) for step in range(4)]
    (tmp_path / "events.csv").write_text("\n".join(["user,item,time", *rows, "u1,,5", "u2,i3,noon"]) + "\n")
    reader = {"use": "files", "events": "events.csv", "columns": {"user": "user", "item": "item", "time": "time"}}
    tree = {"data": {"reader": reader}, "rankers": {"popularity": {"use": "popularity"}}}
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    said = genre("run", "shop.yaml", cwd=tmp_path)
    assert "2 rows could not be read: runs/shop/prepare/rejected.parquet says why" in said


def test_whom_nobody_knows_is_told_in_one_line_above_a_list(small_run: Run, tmp_path: Path) -> None:
    lines = genre("recommend", small_run.folder, "--user", "somebody-with-a-long-name", cwd=tmp_path).splitlines()
    assert lines[:2] == ["somebody-with-a-long-name: nobody we know, so no history", "for somebody-with-a-long-name"]


def test_the_schema_is_json(shop: Path) -> None:
    assert json.loads(genre("config", "schema", cwd=shop))["properties"]["data"]


def test_the_resolved_config_can_be_shown_and_run(shop: Path, yaml_of_shop: Path) -> None:
    shown = yaml.safe_load(genre("config", "show", "shop.yaml", "seed=7", cwd=shop))
    assert shown["seed"] == 7
    assert Path(shown["data"]["reader"]["events"]).is_absolute()


@pytest.mark.parametrize(
    "command", ["init", "check", "run", "report", "recommend", "evaluate", "tradeoff", "ope", "config schema", "config show"]
)
def test_every_help_shows_an_example(shop: Path, command: str) -> None:
    said = genre(*command.split(), "--help", cwd=shop)
    assert f"genre {command}" in said.split("Example", 1)[1]


def test_a_hostile_title_is_no_markup(tmp_path: Path) -> None:
    rows = [f"u{u},i{(u + t) % 12},{t}" for u in range(20) for t in range(5)]
    (tmp_path / "e.csv").write_text("user,item,time\n" + "\n".join(rows))
    titles = [f"i{i},[bold red]\x1b[31mEvil {i}[/]<script>alert({i})</script>" for i in range(12)]
    (tmp_path / "i.csv").write_text("item,title\n" + "\n".join(titles))
    reader = {"use": "files", "events": "e.csv", "items": "i.csv", "columns": {"user": "user", "item": "item", "time": "time"}}
    tree = {"data": {"reader": reader, "text": "{title}"}, "rankers": {"popularity": {"use": "popularity"}}}
    (tmp_path / "evil.yaml").write_text(yaml.safe_dump(tree))
    genre("run", "evil.yaml", cwd=tmp_path)
    said = genre("recommend", "runs/evil", "--user", "u1", cwd=tmp_path)
    assert "[bold red]" in said
    assert "\x1b[31m" not in said
    page = (tmp_path / "runs" / "evil" / "report.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
