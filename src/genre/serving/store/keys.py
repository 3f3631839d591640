"""API keys: shown once, stored as a hash, good for some scopes and so many requests a second."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time as clock
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from genre.serving.store.audit import record
from genre.serving.store.schema import keys

Scope = Literal["ingest", "read", "admin"]
SCOPES: tuple[Scope, ...] = ("ingest", "read", "admin")
TOKEN = re.compile(r"genre-([0-9a-f]{12})-([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class Key:
    """What a key may do."""

    key_id: str
    name: str
    hash: str
    scopes: tuple[Scope, ...]
    per_second: float

    def allows(self, scope: Scope) -> bool:
        """Whether it is good for a scope; `admin` is good for all."""
        return scope in self.scopes or "admin" in self.scopes

    def matches(self, secret: str) -> bool:
        """Whether the secret is this key's, in time that does not depend on where they differ."""
        return hmac.compare_digest(_hash(secret), self.hash)


def create(
    connection: sa.Connection, name: str, scopes: Iterable[str], per_second: float, actor: str, request_id: str | None = None
) -> tuple[str, str]:
    """A new key: its id, and the token, which nobody can ever be told again.

    Raises:
        ValueError: an unknown scope, or none.
    """
    wanted = sorted(set(scopes))
    if not wanted or not set(wanted) <= set(SCOPES):
        raise ValueError(f"scopes are some of {', '.join(SCOPES)}, not {', '.join(wanted) or 'none'}")
    if not 0 < per_second <= 1e6:
        raise ValueError(f"a key is good for more than 0 requests a second, not {per_second}")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    connection.execute(
        keys.insert(),
        {
            "key_id": key_id, "name": name, "hash": _hash(secret), "scopes": wanted, "per_second": per_second, "created": clock.time(),
            "revoked": None,
        },
    )  # fmt: skip
    record(connection, actor, "create key", key_id, request_id, name=name, scopes=wanted, per_second=per_second)
    return key_id, f"genre-{key_id}-{secret}"


def revoke(connection: sa.Connection, key_id: str, actor: str, request_id: str | None = None) -> bool:
    """From now on the key is good for nothing; False if there is no such key, or it is revoked already."""
    done = connection.execute(keys.update().where(keys.c.key_id == key_id, keys.c.revoked.is_(None)).values(revoked=clock.time())).rowcount
    if done:
        record(connection, actor, "revoke key", key_id, request_id)
    return done > 0


def listed(connection: sa.Connection) -> list[dict[str, Any]]:
    """Every key without its hash, newest first."""
    shown = [column for column in keys.columns if column.name != "hash"]
    return [dict(row) for row in connection.execute(sa.select(*shown).order_by(keys.c.created.desc())).mappings()]


def valid(connection: sa.Connection) -> dict[str, Key]:
    """The keys that are good, by id."""
    rows = connection.execute(sa.select(keys).where(keys.c.revoked.is_(None))).mappings()
    return {row["key_id"]: Key(row["key_id"], row["name"], row["hash"], tuple(row["scopes"]), row["per_second"]) for row in rows}


def any_ever(connection: sa.Connection) -> bool:
    """Whether there ever was a key, good or revoked."""
    return connection.execute(sa.select(keys.c.key_id).limit(1)).first() is not None


def parse(token: str) -> tuple[str, str] | None:
    """A token's id and secret; None if it is no token."""
    found = TOKEN.fullmatch(token)
    return (found[1], found[2]) if found else None


def _hash(secret: str) -> str:
    # One round is enough: the secret is 256 random bits, not a password that could be guessed.
    return hashlib.sha256(secret.encode()).hexdigest()
