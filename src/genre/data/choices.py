"""What `genre init` chooses, given what it saw: text, events, split, encoders, rankers, each with the reason in words."""

from __future__ import annotations

import yaml

from genre.data.columns import simple
from genre.data.facts import Facts

Lines = list[tuple[str, str]]
"""Settings and why: pairs of a YAML line and the comment beside it."""

SHOWN_ONLY = {"impression", "impressions", "exposure", "shown", "display", "exposed"}
NEGATIVE = {"dislike", "hide", "report", "skip", "unlike", "unfollow", "refund", "return"}
AGAINST = ("remove", "delete", "undo", "un_")


def settings(found: Facts) -> Lines:
    """The section `data` below its reader."""
    lines: Lines = []
    if found.texts:
        template = " ".join("{" + name + "}" for name in found.texts)
        lines.append((f"text: {scalar(template, quoted=True)}", "what encoders read: title, labels, longer texts"))
        if found.title is not None:
            lines.append((f"title: {scalar(found.title)}", "what people are shown"))
    elif found.has_catalogue:
        lines.append(('# text: "{column} {column}"', "no column of the items looks like text; without it, content cannot help"))
    lines += _events(found) + _values(found)
    again = f"{100 * found.repeats:.2g} % of interactions repeat an item of their user"
    lines.append((f"repeats: {'true' if found.repeats > 0.1 else 'false'}", again))
    lines.append(_split(found))
    return lines


def encoders(found: Facts) -> Lines:
    """Vectors from text, if there is text."""
    if not found.texts:
        return []
    # Whitening more directions than a small catalogue fills would blow up noise.
    small = "" if found.items >= 1000 else ", components: 64"
    return [
        ("words: {use: tfidf}", f"{found.items:,} items; needs no model and is a strong start"),
        (f"text: {{use: tfidf, residual: 0, whiten: true{small}}}", "its main directions in equal measure, for the network"),
    ]


def rankers(found: Facts) -> Lines:
    """A ladder fit for the size."""
    lines: Lines = [("popularity: {use: popularity}", "what every other rung must beat")]
    members = ["transitions"]
    if found.basket:
        lines.append(("transitions: {use: transitions, sitting_seconds: 0}", "a session has one time stamp: it is one step"))
    else:
        lines.append(("transitions: {use: transitions}", "what follows what"))
    if found.items <= 5000:
        members.append("ease")
        lines.append(("ease: {use: ease}", f"exact and quick at {found.items:,} items"))
    if found.texts:
        members.append("content")
        lines.append(("content: {use: content, content: [words]}", "text alone"))
    window = 100 if found.history >= 60 else 50
    reason = f"the median user has {found.history:,.0f} interactions"
    lines.append((f"ids: {{use: sequential, max_history: {window}}}", reason))
    if found.texts:
        lines.append((f"hybrid: {{use: sequential, content: [text], max_history: {window}}}", "ids and text: new items take part"))
    members.append("hybrid" if found.texts else "ids")
    lines.append((f"blend: {{use: blend, of: [{', '.join(members)}]}}", "weights are learnt on validation"))
    return lines


def evaluate(found: Facts) -> Lines:
    """How lists are judged."""
    lines: Lines = [("cutoffs: [10, 20]", "hit rate, NDCG, ... at these lengths")]
    if found.rows > 2_000_000:
        lines.append(("users: 20000", "test users, drawn at random: enough for narrow intervals"))
    if found.category is not None:
        lines.append((f"category: {scalar(found.category)}", "its mix is compared between histories and lists"))
    return lines


def scalar(value: str, quoted: bool = False) -> str:
    """A text as YAML on one line, in quotes where it needs them."""
    written = yaml.safe_dump(value, allow_unicode=True, width=float("inf"), default_style='"' if quoted else None)
    return written.removesuffix("\n").removesuffix("\n...")


def _events(found: Facts) -> Lines:
    dropped = [kind for kind, _ in found.events if _says_no(kind)]
    kept = [kind for kind, _ in found.events if kind not in dropped]
    if dropped and kept:
        return [(f"events: [{', '.join(map(scalar, kept))}]", f"left out, as it says no or only that it was shown: {', '.join(dropped)}")]
    if len(kept) > 1:
        return [(f"# events: [{scalar(kept[0])}]", "which events count as interactions; all of them unless you say")]
    return []


def _values(found: Facts) -> Lines:
    if found.binary:
        return [("min_value: 1", "values are 0 and 1: a 0 is no interaction")]
    if found.values is None or found.values[0] == found.values[2]:
        return []
    _, median, largest = found.values
    high = 0.8 * largest if largest <= 10 else median
    return [(f"# min_value: {high:g}", "count high values only; unless you say, all count alike")]


def _split(found: Facts) -> tuple[str, str]:
    unit = ", unit: session" if found.session_size >= 1.5 else ""
    about = f"whole sessions (of {found.session_size:.1f}); " if unit else ""
    last_out, global_time = f"split: {{use: leave_last_out{unit}}}", f"split: {{use: global_time{unit}}}"
    clock = found.clock
    if clock is None:
        believed = "that of the file" if found.order is None else f"by {found.order}"
        return last_out, about + f"there is no clock; the order within a user is {believed}"
    if clock.gaps:
        return last_out, about + "a split in time needs a time in every row"
    if not clock.fine:
        return last_out, about + "times tell the day only"
    if clock.days < 28:
        return last_out, about + f"{clock.days:.1f} days are short for a split in time"
    if found.crossing < 200:
        return last_out, about + f"only {found.crossing:,} users are active early and late: too few for a split in time"
    return global_time, about + f"a real clock over {clock.days:,.0f} days: learn from the past, be judged by the future"


def _says_no(kind: str) -> bool:
    plain = simple(kind)
    return plain in SHOWN_ONLY or plain in NEGATIVE or plain.startswith(AGAINST)
