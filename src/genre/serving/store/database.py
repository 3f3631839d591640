"""A database: SQLite (WAL) or PostgreSQL by URL, opened, migrated, read from, and written to by one writer at a time."""

from __future__ import annotations

import contextlib
import functools
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.sql.compiler import SQLCompiler

MIGRATIONS = Path(__file__).parents[1] / "migrations"
WRITERS = 0x67656E72
"""The advisory lock that PostgreSQL's writers take turns by."""
SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # a commit is on the disk when it returns
    "wal_autocheckpoint=4000",  # pages, 16 MB: most are written to more than once before they are copied over
    "secure_delete=ON",  # what is erased is overwritten
    "cache_size=-16000",
    "foreign_keys=ON",
)


class Unavailable(RuntimeError):
    """The database cannot be reached, is full or is too busy; what was asked for was not done and may be asked again."""


class Database:
    """Connections to one project's tables.

    Args:
        url: `sqlite:///file` or `postgresql://user:password@host/name`; a bare path is a SQLite file.
        schema: the PostgreSQL schema that holds this project; projects in one database cannot see each other's.
    """

    def __init__(self, url: str, schema: str | None = None) -> None:
        self.url = _normalised(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if schema is not None and not SCHEMA.fullmatch(schema):
            raise ValueError(f"schema {schema!r}: lower-case letters, digits and _ only")
        self.schema = None if self.is_sqlite else schema
        self.engine = self._sqlite() if self.is_sqlite else self._postgres()

    def _sqlite(self) -> sa.Engine:
        if self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        # Python's own transaction handling is off (isolation_level None): it would begin late and deadlock two writers.
        engine = sa.create_engine(self.url, connect_args={"isolation_level": None, "timeout": 10, "check_same_thread": False}, pool_size=8)

        @sa.event.listens_for(engine, "connect")
        def connected(connection: sqlite3.Connection, _: Any) -> None:
            for pragma in PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")

        @sa.event.listens_for(engine, "begin")
        def begun(connection: sa.Connection) -> None:
            # A question needs no transaction: without BEGIN each one sees what is committed.
            if connection.get_execution_options().get("writes"):
                connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine

    def _postgres(self) -> sa.Engine:
        options = "-c statement_timeout=10000 -c lock_timeout=10000" + (f" -c search_path={self.schema}" if self.schema else "")
        engine = sa.create_engine(
            self.url, connect_args={"options": options, "connect_timeout": 3}, pool_size=8, pool_timeout=5, pool_pre_ping=True
        )

        @sa.event.listens_for(engine, "begin")
        def begun(connection: sa.Connection) -> None:
            if connection.get_execution_options().get("writes"):
                # As in SQLite, writers take turns: seq is then the order of commits, and group commit keeps the turns short.
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS}, hashtext(current_schema()))")

        return engine

    def migrate(self) -> None:
        """Bring the tables to this version's; several processes may do so at once.

        Raises:
            Unavailable: the database cannot be reached.
        """
        if self.schema:
            with _translated(), self.engine.begin() as connection:
                connection.execute(sa.schema.CreateSchema(self.schema, if_not_exists=True))
        config = alembic.config.Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        with self.write() as connection:
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection for questions, each of which sees what is committed.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with _translated(), self.engine.connect() as connection:
            yield connection if self.is_sqlite else connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that no other writer overlaps; durable when the block is left without an error.

        Raises:
            Unavailable: the database cannot be reached, is full or too busy; nothing was written.
        """
        with _translated(), self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()


def fetched(connection: sa.Connection, question: sa.Select[Any], values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
    """What a question about columns of plain types (text, numbers) finds, for those that are asked at every request.

    SQLite's driver is asked itself: what SQLAlchemy puts around an answer of 50 rows takes three times as long as the answer.
    """
    if connection.dialect.name != "sqlite":
        return connection.execute(question, values).all()
    statement, names, fixed = _compiled(question, connection.dialect)
    known = {**fixed, **values}
    driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
    return driver.execute(statement, [known[name] for name in names]).fetchall()


@functools.cache
def _compiled(question: sa.Select[Any], dialect: sa.Dialect) -> tuple[str, list[str], dict[str, Any]]:
    """A statement, the names of its parameters in order, and the values of those that never change."""
    compiled = question.compile(dialect=dialect)
    assert isinstance(compiled, SQLCompiler)
    return str(compiled), list(compiled.positiontup or ()), dict(compiled.params)


def _normalised(url: str) -> sa.URL:
    if "://" not in url:
        return sa.URL.create("sqlite", database=url)
    found = sa.make_url(url)
    if found.get_backend_name() in ("postgresql", "postgres"):
        return found.set(drivername="postgresql+psycopg")
    if found.get_backend_name() == "sqlite":
        return found
    raise ValueError(f"a store is sqlite:///file or postgresql://user@host/name, not {found.get_backend_name()}://")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, sa.exc.TimeoutError, sqlite3.OperationalError) as error:
        raise Unavailable(f"the store is not available: {_reason(error)}") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Unavailable(f"the store is not available: {_reason(error)}") from error
        raise


def _reason(error: Exception) -> str:
    # Of the driver alone: SQLAlchemy's own message would quote the statement and its parameters, which may be a person's.
    told = error if isinstance(error, sqlite3.Error) else getattr(error, "orig", None)
    return str(told or type(error).__name__).strip().split("\n")[0]
