"""Jobs: long work in processes of their own, which outlive the server and tell how they go in a folder each."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from genre.dashboard.operations import Job, JobState
from genre.writing import whole

FOLDER = "jobs"
"""In the run's folder."""
SHOWN = 20
SAID = 160
"""Characters of a log's last line."""
TAIL = 4000
"""Bytes of a log in which its last line is looked for."""


def start(run: Path, what: str, arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Begin a job: a command of `genre` in a process of its own.

    Raises:
        ValueError: another one runs; two that train would take each other's memory.
    """
    if running := [job.what for job in listed(run) if job.state == "running"]:
        raise ValueError(f"a job runs already: {running[0]}; wait for it, or cancel it")
    job_id = time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + f"-{os.urandom(2).hex()}"
    folder = run / FOLDER / job_id
    folder.mkdir(parents=True)
    _write(folder / "job.json", {"what": what, "arguments": list(arguments), "started": time.time()})
    with (folder / "log.txt").open("wb") as log:
        # A session of its own: it goes on when the server stops, and can be cancelled with all its children.
        process = subprocess.Popen(
            [sys.executable, "-m", "genre.dashboard.jobs", str(folder)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, env=dict(environment),
        )  # fmt: skip
    _write(folder / "process.json", {"pid": process.pid})
    threading.Thread(target=process.wait, name=f"genre-job-{job_id}", daemon=True).start()  # or it would stay a zombie
    return job_id


def cancel(run: Path, job_id: str) -> None:
    """End a job and all its children.

    Raises:
        ValueError: there is none, or it does not run.
    """
    folder = run / FOLDER / Path(job_id).name
    if not (folder / "job.json").is_file() or _state(folder, _read(folder / "end.json")) != "running":
        raise ValueError(f"no job {job_id} runs")
    _write(folder / "cancelled.json", {"time": time.time()})
    with contextlib.suppress(ProcessLookupError):
        os.killpg(_read(folder / "process.json")["pid"], signal.SIGTERM)


def listed(run: Path) -> list[Job]:
    """The latest jobs, newest first."""
    return [_job(file.parent) for file in sorted((run / FOLDER).glob("*/job.json"), reverse=True)[:SHOWN]]


def work(folder: Path) -> int:
    """The job itself: holds a lock while it runs, and says at last how it ended."""
    job = _read(folder / "job.json")
    with _locked(folder):
        code = subprocess.run([sys.executable, "-m", "genre.cli", *job["arguments"]], check=False).returncode
        _write(folder / "end.json", {"code": code, "time": time.time()})
    return code


def _job(folder: Path) -> Job:
    job, end = _read(folder / "job.json"), _read(folder / "end.json")
    state = _state(folder, end)
    took = (end.get("time") or time.time()) - job["started"] if state != "failed" or end else None
    last = _last_line(folder / "log.txt").replace(f"{folder.parents[1].resolve()}/", "")  # where the run is, everybody here knows
    return Job(folder.name, job["what"], state, job["started"], took, None, last[:SAID])


def _state(folder: Path, end: Mapping[str, Any]) -> JobState:
    if (folder / "cancelled.json").is_file():
        return "cancelled"
    if end:
        return "done" if end["code"] == 0 else "failed"
    # A lock, not a process number: numbers are used again, locks go with their process. The first moments are before the lock.
    young = time.time() - _read(folder / "job.json")["started"] < 10
    return "running" if _is_locked(folder) or young else "failed"


def _last_line(log: Path) -> str:
    if not log.is_file():
        return ""
    with log.open("rb") as handle:
        handle.seek(max(0, log.stat().st_size - TAIL))
        lines = handle.read().decode(errors="replace").replace("\r", "\n").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _is_locked(folder: Path) -> bool:
    if not (folder / "lock").is_file():
        return False
    with (folder / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text())) if file.is_file() else {}


def _write(file: Path, value: Mapping[str, Any]) -> None:
    with whole(file) as partial:
        partial.write_text(json.dumps(value))


if __name__ == "__main__":
    sys.exit(work(Path(sys.argv[1])))
