"""The inspector: an answer from the log, with its trace while that is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from genre.dashboard.desk import Desk
from genre.dashboard.inspector import Dropped, InspectorView, Place, Request, RequestLine, Stage
from genre.dashboard.live.people import called, unit_called
from genre.serving.store import exposures as shown
from genre.serving.store.events import person
from genre.serving.store.schema import events, exposures

RECENT = 25
FEW = 20
"""Items that each filter or rule took, and candidates that others outscored, that a page names; there are hundreds."""


def fill(desk: Desk) -> InspectorView:
    """A request, or those of a user, or the latest."""
    query = desk["query"]
    if query:
        found = desk.read(lambda connection: shown.get(connection, query))
        if found is not None:
            return InspectorView(desk.frame(), query, _request(desk, found))
    return InspectorView(desk.frame(), query, None, desk.read(lambda connection: _recent(connection, query)))


def _recent(connection: sa.Connection, query: str) -> tuple[RequestLine, ...]:
    chosen = sa.select(exposures).order_by(exposures.c.seq.desc()).limit(RECENT)
    if query:
        chosen = chosen.where(exposures.c.unit == person(connection, unit_called(query)))
    return tuple(_line(dict(row)) for row in connection.execute(chosen).mappings())


def _line(row: Mapping[str, Any]) -> RequestLine:
    took = row["ms"]["total"] if isinstance(row["ms"], dict) else row["ms"]
    return RequestLine(row["request_id"], row["time"], row["surface"], called(row["unit"]), took or 0.0, bool(row["degraded"]))


def _request(desk: Desk, found: dict[str, Any]) -> Request:
    then = desk.read(lambda connection: _then(connection, found))
    return Request(_line(found), _facts(found), _stages(found), _places(desk, found, then), _dropped(desk, found))


def _facts(found: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    facts = {"model": found["model"], "policy": found["policy"], "variant": found["variant"], "searched": found.get("plan")}
    context = ", ".join(f"{name} {value}" for name, value in found["context"].items())
    passing = ", ".join(f"{name} {n:,}" for name, n in (found.get("allowed") or {}).items())
    facts |= {"kind": found["kind"], "context": context, "items that pass": passing}
    facts["taken away"] = ", ".join(f"{name} {len(items):,}" for name, items in (found.get("dropped") or {}).items() if items)
    if found.get("candidates") is None:
        facts["trace"] = "no longer kept; the line of the log is below"
    return tuple((label, str(text)) for label, text in facts.items() if text)


def _stages(found: Mapping[str, Any]) -> tuple[Stage, ...]:
    """One after another, as they ran."""
    ms, degraded = found["ms"], found["degraded"]
    if not isinstance(ms, dict):
        return ()
    broken = degraded if isinstance(degraded, dict) else dict.fromkeys(degraded, "failed")
    began, stages = 0.0, []
    for name, took in ms.items():
        if name != "total":
            into, out = _counts(name, found)
            stages.append(Stage(name, began, took, into, out, "bad" if name in broken else "good", broken.get(name, "")))
            began += took
    missing = (Stage(name, began, 0.0, state="bad", note=why) for name, why in broken.items() if name not in ms)
    return (*stages, *missing)


def _counts(name: str, found: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Items that went in and came out, where the trace says it."""
    candidates = found.get("candidates") or {}
    merged = len({item for items in candidates.values() for item in items})
    scored, n = len((found.get("stage_scores") or {}).get("score", ())), len(found["item_ids"])
    return {
        "filter": (None, (found.get("allowed") or {}).get("all")),
        "merge": (sum(map(len, candidates.values())), merged),
        "score": (merged, scored),
        "policy": (scored, None),
        "rules": (None, n),
    }.get(name, (None, len(candidates[name.removeprefix("source ")]) if name.removeprefix("source ") in candidates else None))


def _then(connection: sa.Connection, found: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """What the user did with each item, by the request's id; events of a unit are found by its index."""
    unit = person(connection, found["unit"])
    chosen = sa.select(events.c.item_id, events.c.type).where(events.c.unit == unit, events.c.request_id == found["request_id"])
    then: dict[str, Counter[str]] = {}
    for row in connection.execute(chosen):
        then.setdefault(row.item_id, Counter())[row.type] += 1
    return then


def _places(desk: Desk, found: Mapping[str, Any], then: Mapping[str, Counter[str]]) -> tuple[Place, ...]:
    candidates, scores = found.get("candidates") or {}, found.get("stage_scores") or {}
    columns = (found["item_ids"], found["positions"], found["scores"], found["propensities"])
    teams: list[str | None] = found.get("teams") or [None] * len(found["item_ids"])
    ranks = {
        stage: {item: i for i, item in enumerate(sorted(of, key=lambda item: -of[item]), 1)}
        for stage, of in scores.items()
    }  # fmt: skip
    places = []
    for item, position, score, propensity, team in zip(*columns, teams, strict=True):
        sources = ", ".join(name for name, items in candidates.items() if item in items)
        rank = ranks.get("score" if team is None else f"{team}: score", {})
        why = f"number {rank[item]:,} of {len(rank):,} candidates by score" if item in rank else ""
        if team is not None:
            why = f"picked by {team}" + (f"; its {why}" if why else "")
        elif propensity is None:
            why = "placed by a rule, or to fill the list" + (f"; {why}" if why else "")
        did = ", ".join(f"{kind} {n}" if n > 1 else kind for kind, n in then.get(item, Counter()).items())
        places.append(Place(position, item, desk.title(item), sources, score, propensity, why, did))
    return tuple(places)


def _dropped(desk: Desk, found: Mapping[str, Any]) -> tuple[Dropped, ...]:
    """What filters and rules took, then the best of those that were merely outscored."""
    taken = found.get("dropped") or {}
    gone = [
        Dropped(item, desk.title(item), name, "taken away, though it was good enough for the list")
        for name, items in taken.items()
        for item in items[:FEW]
    ]
    scores = (found.get("stage_scores") or {}).get("score", {})
    out = {*found["item_ids"], *(item for items in taken.values() for item in items)}
    rest = [item for item in sorted(scores, key=lambda item: -scores[item]) if item not in out]
    why = "a candidate with score {:.4g}; others came before it"
    outscored = [Dropped(item, desk.title(item), "policy", why.format(scores[item])) for item in rest[:FEW]]
    return (*gone, *outscored)
