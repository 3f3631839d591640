"""Items and users as the API was told of them, and the log of changes that every server follows."""

from __future__ import annotations

import time as clock
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from genre.serving.contract import ItemIn, UserIn
from genre.serving.store.inserting import upsert
from genre.serving.store.schema import catalogue, items, users


class Change(NamedTuple):
    """One line of the log: an item as it is since then, or None where it was deleted."""

    seq: int
    item_id: str
    item: ItemIn | None


def put_items(connection: sa.Connection, new: Sequence[ItemIn], change: str = "upsert") -> None:
    """Add items or replace them whole."""
    now = clock.time()
    rows = [{"item_id": item.item_id, "changed": now, "data": item.model_dump(mode="json", exclude={"item_id"})} for item in new]
    upsert(connection, items, "item_id", rows)
    if rows:
        log = [{"time": now, "item_id": row["item_id"], "change": change, "data": row["data"]} for row in rows]
        connection.execute(catalogue.insert(), log)


def delete_items(connection: sa.Connection, item_ids: Sequence[str]) -> None:
    """Delete items, known here or only to the bundle."""
    now = clock.time()
    upsert(connection, items, "item_id", [{"item_id": item_id, "changed": now, "data": None} for item_id in item_ids])
    if item_ids:
        log = [{"time": now, "item_id": item_id, "change": "delete", "data": None} for item_id in item_ids]
        connection.execute(catalogue.insert(), log)


def get_item(connection: sa.Connection, item_id: str) -> ItemIn | None:
    """An item, if the API was told of it and it was not deleted."""
    data = connection.execute(sa.select(items.c.data).where(items.c.item_id == item_id)).scalar()
    return None if data is None else ItemIn.model_validate({"item_id": item_id, **data})


def is_deleted(connection: sa.Connection, item_id: str) -> bool:
    """Whether it was deleted, and not put back since."""
    return connection.execute(sa.select(items.c.item_id).where(items.c.item_id == item_id, items.c.data.is_(None))).scalar() is not None


def last_change(connection: sa.Connection) -> int:
    """The seq of the newest change; 0 if there was none."""
    return connection.execute(sa.select(sa.func.max(catalogue.c.seq))).scalar() or 0


def changes_since(connection: sa.Connection, seq: int, limit: int = 1000) -> list[Change]:
    """The changes after a seq, oldest first."""
    chosen = sa.select(catalogue.c.seq, catalogue.c.item_id, catalogue.c.data).where(catalogue.c.seq > seq)
    return [
        Change(row.seq, row.item_id, None if row.data is None else ItemIn.model_validate({"item_id": row.item_id, **row.data}))
        for row in connection.execute(chosen.order_by(catalogue.c.seq).limit(limit))
    ]


def all_items(connection: sa.Connection, batch: int = 1000) -> Iterator[Change]:
    """Every item that the API was told of, as it is now, deleted ones as None; `seq` is 0."""
    after = ""
    while True:
        chosen = sa.select(items.c.item_id, items.c.data).where(items.c.item_id > after).order_by(items.c.item_id).limit(batch)
        rows = connection.execute(chosen).all()
        for row in rows:
            yield Change(0, row.item_id, None if row.data is None else ItemIn.model_validate({"item_id": row.item_id, **row.data}))
        if len(rows) < batch:
            return
        after = rows[-1].item_id


def put_users(connection: sa.Connection, new: Sequence[UserIn]) -> None:
    """Add users or replace what is known of them."""
    now = clock.time()
    rows = [{"user_id": user.user_id, "changed": now, "data": user.model_dump(mode="json", exclude={"user_id"})} for user in new]
    upsert(connection, users, "user_id", rows)


def get_user(connection: sa.Connection, user_id: str) -> UserIn | None:
    """What the API was told of a user."""
    data = connection.execute(sa.select(users.c.data).where(users.c.user_id == user_id)).scalar()
    return None if data is None else UserIn.model_validate({"user_id": user_id, **data})


def delete_user(connection: sa.Connection, user_id: str) -> bool:
    """Forget attributes (not events: that is `genre forget`); False if there were none."""
    return connection.execute(users.delete().where(users.c.user_id == user_id)).rowcount > 0
