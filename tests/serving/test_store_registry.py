"""The registry and the keys: one transaction a change, a way back, and nothing secret on the disk."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from genre.serving.limits import Bucket, TooDeep, check_depth
from genre.serving.store import audit, keys, registry
from genre.serving.store.database import Database
from genre.serving.store.schema import keys as key_table


def register(database: Database, *names: str) -> None:
    with database.write() as connection:
        for name in names:
            registry.register(connection, name, f"models/{name}", {"made": name}, "test")


def test_a_rollback_goes_back_the_way_the_promotes_came(database: Database) -> None:
    register(database, "1", "2", "3")
    with database.write() as connection:
        for name in "123":
            registry.promote(connection, name, "ann")
        assert registry.rollback(connection, "bob").current == "2"
        assert registry.promote(connection, "3", "ann").below == ("2", "1")
        assert [registry.rollback(connection, "bob").current for _ in range(2)] == ["2", "1"]
        with pytest.raises(registry.RegistryError, match="no earlier model"):
            registry.rollback(connection, "bob")
        deeds = [(line["actor"], line["action"], line["target"]) for line in audit.newest(connection, 3)]
    assert deeds == [("bob", "rollback", "1"), ("bob", "rollback", "2"), ("ann", "promote", "3")]


def test_a_model_nobody_registered_is_not_promoted_and_the_message_lists_those_there_are(database: Database) -> None:
    register(database, "1")
    with database.write() as connection, pytest.raises(registry.RegistryError, match="'2'; registered: 1"):
        registry.promote(connection, "2", "ann")
    with database.read() as connection:
        assert registry.now(connection) == registry.Roles(None, None, (), 0)


def test_every_change_of_who_serves_is_noticed_by_its_revision(database: Database) -> None:
    register(database, "1", "2")
    with database.write() as connection:
        seen = [registry.promote(connection, "1", "a"), registry.shadow(connection, "2", "a"), registry.shadow(connection, None, "a")]
        seen.append(registry.promote(connection, "1", "a"))
    assert [roles.revision for roles in seen] == [1, 2, 3, 3], "promoting what serves already changes nothing"


def test_promotes_at_the_same_time_leave_one_stack(database: Database) -> None:
    names = [f"{at}" for at in range(8)]
    register(database, *names)

    def promote(name: str) -> None:
        with database.write() as connection:
            registry.promote(connection, name, "a")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(promote, names))
    with database.read() as connection:
        roles = registry.now(connection)
    assert roles.revision == 8
    assert {roles.current, *roles.below} == set(names)


def test_a_keys_secret_is_nowhere_in_the_store(database: Database) -> None:
    with database.write() as connection:
        key_id, token = keys.create(connection, "shop", ["read"], 5, "ann")
        rows = str(connection.execute(sa.select(key_table)).all()) + str(audit.newest(connection))
    parsed = keys.parse(token)
    assert parsed is not None
    assert parsed[0] == key_id
    assert parsed[1] not in rows
    with database.read() as connection:
        key = keys.valid(connection)[key_id]
    assert key.matches(parsed[1])
    assert not key.matches(parsed[1][:-1] + ("A" if parsed[1][-1] != "A" else "B"))


def test_a_revoked_key_is_good_for_nothing(database: Database) -> None:
    with database.write() as connection:
        key_id, _ = keys.create(connection, "shop", ["admin"], 5, "ann")
        assert keys.revoke(connection, key_id, "ann")
        assert not keys.revoke(connection, key_id, "ann"), "twice is once"
        assert keys.valid(connection) == {}


def test_admin_is_good_for_all_and_read_for_reading() -> None:
    assert all(keys.Key("1", "", "", ("admin",), 1).allows(scope) for scope in keys.SCOPES)
    assert [scope for scope in keys.SCOPES if keys.Key("1", "", "", ("read",), 1).allows(scope)] == ["read"]


@pytest.mark.parametrize(("scopes", "rate"), [(["root"], 1), ([], 1), (["read"], 0), (["read"], float("nan"))])
def test_a_key_needs_known_scopes_and_a_rate(database: Database, scopes: list[str], rate: float) -> None:
    with database.write() as connection, pytest.raises(ValueError, match=r"scopes are|requests a second"):
        keys.create(connection, "x", scopes, rate, "ann")


@given(st.text())
def test_what_is_no_token_is_none(text: str) -> None:
    assert keys.parse(text) is None or text.startswith("genre-")


def test_a_bucket_gives_its_rate_after_the_burst() -> None:
    clock = [0.0]
    bucket = Bucket(2, now=lambda: clock[0])
    assert [bucket.take() for _ in range(5)] == [0, 0, 0, 0, 0.5]
    clock[0] = 0.5
    assert bucket.take() == 0
    assert bucket.take() == 0.5


def test_depth_counts_lists_and_objects() -> None:
    check_depth({"a": [1, 2, {"b": 3}]}, 3)
    with pytest.raises(TooDeep, match="deeper than 2"):
        check_depth({"a": [1, 2, {"b": 3}]}, 2)
    check_depth("text", 2)
