"""The live preview: the engine is asked for a list that nobody is shown and nothing logs, with and without a rule."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace

from genre.dashboard.desk import Desk
from genre.dashboard.frame import Problem
from genre.dashboard.items import picture
from genre.dashboard.lists import Shown
from genre.dashboard.live.people import done, history, who_asks
from genre.dashboard.surfaces import Preview, SurfacesView
from genre.serving.contract import Answering, Engine, PastEvent, RecommendRequest, RecommendResponse, Trace
from genre.serving.engine import BundleEngine
from genre.serving.interleaving import Interleaving
from genre.serving.live import Arm
from genre.serving.store.assignments import root_of
from genre.serving.store.events import unit_of
from genre.surfaces import DEFAULT, Boost, Cap, Exclude, Pin, Rule

PLACES = 10
REASONS = 10
"""Events of the history that a preview shows."""


def fill(desk: Desk) -> SurfacesView:
    """The chosen surface, and the list of the chosen user."""
    engine, bundled = desk.engine, desk.bundled
    if engine is None:
        why = "Publish a run and promote it; the page then shows its surfaces."
        return SurfacesView(desk.frame(Problem("No model answers yet", why, "genre publish RUN")))
    names = tuple(bundled.placements) if bundled is not None else (DEFAULT,)
    surface = desk["surface"] if desk["surface"] in names else names[0]
    arm = arm_of(desk, engine, desk["user"], surface)
    settings = arm.engine.placements[surface].settings if isinstance(arm.engine, BundleEngine) else None
    rules = [named(rule, i) for i, rule in enumerate(settings.rules)] if settings is not None else []
    rule = desk["rule"] if desk["rule"] in rules else ""
    preview = None
    if desk["user"]:
        preview = _preview(desk, arm, surface, rules.index(rule) if rule else None, rule)
    return SurfacesView(desk.frame(), names, surface, desk["user"], tuple(rules), rule, preview)


def named(rule: Rule, i: int) -> str:
    """A rule in a few words; those of a surface differ by their number."""
    match rule:
        case Pin():
            words = f"pin {rule.pin} at {rule.place}"
        case Cap():
            words = f"at most {rule.most} a {rule.cap}"
        case Exclude():
            words = rule.name or "exclusion"
        case Boost():
            words = rule.name or f"boost by {rule.by:g}"
    return f"{i + 1}: {words}"


def arm_of(desk: Desk, engine: Engine, name: str, surface: str) -> Arm:
    """What answers somebody on a surface: the arm that an experiment gives them, else the engine that serves, without a label."""
    if not name or not desk.project.live.concerns(surface):
        return Arm("", engine)
    return desk.project.live.arm(surface, _root(desk, name), time.time()) or Arm("", engine)


def drawing(engine: Answering, draw: str) -> Answering:
    """The same engine, or the same two of an interleaved experiment, with every choice drawn alike."""
    if isinstance(engine, Interleaving):
        return Interleaving({name: drawing(arm, draw) for name, arm in engine.arms.items()})
    return engine.drawing(draw) if isinstance(engine, BundleEngine) else engine


def listed(engine: Answering, name: str, surface: str, past: Sequence[PastEvent], n: int) -> tuple[RecommendResponse, Trace]:
    """What an engine would show somebody, with reasons; nothing is logged. Raises RequestError."""
    user, session = who_asks(name)
    return engine.recommend(RecommendRequest(surface=surface, user_id=user, session_id=session, n=n, explain=True), past, time.time())


def as_shown(desk: Desk, response: RecommendResponse) -> tuple[Shown, ...]:
    """A list as pages show it."""
    found = []
    for item in response.items:
        known = None if desk.engine is None else desk.engine.item(item.item_id)
        why = ", ".join(item.reasons or ()) or ("" if item.propensity is not None else "placed by a rule, or to fill the list")
        image = None if known is None else picture(known.attributes)
        found.append(Shown(item.rank, item.item_id, desk.title(item.item_id), item.score, why, image))
    return tuple(found)


def without(engine: BundleEngine, surface: str, rule: int) -> BundleEngine:
    """The same engine, but for one rule of a surface."""
    rules = [kept.model_dump(mode="json") for i, kept in enumerate(engine.placements[surface].settings.rules) if i != rule]
    return engine.varied(surface, {"rules": rules})


def compared(now: Sequence[Shown], before: Sequence[Shown]) -> tuple[tuple[Shown, ...], tuple[Shown, ...]]:
    """Both lists, with how the rule moved each item."""
    stood, stands = ({one.item_id: one.rank for one in shown} for shown in (before, now))

    def moved(one: Shown) -> str:
        if one.item_id not in stood:
            return "new"
        by = stood[one.item_id] - one.rank
        return f"up {by}" if by > 0 else f"down {-by}" if by < 0 else ""

    return (
        tuple(replace(one, change=moved(one)) for one in now),
        tuple(replace(one, change="" if one.item_id in stands else "gone") for one in before),
    )


def _preview(desk: Desk, arm: Arm, surface: str, rule: int | None, called: str) -> Preview:
    past = history(desk, desk["user"])
    # The same draws for both lists: a policy that explores would otherwise differ by chance, and the rule be blamed for it.
    engine = drawing(arm.engine, f"{hash_of(desk['user'], surface):020x}")
    response, trace = listed(engine, desk["user"], surface, past, PLACES)
    now, before = as_shown(desk, response), tuple[Shown, ...]()
    if rule is not None and isinstance(engine, BundleEngine):
        other, _ = listed(without(engine, surface, rule), desk["user"], surface, past, PLACES)
        now, before = compared(now, as_shown(desk, other))
    degraded = ", ".join(f"{stage}: {why}" for stage, why in trace.degraded.items())
    left_out = {} if arm.label else desk.project.live.left_out(surface, _root(desk, desk["user"]), time.time())
    did, made_by = done(desk, desk["user"], REASONS), _made_by(trace)
    return Preview(desk["user"], now, before, called, did, made_by, degraded, arm.label, tuple(left_out.items()))


def _root(desk: Desk, name: str) -> str:
    """The id that somebody is assigned by."""
    unit = unit_of(*who_asks(name))
    return desk.read(lambda connection: root_of(connection, unit))


def _made_by(trace: Trace) -> tuple[tuple[str, str], ...]:
    facts = {"model": trace.model, "policy": trace.policy, "searched": trace.plan}
    found = ", ".join(f"{name} {len(items):,}" for name, items in trace.candidates.items() if items)
    passing = ", ".join(f"{name} {n:,}" for name, n in trace.allowed.items())
    facts |= {"candidates": found, "items that pass": passing, "took": f"{trace.ms.get('total', 0):.3g} ms"}
    return tuple((label, text) for label, text in facts.items() if text)


def hash_of(*words: str) -> int:
    """64 bits that stay the same from process to process."""
    return int.from_bytes(hashlib.blake2b("\0".join(words).encode(), digest_size=8).digest())
