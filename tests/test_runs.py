from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from genre.reporting import cost
from genre.runs import Run, digest, forget_peak


def write_one(folder: Path) -> None:
    (folder / "out.txt").write_text("one")


def test_a_stage_runs_once_and_again_only_when_something_changed(tmp_path: Path) -> None:
    run, source = Run(tmp_path), tmp_path / "source.csv"
    source.write_text("a")
    assert run.stage("prepare", {"x": 1}, (), write_one, files=[source])
    assert not run.stage("prepare", {"x": 1}, (), write_one, files=[source])
    assert run.stage("prepare", {"x": 2}, (), write_one, files=[source])
    source.write_text("b")
    assert run.stage("prepare", {"x": 2}, (), write_one, files=[source])
    assert run.stage("prepare", {"x": 2}, (), write_one, files=[source], force=True)


def test_a_stage_is_stale_when_its_input_is(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.stage("prepare", 1, (), write_one)
    assert run.stage("rank/a", None, ["prepare"], write_one)
    assert not run.stage("rank/a", None, ["prepare"], write_one)
    run.stage("prepare", 2, (), write_one)
    assert run.stage("rank/a", None, ["prepare"], write_one)
    assert run.stages() == ["prepare", "rank/a"]


def test_a_failing_stage_leaves_what_was_there(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.stage("prepare", 1, (), write_one)

    def fail(folder: Path) -> None:
        (folder / "out.txt").write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run.stage("prepare", 2, (), fail)
    assert (run.path("prepare") / "out.txt").read_text() == "one"
    assert run.manifest("prepare").settings == 1


def test_the_manifest_tells_settings_inputs_seconds_and_memory(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.stage("prepare", {"x": 1}, (), write_one)
    run.stage("rank/a", {"y": 2}, ["prepare"], write_one)
    manifest = run.manifest("rank/a")
    assert manifest.settings == {"y": 2}
    assert manifest.inputs == {"prepare": run.manifest("prepare").fingerprint}
    assert manifest.seconds >= 0
    assert manifest.peak_mb > 10
    assert manifest.rise_mb is not None and manifest.rise_mb < manifest.peak_mb
    assert sorted(path.name for path in run.path("rank/a").iterdir()) == ["manifest.json", "out.txt"]


def test_memory_of_a_stage_is_what_it_took_and_not_what_others_hold(tmp_path: Path) -> None:
    kept = []

    def keep(folder: Path) -> None:
        kept.append(np.ones(30_000_000))

    def spend(folder: Path) -> None:
        np.ones(15_000_000).sum()

    run = Run(tmp_path)
    rise = {}
    for name, work in {"keep": keep, "spend": spend, "small": write_one}.items():
        run.stage(name, 1, (), work)
        rise[name] = run.manifest(name).rise_mb or 0.0
    assert rise["keep"] > 200
    assert rise["small"] < 20 < 240 < run.manifest("small").peak_mb
    assert rise["spend"] > 100 or not forget_peak(), "a peak between two looks"
    assert cost(run, "small")[2] == rise["small"]


def test_a_missing_stage_says_what_is_there(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.stage("prepare", 1, (), write_one)
    with pytest.raises(FileNotFoundError, match=r"stage 'rank/x' has not run \(finished: prepare\)"):
        run.path("rank/x")


def test_a_stage_made_from_an_earlier_input_is_refused_however_far_below_it_lies(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.stage("prepare", 1, (), write_one)
    run.stage("rank/a", None, ["prepare"], write_one)
    run.stage("rank/b", None, ["rank/a"], write_one)
    run.stage("evaluate/b", None, ["rank/b"], write_one)
    run.stage("prepare", 2, (), write_one)
    for stage in ("rank/a", "rank/b"):
        with pytest.raises(RuntimeError, match=r"rank/a was made from an earlier prepare than is there now.*genre run"):
            run.path(stage)
    assert run.path("evaluate/b").is_dir()  # a record stays true
    run.stage("prepare", 1, (), write_one)
    assert run.path("rank/b").is_dir()


def _killed(folder: Path) -> None:
    def work(partial: Path) -> None:
        (partial / "checkpoint").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)

    Run(folder).stage("rank/a", 1, (), work)


def test_a_killed_stage_is_absent_and_goes_on_in_its_folder(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_killed, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    run = Run(tmp_path)
    assert run.stages() == []
    found = []

    def work(partial: Path) -> None:
        found.append((partial / "checkpoint").exists())

    run.stage("rank/a", 1, (), work)
    run.stage("rank/a", 2, (), work)
    assert found == [True, False]  # other settings start afresh


def test_two_processes_never_write_to_one_run(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with run.locked(), pytest.raises(RuntimeError, match="another process"), Run(tmp_path).locked():
        raise AssertionError("both got in")


def test_digest_tells_contents_and_names_apart(tmp_path: Path) -> None:
    for name, text in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").write_text(text)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_seconds_of_all_attempts_are_added_up(tmp_path: Path) -> None:
    partial = tmp_path / ".prepare.partial"
    run = Run(tmp_path)

    def fail(folder: Path) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run.stage("prepare", 1, (), fail)
    spent = json.loads((partial / "meter.json").read_text())
    (partial / "meter.json").write_text(json.dumps(spent | {"seconds": 100.0, "cpu_seconds": 50.0, "peak_mb": 1e6}))
    run.stage("prepare", 1, (), write_one)
    manifest = run.manifest("prepare")
    assert (manifest.seconds >= 100, manifest.cpu_seconds >= 50, manifest.peak_mb >= 1e6) == (True, True, True)
