"""Off-policy: what another policy would have earned on the candidates that were logged with the newest answers."""

# R requests, S places, K candidates, n places of a slate

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from genre.component import build
from genre.dashboard.charts import Bin
from genre.dashboard.desk import Desk
from genre.dashboard.frame import Problem, State
from genre.dashboard.off_policy import Estimate, OffPolicyView
from genre.evaluation.off_policy.logged import Logged, NoOverlap
from genre.evaluation.off_policy.overlap import FEW
from genre.evaluation.off_policy.plot import weight_bars
from genre.evaluation.off_policy.study import SAID, Study, study
from genre.policies import Policy
from genre.serving.candidates import candidates_of
from genre.serving.contract import PastEvent
from genre.serving.engine import BundleEngine
from genre.serving.past import past_of
from genre.serving.store.events import canonical
from genre.serving.store.exposures import unpacked
from genre.serving.store.schema import events, traces

NEWEST = 2000
"""Traces that are asked again; a second or two."""
TRIED: tuple[dict[str, Any], ...] = (
    {"use": "greedy"},
    {"use": "plackett_luce", "temperature": 0.1},
    {"use": "plackett_luce", "temperature": 0.3},
    {"use": "plackett_luce", "temperature": 1.0},
    {"use": "epsilon", "epsilon": 0.1},
)
"""Offered beside the policies that the surfaces have."""
MOODS: dict[str, State] = {"better": "good", "worse": "bad", "no difference": "idle", "cannot": "warn"}
NOTHING = np.empty(0, np.int64)
Row = dict[str, Any]


def fill(desk: Desk) -> OffPolicyView:
    """Every estimator for the candidate that was chosen, by clicks."""
    engine = desk.bundled
    rows, clicked = ([], set[tuple[str, str]]()) if engine is None else desk.read(_logged)
    offered = {} if engine is None else candidates(engine, {row["surface"] for row in rows if explored(row)})
    if engine is None or not offered:
        return OffPolicyView(desk.frame())
    chosen = desk["candidate"] if desk["candidate"] in offered else next(iter(offered))
    surface, policy = offered[chosen]
    names = tuple(offered)
    rows = [row for row in rows if row["surface"] == surface]
    pasts = {} if policy.scores_alone else desk.read(lambda connection: _done_before(connection, rows))
    try:
        logged = replayed(engine, policy, rows, clicked, pasts)
        found = study(logged)
    except NoOverlap as error:
        return OffPolicyView(desk.frame(Problem("The log says nothing of this policy", str(error))), names, chosen)
    except ValueError as error:
        return OffPolicyView(desk.frame(Problem("This policy cannot be asked about", str(error))), names, chosen)
    return view(desk, names, chosen, logged, found)


def view(desk: Desk, names: tuple[str, ...], chosen: str, logged: Logged, found: Study) -> OffPolicyView:
    """A study as the page shows it."""
    weak = found.overlap.effective < FEW
    lines = tuple(Estimate(one.name, one.value.mean, one.value.low, one.value.high, SAID[one.name], not weak) for one in found.lines)
    base = Estimate("(logged)", found.logged.mean, found.logged.low, found.logged.high, "what the log itself earned")
    verdict = capital(found.verdict)
    mood = next(state for word, state in MOODS.items() if found.verdict.startswith(word))
    weights = tuple(Bin(label, n) for label, n in weight_bars(logged.weight_R))
    return OffPolicyView(
        desk.frame(), names, chosen, "clicks a list", base, lines, found.requests, found.overlap.effective, found.overlap.largest,
        weights, None, verdict, tuple(map(capital, found.overlap.warnings)), mood,
    )  # fmt: skip


def capital(sentence: str) -> str:
    """The same, as it begins a line."""
    return sentence[:1].upper() + sentence[1:]


def candidates(engine: BundleEngine, surfaces: set[str]) -> dict[str, tuple[str, Policy]]:
    """By name, the surface whose log is read and the policy that is asked about."""
    own = [placement.policy.config.model_dump(mode="json", exclude_defaults=False) for placement in engine.placements.values()]
    tried = {called(settings): settings for settings in [*TRIED, *own]}
    return {
        f"{surface}: {name}": (surface, build(Policy, settings))
        for surface, (name, settings) in itertools.product(sorted(surfaces & set(engine.placements)), tried.items())
    }


def called(settings: Mapping[str, Any]) -> str:
    """A policy in a few words: its name and its numbers."""
    numbers = [f"{name} {value:g}" for name, value in settings.items() if isinstance(value, float)]
    return " ".join([str(settings["use"]), *numbers])


