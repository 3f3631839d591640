"""Which column of a stranger's files is the user, the item, the time: by its name, its cells, and which ids meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from genre.data.columns import Column, Sample, simple
from genre.data.readers.rejection import Rejections
from genre.data.readers.scanning import require, scan
from genre.data.readers.values import ids

ROLES = ("user", "item", "time", "event", "value", "session", "order", "item_id", "user_id")
NONE = "none"
"""As an override: there is no such column."""

NAMES: dict[str, tuple[str, ...]] = {
    "user": (
        "user_id", "userid", "user", "uid", "customer_id", "customerid", "customer", "visitor_id", "visitorid", "reviewer_id", "client_id",
        "member_id", "account_id", "person_id", "household_id", "household_key", "subscriber_id", "reader_id", "shopper_id",
    ),
    "item": (
        "item_id", "itemid", "item", "iid", "product_id", "productid", "parent_asin", "asin", "sku", "stock_code", "article_id", "news_id",
        "movie_id", "video_id", "book_id", "track_id", "song_id", "artist_id", "isbn", "recipe_id", "game_id", "listing_id", "offer_id",
        "content_id", "business_id", "place_id", "location_id", "goods_id", "product", "article", "movie", "book",
    ),
    "time": (
        "timestamp", "time", "unix_timestamp", "unix_review_time", "datetime", "event_time", "created_at", "ts", "date", "invoice_date",
        "review_time", "purchase_date", "order_date", "visited_at", "clicked_at",
    ),
    "event": (
        "event", "event_type", "action", "behavior", "behaviour", "behavior_type", "interaction_type", "action_type", "activity", "verb",
        "kind", "type",
    ),
    "value": ("rating", "score", "stars", "star_rating", "overall", "value", "grade", "label", "clicked", "click", "is_click"),
    "session": (
        "session_id", "sessionid", "session", "user_session", "visit_id", "basket_id", "invoice_no", "invoice", "invoice_id", "order_id",
        "cart_id", "transaction_id", "trip_id",
    ),
}  # fmt: skip
"""Names in one spelling, the likeliest first."""
ORDERS = ("order", "event_order", "sequence", "seq", "step")
"""Names of a column of numbers that stands for a clock."""
WORDS: dict[str, set[str]] = {
    "user": {"user", "customer", "visitor", "reviewer", "member", "client", "person", "account", "household", "subscriber", "shopper"},
    "item": {
        "item", "product", "sku", "asin", "movie", "film", "article", "news", "video", "book", "track", "song", "artist", "listing",
        "recipe", "game", "offer", "goods",
    },
    "time": {"timestamp", "time", "date", "datetime", "at"},
    "event": {"event", "action", "behavior", "behaviour"},
    "value": {"rating", "stars"},
    "session": {"session", "visit", "basket", "invoice"},
}  # fmt: skip
"""Words that a longer name of the role has in it."""
OTHER = {
    "name", "title", "category", "categories", "type", "price", "brand", "feature", "description", "age", "gender", "count", "city", "url",
    "image", "text",
}  # fmt: skip
"""Words that make "product_category" no id of a product."""


GAPS = 0.1
"""Share of rows that may lack a time, or the number that stands for one."""


class RoleError(ValueError):
    """A role that cannot be guessed; the message lists the columns and says how to name one."""


@dataclass(frozen=True)
class Roles:
    """Which column is what; `items_key` and `users_key` are of the other two files.

    Attributes:
        events: role to column of the events file.
        order: without a clock, the column of numbers that orders a user's events.
        item_match: share of the items in the sampled events that the catalogue has; NaN without a catalogue.
    """

    events: dict[str, str]
    items_key: str | None
    users_key: str | None
    order: str | None = None
    item_match: float = float("nan")
    user_match: float = float("nan")


def guess(events: Sample, items: Sample | None, users: Sample | None, overrides: Mapping[str, str]) -> Roles:
    """Roles of the columns; `overrides` (role: column, or role: none) are believed.

    Raises:
        RoleError: user or item cannot be told, or an override names an unknown role.
        ReadError: an override names a column that is not there.
    """
    if sum(name.strip().lstrip("-").replace(".", "", 1).isdigit() for name in events.columns) > len(events.columns) / 2:
        raise RoleError(f"{events.path}: the first line looks like data, not like names ({_listed(events)}); add a line of column names")
    _check(overrides, events, items, users)
    item_key, user_key, item_match, user_match = overrides.get("item_id"), overrides.get("user_id"), float("nan"), float("nan")
    found = _in_events(events, items, users, overrides)
    if items is not None:
        item_key, item_match = _key(events.columns[found["item"]], items, item_key, "item", "item_id")
    if users is not None:
        user_key, user_match = _key(events.columns[found["user"]], users, user_key, "user", "user_id")
    order = overrides.get("order", None if "time" in found else _order(events, found))
    roles = {role: found[role] for role in NAMES if role in found}
    return Roles(roles, item_key, user_key, None if order == NONE else order, item_match, user_match)


def _in_events(events: Sample, items: Sample | None, users: Sample | None, overrides: Mapping[str, str]) -> dict[str, str]:
    """Role to column of the events file. The item first: the catalogue tells it best. Then what names tell, then what remains."""
    found = {role: column for role, column in overrides.items() if role in NAMES and column != NONE}
    barred = {role for role, column in overrides.items() if column == NONE}
    if "time" not in found and overrides.get("order", NONE) != NONE:
        barred.add("time")
    if "item" not in found:
        found["item"] = _item(events, items, overrides.get("item_id"), found.values())
    for role, fits in FITS.items():
        named = None if role in found or role in barred else _by_name(events, role, fits, found.values())
        if named is not None:
            found[role] = named
    if "user" not in found:
        found["user"] = _user(events, users, overrides.get("user_id"), found)
    clocks = [name for name, column in events.columns.items() if name not in found.values() and _looks_like_time(column)]
    if len(clocks) == 1 and "time" not in found and "time" not in barred:
        found["time"] = clocks[0]
    return found


def _order(events: Sample, found: Mapping[str, str]) -> str | None:
    free = {name: column for name, column in events.columns.items() if name not in found.values() and column.distinct > 1}
    fit = [name for name, column in free.items() if column.whole and column.empty <= GAPS]
    return next((name for rank in ORDERS for name in fit if simple(name) == rank), None)


def is_id(column: Column) -> bool:
    """Short, of several values, and no measurement."""
    return column.distinct > 1 and column.chars <= 64 and column.words < 1.5 and (column.numeric is None or column.whole)


def is_time(column: Column) -> bool:
    """Nearly all cells are moments between 1985 and 2100, and few are blank: rows without a time are rejected where others have one."""
    return column.time_format is not None and column.empty <= GAPS


def is_event(column: Column) -> bool:
    """A few words."""
    return column.numeric is None and 1 <= column.distinct <= 50 and column.chars < 40


def is_value(column: Column) -> bool:
    """Numbers."""
    return column.numeric is not None


FITS: dict[str, Callable[[Column], bool]] = {"user": is_id, "time": is_time, "event": is_event, "value": is_value, "session": is_id}


def name_score(role: str, name: str) -> int:
    """How much a name speaks for a role: 0 not at all; the listed names most, in their order."""
    plain = simple(name)
    if plain in NAMES[role]:
        return 1000 - NAMES[role].index(plain)
    words = set(plain.split("_"))
    if role in ("user", "item", "session") and words & OTHER:
        return 0
    return 10 if words & WORDS[role] else 0


def overlap(some: Column, key: Column) -> float:
    """Share of the distinct ids of one column that the other has."""
    wanted = ids(some.cells).drop_nulls().unique()
    return float(wanted.is_in(ids(key.cells).drop_nulls().unique().implode()).mean() or 0.0) if len(wanted) else 0.0  # type: ignore[arg-type]


def _by_name(sample: Sample, role: str, fit: Callable[[Column], bool], taken: Iterable[str]) -> str | None:
    gone = set(taken)
    scores = {name: name_score(role, name) for name in sample.columns if name not in gone}
    named = [name for name in sorted(scores, key=lambda name: -scores[name]) if scores[name] and fit(sample.columns[name])]
    return named[0] if named else None


def _item(events: Sample, items: Sample | None, key: str | None, taken: Iterable[str]) -> str:
    gone = set(taken)
    ids_there = [name for name, column in events.columns.items() if name not in gone and is_id(column)]
    named = sorted((name for name in ids_there if name_score("item", name)), key=lambda name: -name_score("item", name))
    if items is None:
        if not named:
            raise _cannot_tell(events, "item")
        return named[0]
    keys = [items.columns[key]] if key else [column for column in items.columns.values() if column.named and is_id(column)]
    meets = {name: max((overlap(events.columns[name], column) for column in keys), default=0.0) for name in ids_there}
    if named:
        return max(named, key=lambda name: (meets[name] > 0.5, name_score("item", name)))
    ranked = sorted((name for name in meets if not name_score("user", name)), key=lambda name: -meets[name])
    clear = ranked and meets[ranked[0]] > 0.2 and (len(ranked) == 1 or meets[ranked[1]] < meets[ranked[0]] - 0.2)
    if not clear:
        raise _cannot_tell(events, "item")
    return ranked[0]


def _user(events: Sample, users: Sample | None, key: str | None, found: Mapping[str, str]) -> str:
    """The user when no name tells: who meets the users file, or the only id that is left."""
    known = {name for name in events.columns if any(name_score(role, name) for role in NAMES)}
    left = {
        name: column
        for name, column in events.columns.items()
        if name not in found.values() and name not in known and is_id(column) and not _looks_like_time(column)
    }
    if users is not None and left:
        keys = [users.columns[key]] if key else [column for column in users.columns.values() if column.named and is_id(column)]
        meets = {name: max((overlap(column, other) for other in keys), default=0.0) for name, column in left.items()}
        ranked = sorted(meets, key=lambda name: -meets[name])
        if meets[ranked[0]] > 0.2 and (len(ranked) == 1 or meets[ranked[1]] < meets[ranked[0]] - 0.2):
            return ranked[0]
    if len(left) != 1:
        raise _cannot_tell(events, "user")
    return next(iter(left))


def _key(column: Column, table: Sample, given: str | None, role: str, option: str) -> tuple[str, float]:
    """The column of the other file that holds the same ids, and the share of ids that it has."""
    if given is not None:
        return given, _met(column, table, given)
    # Ids that come twice speak against a key, but an export with a row too many still has one.
    meets = {
        name: overlap(column, other) * (1 if other.unique else 0.5)
        for name, other in table.columns.items()
        if other.named and other.chars <= 64
    }
    best = max(meets, key=lambda name: (round(meets[name], 1), simple(name) == simple(column.name), name_score(role, name)), default=None)
    if best is None or (meets[best] == 0 and not name_score(role, best)):
        raise RoleError(
            f"{table.path}: no column has the ids of {column.name!r} in the events (which look like {_few(column)}). "
            f"Its columns: {_listed(table)}. Name it with --role {option}=COLUMN"
        )
    return best, overlap(column, table.columns[best]) if table.whole else _met(column, table, best)


def _met(column: Column, table: Sample, key: str) -> float:
    """Share of the distinct ids of a column that the whole file has, of which the sample may hold a part only."""
    wanted = ids(column.cells).drop_nulls().unique()
    met = pl.repeat(False, len(wanted), eager=True)
    for _, frame in scan(table.path, Rejections(), [key]):
        met = met | wanted.is_in(ids(frame[key]).drop_nulls().unique().implode())
    return float(met.sum()) / max(len(wanted), 1)


def _looks_like_time(column: Column) -> bool:
    """By its cells alone: dates, or numbers that are all seconds (or milliseconds) between 1985 and 2100."""
    return is_time(column) and (column.kind == "time" or (column.whole and column.distinct > 1))


def _check(overrides: Mapping[str, str], events: Sample, items: Sample | None, users: Sample | None) -> None:
    for role, column in overrides.items():
        if role not in ROLES:
            raise RoleError(f"there is no role {role!r}; roles are {', '.join(ROLES)}")
        if column == NONE and role not in ("user", "item", "item_id", "user_id"):
            continue
        table = {"item_id": items, "user_id": users}.get(role, events)
        if table is None:
            raise RoleError(
                f"--role {role}={column}: there is no {'items' if role == 'item_id' else 'users'} file; add it, or leave this out"
            )
        require([column], list(table.columns), table.path)


def _cannot_tell(events: Sample, role: str) -> RoleError:
    return RoleError(
        f"{events.path}: cannot tell which column is the {role}. Its columns: {_listed(events)}. Name it with --role {role}=COLUMN"
    )


def _listed(table: Sample) -> str:
    return ", ".join(f"{name} ({column.kind}: {_few(column)})" for name, column in table.columns.items())


def _few(column: Column) -> str:
    cells: pl.Series = column.there.head(200).unique(maintain_order=True).head(2)
    return ", ".join(cell if len(cell) <= 24 else cell[:21] + "..." for cell in cells) or "nothing"
