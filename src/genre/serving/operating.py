"""What an operator does to a run's store from the command line: promote, roll back, keys, copies."""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from genre.bundle import Bundle
from genre.policies.learner import FOLDER
from genre.serving import backup, learning
from genre.serving.engine import BundleEngine
from genre.serving.settings import STORE, open_store
from genre.serving.shelf import bundles, register_all
from genre.serving.store import keys, registry
from genre.serving.store.audit import record


@contextlib.contextmanager
def changing(run: Path, database: str | None) -> Iterator[sa.Connection]:
    """One transaction on a run's store, its tables brought up to date first."""
    with contextlib.closing(open_store(run, database)) as store:
        store.migrate()
        with store.write() as connection:
            yield connection


def who() -> str:
    """The operator, for the audit log."""
    try:
        return f"command line, {getpass.getuser()}"
    except (OSError, KeyError):  # a container's user may have no name
        return "command line"


def promote(run: Path, model: str | None = None, *, shadow: bool = False, database: str | None = None) -> tuple[str, registry.Roles]:
    """Let a bundle serve, or be the shadow; None takes the newest. Says which it was, and who serves now.

    Raises:
        BundleError: its files are damaged.
        RegistryError: there is no such bundle.
    """
    there = bundles(run)
    if not there:
        raise registry.RegistryError(f"{run} has no bundle; make one with: genre publish {run}")
    chosen = model or there[-1]
    with changing(run, database) as connection:
        register_all(connection, run, who())
        path = registry.get(connection, chosen)["path"]
    # Between two transactions: hashing gigabytes must not keep writers waiting.
    Bundle.open(run / path)
    with changing(run, database) as connection:
        change = registry.shadow if shadow else registry.promote
        return chosen, change(connection, chosen, who())


def rollback(run: Path, *, database: str | None = None) -> registry.Roles:
    """Let the model before serve again.

    Raises:
        RegistryError: there is none.
    """
    with changing(run, database) as connection:
        return registry.rollback(connection, who())


def learnt_so_far(run: Path, folder: Path, *, database: str | None = None) -> Path | None:
    """Write what the policies of the model that serves have learnt, as a bundle has it; None if none learns, or nothing was served yet."""
    if database is None and not (run / STORE).is_file():
        return None
    with contextlib.closing(open_store(run, database)) as store:
        store.migrate()
        with store.read() as connection:
            serving = registry.now(connection).current
            bundle = None if serving is None else run / registry.get(connection, serving)["path"]
            if serving is None or bundle is None or not (bundle / FOLDER).is_dir():
                return None
            for head in BundleEngine.load(bundle).heads.values():
                learning.begin(head, serving, connection)
                learning.catch_up(head, connection, float("inf"))
                head.save(folder / head.surface)
    return folder


def create_key(run: Path, name: str, scopes: Sequence[str], per_second: float, *, database: str | None = None) -> tuple[str, str]:
    """A new key's id and token."""
    with changing(run, database) as connection:
        return keys.create(connection, name, scopes, per_second, who())


def list_keys(run: Path, *, database: str | None = None) -> list[dict[str, Any]]:
    """Every key without its hash."""
    with changing(run, database) as connection:
        return keys.listed(connection)


def revoke_key(run: Path, key_id: str, *, database: str | None = None) -> None:
    """A key is good for nothing from now on.

    Raises:
        ValueError: there is no such key, or it is revoked already.
    """
    with changing(run, database) as connection:
        if not keys.revoke(connection, key_id, who()):
            raise ValueError(f"there is no key {key_id!r} that is good; see: genre keys list {run}")


def back_up_run(run: Path) -> backup.Backup:
    """A verified copy of the store in the run's `backups`."""
    with contextlib.closing(open_store(run)) as store:
        store.migrate()
        made = backup.back_up(store, run / "backups")
        with store.write() as connection:
            record(connection, who(), "backup", made.file.name)
    return made


def restore_run(run: Path, file: Path) -> None:
    """A copy in the place of the store.

    Raises:
        ValueError: the copy is damaged, or a server has the store open.
        FileNotFoundError: there is no such copy.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such copy; they are in {run / 'backups'}")
    backup.restore(file, run / STORE)
    with changing(run, None) as connection:
        record(connection, who(), "restore", file.name)
