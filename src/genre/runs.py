"""A run is a folder of stages, each complete or absent: written beside its place, manifest last, then one rename."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from genre.writing import whole

log = logging.getLogger(__name__)

VERSION = importlib.metadata.version("genre-rec")
RECORDS = "evaluate/"
"""Stages that tell what was, and stay true when their inputs are made anew: rankers were evaluated, and then trained on everything."""


@dataclass(frozen=True)
class Manifest:
    """What a stage folder says of itself.

    Attributes:
        fingerprint: hash of the stage's settings, its inputs' fingerprints and the package version.
        inputs: the fingerprints it was made from, by stage or file name.
        settings: the config section, resolved.
        seconds: wall-clock time, all attempts together; `cpu_seconds` of all threads.
        peak_mb: the largest resident memory of the process while the stage ran.
        rise_mb: how far that is above what it held when the stage began, with all that earlier stages loaded; None in older runs.
    """

    stage: str
    fingerprint: str
    inputs: dict[str, str]
    settings: Any
    seconds: float
    cpu_seconds: float
    peak_mb: float
    versions: dict[str, str] = field(default_factory=dict)
    finished: str = ""
    rise_mb: float | None = None


class Run:
    """The folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, stage: str) -> Path:
        """The folder of a finished stage, whose inputs are still what it was made from.

        Raises:
            FileNotFoundError: it has not run.
            RuntimeError: an input was made anew since, as a run leaves it that was stopped halfway.
        """
        self._check_inputs(stage)
        return self.folder / stage

    def manifest(self, stage: str) -> Manifest:
        """What a finished stage says of itself.

        Raises:
            FileNotFoundError: it has not run.
            ValueError: what it says cannot be read.
        """
        file = self.folder / stage / "manifest.json"
        if not file.is_file():
            done = ", ".join(self.stages()) or "none"
            raise FileNotFoundError(f"{self.folder}: stage {stage!r} has not run (finished: {done}). Run it with: genre run")
        try:
            return Manifest(**json.loads(file.read_text()))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{file} is damaged ({error}); delete {file.parent} and do the stage again with: genre run") from error

    def _check_inputs(self, stage: str) -> None:
        made_from = self.manifest(stage).inputs
        if stage.startswith(RECORDS):
            return
        for source, fingerprint in made_from.items():
            if not (self.folder / source / "manifest.json").is_file():  # a file of the user's
                continue
            if self.manifest(source).fingerprint != fingerprint:
                raise RuntimeError(
                    f"{self.folder}: {stage} was made from an earlier {source} than is there now; a run was stopped halfway. "
                    "Let it finish with: genre run"
                )
            self._check_inputs(source)

    def stages(self) -> list[str]:
        """Finished stages, in the order they finished."""
        found = [file for depth in ("*", "*/*") for file in self.folder.glob(f"{depth}/manifest.json") if "/." not in str(file)]
        found.sort(key=lambda file: file.stat().st_mtime)
        return [str(file.parent.relative_to(self.folder)) for file in found]

    def stage(
        self,
        name: str,
        settings: Any,
        inputs: Iterable[str],
        work: Callable[[Path], None],
        files: Iterable[Path] = (),
        force: bool = False,
    ) -> bool:
        """Do a stage unless it is fresh.

        Args:
            name: `prepare`, `rank/blend`; also the folder's name.
            settings: everything from the config that decides the outcome, JSON-like.
            inputs: stages read; files: source files read.
            work: writes into the folder it is given. After a kill it is called again with the same folder and may go on there.

        Returns:
            True if it ran, False if what is there was made from the very same settings and inputs.
        """
        sources = {stage: self.manifest(stage).fingerprint for stage in inputs} | {str(file): digest(file) for file in files}
        fingerprint = hashlib.sha256(_canonical([name, settings, sorted(sources.values()), VERSION])).hexdigest()[:16]
        target = self.folder / name
        if not force and (target / "manifest.json").is_file() and self.manifest(name).fingerprint == fingerprint:
            log.info("%s: fresh", name)
            return False
        partial = target.with_name(f".{target.name}.partial")
        if (partial / "fingerprint").is_file() and (partial / "fingerprint").read_text() == fingerprint and not force:
            log.info("%s: going on where it stopped", name)
        else:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            (partial / "fingerprint").write_text(fingerprint)
        with _Meter(partial / "meter.json") as meter:
            work(partial)
        manifest = Manifest(
            name, fingerprint, sources, settings, meter.seconds, meter.cpu_seconds, meter.peak_mb,
            {"genre": VERSION, "python": platform.python_version()}, time.strftime("%Y-%m-%dT%H:%M:%S%z"), meter.rise_mb,
        )  # fmt: skip
        for scratch in ("fingerprint", "meter.json"):
            (partial / scratch).unlink()
        (partial / "manifest.json").write_text(json.dumps(asdict(manifest), indent=2) + "\n")
        for file in partial.rglob("*.safetensors"):  # made for their owner alone; whoever may read the manifest may read them
            file.chmod((partial / "manifest.json").stat().st_mode)
        # The old folder steps aside first, since a rename cannot replace one that has files in it.
        old = target.with_name(f".{target.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        partial.rename(target)
        shutil.rmtree(old, ignore_errors=True)
        return True

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Only one process writes to a run at a time.

        Raises:
            RuntimeError: another one does.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RuntimeError(f"{self.folder} is being written by another process; wait for it or choose another name=") from error
            yield


def digest(file: Path) -> str:
    """sha256 of a file's bytes, or of every file below a folder."""
    found = hashlib.sha256()
    for path in sorted(file.rglob("*")) if file.is_dir() else [file]:
        if path.is_file():
            found.update(str(path.relative_to(file)).encode())
            with path.open("rb") as handle:
                found.update(hashlib.file_digest(handle, "sha256").digest())
    return found.hexdigest()[:16]


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()


class _Meter:
    """Counts seconds and memory of a stage, over all its attempts: what was spent before a kill is kept in a file."""

    def __init__(self, file: Path, every: float = 0.2) -> None:
        self.file = file
        self.every = every
        self.seconds = self.cpu_seconds = self.peak_mb = self.rise_mb = 0.0

    def __enter__(self) -> _Meter:
        before = json.loads(self.file.read_text()) if self.file.is_file() else {}
        self._before = (before.get("seconds", 0.0), before.get("cpu_seconds", 0.0))
        self.peak_mb, self.rise_mb = before.get("peak_mb", 0.0), before.get("rise_mb", 0.0)
        self._exact = forget_peak()
        self._held = resident_mb()
        self._start = (time.perf_counter(), time.process_time())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        beats = 0
        while not self._stop.wait(self.every):
            self._read()
            beats += 1
            if beats % 10 == 0:
                with whole(self.file) as partial:
                    partial.write_text(self._spent())

    def _read(self) -> None:
        self.seconds = round(self._before[0] + time.perf_counter() - self._start[0], 3)
        self.cpu_seconds = round(self._before[1] + time.process_time() - self._start[1], 3)
        now = max(resident_mb(), peak_mb() if self._exact else 0.0)
        self.peak_mb = round(max(self.peak_mb, now), 1)
        self.rise_mb = round(max(self.rise_mb, now - self._held), 1)

    def _spent(self) -> str:
        return json.dumps({name: getattr(self, name) for name in ("seconds", "cpu_seconds", "peak_mb", "rise_mb")})

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._read()
        self.file.write_text(self._spent())


def forget_peak() -> bool:
    """Let the kernel measure the peak of this process anew; False where it cannot, and only a look now and then tells it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_mb() -> float:
    """The largest resident memory of this process since `forget_peak`, in MB; 0 where the kernel does not say."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:")), 0.0)


def resident_mb() -> float:
    """Resident memory of this process, in MB."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:  # no /proc (macOS): the peak since the process began is the closest there is
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
