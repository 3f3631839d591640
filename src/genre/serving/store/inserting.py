"""Inserting what is not there yet, in either database."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

Row = dict[str, Any]


def insert_new(connection: sa.Connection, table: sa.Table, key: str | tuple[str, ...], rows: Sequence[Row]) -> int:
    """Insert the rows whose key is not there yet, and count them; of rows with the same key the first is kept."""
    if not rows:
        return 0
    columns = (key,) if isinstance(key, str) else key
    return connection.execute(_insert(table, columns, connection.dialect.name, False), list(rows)).rowcount


def upsert(connection: sa.Connection, table: sa.Table, key: str, rows: Sequence[Row]) -> None:
    """Insert the rows, or replace those with the same key; of rows with the same key the last is kept."""
    if rows:
        connection.execute(_insert(table, (key,), connection.dialect.name, True), list(rows))


@cache
def _insert(table: sa.Table, key: tuple[str, ...], dialect: str, replace: bool) -> sa.Insert:
    insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    if not replace:
        return insert.on_conflict_do_nothing(index_elements=list(key)).execution_options(preserve_rowcount=True)
    columns = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in key}
    return insert.on_conflict_do_update(index_elements=list(key), set_=columns)
