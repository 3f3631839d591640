"""Backup: a copy of a SQLite store while it is written to, verified before it is believed; and the way back."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from genre.serving.store.database import Database
from genre.writing import whole


@dataclass(frozen=True)
class Backup:
    """A copy."""

    file: Path
    bytes: int
    sha256: str


def back_up(database: Database, folder: Path) -> Backup:
    """Copy a store as it is at one moment into a new file of a folder; readers and writers go on.

    Raises:
        ValueError: it is not SQLite, whose server has tools of its own for this.
    """
    if not database.is_sqlite or database.url.database is None:
        raise ValueError("a PostgreSQL store is copied with pg_dump, or by its host; `genre backup` copies SQLite stores")
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".store.{os.getpid()}.partial"
    partial.unlink(missing_ok=True)
    # One step: copied in several, a busy store would make it begin again with every write.
    with closing(sqlite3.connect(database.url.database, timeout=10)) as source, closing(sqlite3.connect(partial)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
    verify(partial)
    with partial.open("rb+") as handle:
        os.fsync(handle.fileno())
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    file = folder / f"store-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{digest[:8]}.db"
    partial.rename(file)
    return Backup(file, file.stat().st_size, digest)


def verify(file: Path) -> None:
    """A copy is whole, and a store.

    Raises:
        ValueError: it is damaged or something else.
    """
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            found = connection.execute("PRAGMA integrity_check").fetchone()[0]
            connection.execute("SELECT count(*) FROM events").fetchone()
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{file} is not a copy of a store: {error}") from error
    if found != "ok":
        raise ValueError(f"{file} is damaged: {found}")


def restore(file: Path, target: Path) -> None:
    """Put a copy in the place of a store that no server has open; what was there is kept beside it.

    Raises:
        ValueError: the copy is damaged, or a server has the store open.
    """
    verify(file)
    if target.exists():
        with closing(sqlite3.connect(target, timeout=0.2, isolation_level=None)) as connection:
            try:
                connection.execute("PRAGMA locking_mode=EXCLUSIVE")
                connection.execute("BEGIN EXCLUSIVE")
                connection.execute("ROLLBACK")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.OperationalError as error:
                raise ValueError(f"{target} is open in a server; stop it first") from error
        target.rename(target.with_name(f"{target.name}.before-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"))
    for left in (f"{target.name}-wal", f"{target.name}-shm"):
        target.with_name(left).unlink(missing_ok=True)
    with whole(target, durable=True) as partial:
        shutil.copyfile(file, partial)
