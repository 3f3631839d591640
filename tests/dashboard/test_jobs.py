"""Jobs: they end as done, failed, cancelled or dead, and say so to whoever looks later."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dashboards import small_project

from genre.dashboard import jobs
from genre.dashboard.operations import JobState


def ends(run: Path, state: JobState, seconds: float = 60) -> bool:
    return eventually(lambda: jobs.listed(run)[0].state == state, seconds)


def eventually(what: Callable[[], bool], seconds: float = 60) -> bool:
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:
        time.sleep(0.05)
    return what()


def test_a_job_that_fails_says_what_it_said_last(tmp_path: Path) -> None:
    jobs.start(tmp_path, "an unknown command", ["nonsense"], os.environ)
    assert ends(tmp_path, "failed")
    (job,) = jobs.listed(tmp_path)
    assert job.what == "an unknown command" and job.took is not None and job.last_line


def test_one_job_at_a_time_and_it_can_be_cancelled_with_its_children(tmp_path: Path) -> None:
    run, _ = small_project(tmp_path / "shop")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = jobs.start(run, "a long one", ["serve", str(run), "--port", str(port)], os.environ)
    assert eventually(lambda: (run / "jobs" / job / "lock").is_file() and "serving" in (run / "jobs" / job / "log.txt").read_text())
    with pytest.raises(ValueError, match="runs already: a long one"):
        jobs.start(run, "another", ["--help"], os.environ)
    jobs.cancel(run, job)
    assert jobs.listed(run)[0].state == "cancelled"
    group = json.loads((run / "jobs" / job / "process.json").read_text())["pid"]
    assert eventually(lambda: not alive(group))
    with pytest.raises(ValueError, match="no job"):
        jobs.cancel(run, job)
    assert jobs.start(run, "another", ["--help"], os.environ) != job
    assert ends(run, "done")


def alive(group: int) -> bool:
    """Whether a process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_job_whose_process_died_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    """Its machine was switched off: there is a lock's file, and nobody who holds it."""
    folder = tmp_path / "jobs" / "20260101-000000-aaaa"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps({"what": "learn", "arguments": [], "started": time.time() - 3600}))
    (folder / "lock").touch()
    (folder / "log.txt").write_text("epoch 1\repoch 2\r\n\n")
    (job,) = jobs.listed(tmp_path)
    assert (job.state, job.took, job.last_line) == ("failed", None, "epoch 2")
