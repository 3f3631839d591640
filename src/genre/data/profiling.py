"""`genre init`: look at a stranger's files, and write a configuration that says what was seen and why it was chosen."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2

from genre.data.choices import encoders, evaluate, rankers, scalar, settings
from genre.data.columns import Column, Sample, look
from genre.data.facts import Facts, measure
from genre.data.roles import Roles, guess, is_time, name_score

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
COMMENT_AT = 46
"""Where comments begin, counted from the line's own indent."""


@dataclass(frozen=True)
class Profile:
    """What the files look like and which column is what."""

    events: Sample
    items: Sample | None
    users: Sample | None
    roles: Roles
    facts: Facts


def write_config(
    name: str,
    events: Path,
    items: Path | None = None,
    users: Path | None = None,
    *,
    overrides: Mapping[str, str] | None = None,
    force: bool = False,
    folder: Path | None = None,
) -> Path:
    """Profile the files and write NAME.yaml into the folder (the working folder by default).

    Raises:
        ValueError: the name cannot be a run's, or a role cannot be guessed.
        FileExistsError: there is a NAME.yaml and `force` was not said.
    """
    if not re.fullmatch(NAME, name):
        raise ValueError(f"{name!r} cannot be a name: letters, digits, dot, dash and underscore only, a letter or digit first")
    folder = folder or Path.cwd()
    file = folder / f"{name}.yaml"
    if file.exists() and not force:
        raise FileExistsError(f"{file} is there already; --force overwrites it, or choose another name")
    file.write_text(render(profile(events, items, users, overrides), name, folder), encoding="utf-8")
    return file


def profile(events: Path, items: Path | None = None, users: Path | None = None, overrides: Mapping[str, str] | None = None) -> Profile:
    """Look at the files; `overrides` say which column has a role (`{"user": "client_no"}`), or `none` where there is none.

    Raises:
        ReadError: a file cannot be read, or has no such column.
        RoleError: a role cannot be guessed; the message lists the columns and says how to name one.
    """
    log = look(events)
    catalogue, people = (None if file is None else look(file) for file in (items, users))
    roles = guess(log, catalogue, people, overrides or {})
    return Profile(log, catalogue, people, roles, measure(log, catalogue, roles))


def render(profile: Profile, name: str, folder: Path) -> str:
    """The configuration as YAML with comments; paths are relative where the files lie below the folder."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters["yaml"] = scalar
    template = environment.from_string(resources.files("genre.data").joinpath("templates/config.yaml.j2").read_text(encoding="utf-8"))
    found = profile.facts
    return template.render(
        name=name,
        reader=_lines(_reader(profile, folder)),
        columns=_lines(_columns(profile)),
        settings=_lines(settings(found)),
        encoders=_lines(encoders(found)),
        rankers=_lines(rankers(found)),
        evaluate=_lines(evaluate(found)),
    )


def _reader(profile: Profile, folder: Path) -> list[tuple[str, str]]:
    lines = []
    for role, sample in (("events", profile.events), ("items", profile.items), ("users", profile.users)):
        if sample is not None:
            amount = f"{sample.rows:,} rows" if sample.complete else f"more than {sample.rows:,} rows; the first of them were looked at"
            lines.append((f"{role}: {scalar(_path(sample.path, folder))}", amount))
    for key, sample, column, match, what in (
        ("item_id", profile.items, profile.roles.items_key, profile.roles.item_match, "items"),
        ("user_id", profile.users, profile.roles.users_key, profile.roles.user_match, "users"),
    ):
        if sample is not None and column is not None:
            met = f"{_floor(match)} of the {what} in the events are there"
            lines.append((f"{key}: {scalar(column)}", met))
    if profile.roles.order is not None:
        lines.append((f"order: {scalar(profile.roles.order)}", "there is no clock; these numbers order the events of a user"))
    clock = profile.facts.clock
    if clock is not None and clock.form != "auto":
        either = "; day and month could be the other way round" if clock.either else ""
        rest = "" if clock.fits > 0.95 else f"; {_floor(clock.fits)} of them, and rows with others will be rejected: write all alike"
        lines.append((f"time_format: {scalar(clock.form)}", f"fits times such as {clock.example}{either}{rest}"))
    return lines


def _columns(profile: Profile) -> list[tuple[str, str]]:
    seen = []
    for role, name in profile.roles.events.items():
        column = profile.events.columns[name]
        if role == "time" and profile.facts.clock is None:
            example = column.there[0] if len(column.there) else "nothing"
            unread = f"unreadable, such as {example}; with a time_format under reader, like '%d.%m.%Y %H:%M', it can be the clock"
            seen.append((f"# time: {scalar(name)}", unread))
            continue
        seen.append((f"{role}: {scalar(name)}", _seen(role, column, profile)))
    for name, column in profile.events.columns.items():
        if "time" not in profile.roles.events and column.time_format is not None and name_score("time", name) and not is_time(column):
            seen.append((f"# time: {scalar(name)}", f"{100 * column.empty:.2g} % empty; rows without a time would be rejected"))
    used = {*profile.roles.events.values(), profile.roles.order}
    unused = [name for name in profile.events.columns if name not in used]
    if unused:
        seen.append((f"# not used: {', '.join(map(_flat, unused))}", ""))
    return seen


def _seen(role: str, column: Column, profile: Profile) -> str:
    """What a column holds, in words: 4,334 distinct, 0 % empty."""
    empty = f"{100 * column.empty:.2g} % empty"
    least = "" if profile.events.whole else " in a sample"
    clock, values = profile.facts.clock, profile.facts.values
    if role == "time" and clock is not None:
        return f"{clock.first} to {clock.last}{least}, {empty}"
    if role == "value" and values is not None:
        return f"{values[0]:g} to {values[2]:g}, {column.distinct:,} distinct{least}, {empty}"
    if role == "event":
        return ", ".join(f"{_flat(kind)} {count:,}" for kind, count in profile.facts.events[:6]) + f"{least}, {empty}"
    return f"{column.distinct:,} distinct{least}, {empty}"


def _path(path: Path, folder: Path) -> str:
    absolute, base = path.absolute(), folder.absolute()
    return str(absolute.relative_to(base)) if absolute.is_relative_to(base) else str(absolute)


def _lines(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Each setting with its comment, the comments under each other."""
    return [f"{line:<{COMMENT_AT}}  # {_flat(comment)}" if comment else line for line, comment in pairs]


def _flat(words: str) -> str:
    return " ".join(words.split())


def _floor(share: float) -> str:
    """A share in percent, 100 only if it is all of it."""
    return f"{int(1000 * share) / 10:g} %"
