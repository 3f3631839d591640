"""What `genre init` measures in the samples before it chooses: sizes, clock, sessions, repeats, texts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from genre.data.columns import DAY_FIRST, MONTH_FIRST, Column, Sample, simple
from genre.data.readers.values import ids, unix_seconds
from genre.data.roles import Roles

DAY = 86_400.0
TITLES = ("title", "name", "headline", "product_name", "item_name", "product_title", "item_title", "movie_title", "subject", "product")
LABELS = (
    "categories", "category", "genres", "genre", "tags", "subcategory", "brand", "author", "artist", "department", "topic", "keywords",
)  # fmt: skip
BODIES = ("description", "summary", "abstract", "overview", "text", "body", "content", "details", "features", "tagline", "subtitle")


@dataclass(frozen=True)
class Clock:
    """What the time column says.

    Attributes:
        form: its `time_format`; `fits`: share of its cells that are such times; `example`: one of them.
        either: day and month could be swapped.
        first: date; `last`: date; `days`: between them.
        fine: whether it tells more than the day; `gaps`: share of interactions without a time.
    """

    form: str
    fits: float
    example: str
    either: bool
    first: str
    last: str
    days: float
    fine: bool
    gaps: float


@dataclass(frozen=True)
class Facts:
    """What the choices rest on, as far as the samples show.

    Attributes:
        texts: columns of the text template, in order; `title`: what people are shown, if it has an unusual name.
        category: a column of categories, for calibration.
        repeats: share of interactions whose user had that item before.
        clock: None without a time column, or where most of its cells are no times; `order`: the column of numbers that stands for it.
        crossing: users seen both before and after nine tenths of the time.
        session_size: mean interactions a session, 0 without sessions; `basket`: whether a session has one time stamp.
        history: interactions of the median user.
        values: the smallest, the median and the largest value; None without a value column. `binary`: only 0 and 1 occur.
        events: kinds of events and their counts.
    """

    rows: int
    items: int
    has_catalogue: bool
    texts: tuple[str, ...]
    title: str | None
    category: str | None
    repeats: float
    clock: Clock | None
    order: str | None
    crossing: int
    session_size: float
    basket: bool
    history: float
    values: tuple[float, float, float] | None
    binary: bool
    events: tuple[tuple[str, int], ...]


def measure(events: Sample, items: Sample | None, roles: Roles) -> Facts:
    """Facts of the samples."""
    named = {role: events.columns[name] for role, name in roles.events.items()}
    clock = _clock(named["time"]) if "time" in named else None
    head = pl.DataFrame({role: ids(events.head[named[role].name]) for role in ("user", "item", "session") if role in named})
    times = pl.Series([None] * len(head), dtype=pl.Float64)
    if clock is not None:
        times = _seconds(Column.of(events.head[named["time"].name]), clock.form)
    head = head.with_columns(time=times)
    title, texts, category = _texts(items, roles.items_key)
    values = named["value"].numeric if "value" in named else None
    sessions = head.select(pl.struct("user", "session").n_unique()).item() if "session" in named else 0
    return Facts(
        rows=events.rows,
        items=max(named["item"].distinct, items.rows if items is not None else 0),
        has_catalogue=items is not None,
        texts=texts,
        title=title,
        category=category,
        repeats=1 - head.select(pl.struct("user", "item").n_unique()).item() / max(len(head), 1),
        clock=clock,
        order=roles.order,
        crossing=_crossing(head),
        session_size=len(head) / sessions if sessions else 0.0,
        basket=clock is not None and sessions > 0 and _one_time(head),
        history=_number(head.group_by("user").len()["len"].median()),
        values=None if values is None else (_number(values.min()), _number(values.median()), _number(values.max())),
        binary=values is not None and set(values.unique().to_list()) == {0.0, 1.0},
        events=tuple(named["event"].there.value_counts(sort=True).iter_rows()) if "event" in named else (),
    )


def _clock(column: Column) -> Clock | None:
    form, fits = column.likeliest_format
    if fits <= 0.5:
        return None
    times = _seconds(column, form)
    there = times.drop_nulls()
    first, last = _number(there.min()), _number(there.max())
    either = form in DAY_FIRST and any(unix_seconds(column.there, other).null_count() == 0 for other in MONTH_FIRST)
    fine = (there % DAY).n_unique() > 2  # local midnights have two distances to those of UTC, summer's and winter's
    example = column.texts.filter(times.is_not_null())[0]
    return Clock(form, fits, example, either, _date(first), _date(last), (last - first) / DAY, fine, times.null_count() / len(times))


def _seconds(column: Column, form: str) -> pl.Series:
    return unix_seconds(column.cells if column.cells.dtype.is_temporal() else column.texts, form)


def _texts(items: Sample | None, key: str | None) -> tuple[str | None, tuple[str, ...], str | None]:
    """The title (if it has an unusual name), the columns of the text template, and a column of categories."""
    if items is None:
        return None, (), None
    speaking = {name: column for name, column in items.columns.items() if name != key and _speaks(column)}
    plain = {name: simple(name) for name in speaking}
    wordy = [name for name, column in speaking.items() if column.kind == "text"]
    named = (name for rank in TITLES for name in speaking if plain[name] == rank)
    title = next(named, None) or min(wordy, key=lambda name: speaking[name].chars, default=None)
    labels = sorted((name for name in speaking if name != title and plain[name] in LABELS), key=lambda name: LABELS.index(plain[name]))
    bodies = [name for name in wordy if name != title and name not in labels and not _same(speaking[name], title and speaking[title])]
    bodies.sort(key=lambda name: (plain[name] not in BODIES, speaking[name].chars))
    # What braces, colons and exclamation marks mean in a template cannot be part of a column's name there.
    texts = tuple(name for name in [*([title] if title else []), *labels, *bodies] if not set(name) & set("{}:!"))
    category = next((name for name in labels if 1 < speaking[name].distinct < 0.5 * len(speaking[name].there)), None)
    return (title if title not in ("title", "name") else None), texts, category


def _speaks(column: Column) -> bool:
    """Whether the cells are words, and not numbers, addresses or moments, and not all the same."""
    if column.kind in ("empty", "image", "link", "time", "number") or column.distinct < 2:
        return False
    return _number(column.there.str.contains(r"\p{L}{2}").mean()) > 0.5


def _same(column: Column, title: Column | str | None) -> bool:
    """Whether a column mostly repeats the title."""
    return isinstance(title, Column) and _number((column.texts == title.texts).mean()) > 0.5


def _crossing(head: pl.DataFrame) -> int:
    late = head["time"].quantile(0.9)
    if late is None:
        return 0
    before, after = (head.lazy().filter(keep).select("user").unique() for keep in (pl.col("time") < late, pl.col("time") >= late))
    return int(before.join(after, on="user", how="semi").select(pl.len()).collect().item())


def _one_time(head: pl.DataFrame) -> bool:
    """Whether (nearly) every session of several interactions has one time stamp."""
    sessions = head.group_by("user", "session").agg(pl.len(), moments=pl.col("time").n_unique()).filter(pl.col("len") > 1)
    return _number((sessions["moments"] == 1).mean()) > 0.9


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