def explored(row: Row) -> bool:
    """Whether something else might have been shown."""
    return any(p is not None and p < 1 for p in row["propensities"])


def replayed(
    engine: BundleEngine,
    policy: Policy,
    rows: Sequence[Row],
    clicked: set[tuple[str, str]],
    pasts: Mapping[str, Sequence[PastEvent]] | None = None,
) -> Logged:
    """How likely a policy would have made each list that was shown, from the candidates and scores that were logged with it.

    Places that a rule or a fallback filled are left out: no policy chose them.

    Args:
        pasts: what the store knows that each request's person had done by then, by request id; policies that read scores alone need none.

    Raises:
        ValueError: nothing is left, or the policy cannot say.
    """
    world = engine.world
    index, n = world.catalogue.index, world.catalogue.n
    kept: list[tuple[Row, list[int], dict[str, float]]] = []
    for row in rows:
        scores = {item: score for item, score in row["stage_scores"].get("score", {}).items() if index.get(item, n) < n}
        places = [s for s, (item, p) in enumerate(zip(row["item_ids"], row["propensities"], strict=True)) if p and item in scores]
        if places and row["positions"][0] == 1:
            kept.append((row, places, scores))
    if not kept:
        raise ValueError("none of the newest lists on this surface was chosen by a policy")
    shape = len(kept), max(len(places) for _, places, _ in kept)
    reward_RS, logging_RS, target_RS, filled_RS = np.zeros(shape), np.ones(shape), np.ones(shape), np.zeros(shape, bool)
    units: dict[str, int] = {}
    for r, (row, places, scores) in enumerate(kept):
        ids = sorted(scores, key=lambda item: -scores[item])
        item_idx_K = np.array([index[item] for item in ids], np.int64)
        done = (pasts or {}).get(row["request_id"], ())
        past = past_of(user_of(row["unit"]), done, NOTHING, world.snapshot, world.catalogue, n, row["time"])
        asked = candidates_of(world, policy, item_idx_K, np.array([scores[item] for item in ids]), past.query.item_idx_L)
        shown = [row["item_ids"][s] for s in places]
        shown_n = np.array([index[item] for item in shown], np.int64)
        probability_nK = policy.probabilities(asked, shown_n, np.random.default_rng(r))
        at_n = [ids.index(item) for item in shown]
        slots = slice(0, len(places))
        filled_RS[r, slots] = True
        target_RS[r, slots] = np.minimum(probability_nK[np.arange(len(places)), at_n], 1.0)
        logging_RS[r, slots] = [row["propensities"][s] for s in places]
        reward_RS[r, slots] = [(row["request_id"], item) in clicked for item in shown]
    cluster_R = np.array([units.setdefault(row["unit"], len(units)) for row, _, _ in kept])
    return Logged(reward_RS, logging_RS, target_RS, filled_RS, cluster_R)


def _logged(connection: sa.Connection) -> tuple[list[Row], set[tuple[str, str]]]:
    """The newest traces that have candidates, and what was clicked of them."""
    chosen = sa.select(traces.c.time, traces.c.trace).order_by(traces.c.time.desc()).limit(NEWEST)
    packed = connection.execute(chosen).all()
    rows = [row for row in (unpacked(one.trace) for one in packed) if row["candidates"] and row["stage_scores"]]
    if not rows:
        return [], set()
    since = min(one.time for one in packed)
    clicks = sa.select(events.c.request_id, events.c.item_id).where(events.c.time >= since, events.c.type == "click")
    return rows, {(row.request_id, row.item_id) for row in connection.execute(clicks.where(events.c.request_id.is_not(None)))}


def _done_before(connection: sa.Connection, rows: Sequence[Row]) -> dict[str, list[PastEvent]]:
    """What each request's person had done by then, oldest first, by request id."""
    units = {row["unit"] for row in rows}
    now = {unit: unit for unit in units} | canonical(connection, units)
    column = events.c
    chosen = sa.select(column.unit, column.item_id, column.time, column.type)
    chosen = chosen.where(column.unit.in_(list(set(now.values()))), column.item_id.is_not(None))
    done: dict[str, list[PastEvent]] = {}
    for event in connection.execute(chosen.order_by(column.time, column.seq)):
        done.setdefault(event.unit, []).append(PastEvent(event.item_id, event.time, event.type))
    return {row["request_id"]: [event for event in done.get(now[row["unit"]], ()) if event.time < row["time"]] for row in rows}


def user_of(unit: str) -> str | None:
    """The user's id, where it is one."""
    return unit.removeprefix("user:") if unit.startswith("user:") else None
