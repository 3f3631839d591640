"""A view of every page, full, empty and with a problem; whatever is data in them holds the text one asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from genre.dashboard.charts import Bin, Chart, Series
from genre.dashboard.data_quality import DataQualityView, Finding, Rejected, render_data_quality
from genre.dashboard.experiments import ExperimentLine, ExperimentsView, Findings, Rail, render_experiments
from genre.dashboard.frame import Frame, Notice, Problem
from genre.dashboard.inspector import Dropped, InspectorView, Place, Request, RequestLine, Stage, render_inspector
from genre.dashboard.items import Item, ItemLine, ItemsView, render_items
from genre.dashboard.lists import Did, Shown
from genre.dashboard.login import ErrorView, LoginView, render_error, render_login
from genre.dashboard.models import Ladder, Model, ModelsView, render_models
from genre.dashboard.off_policy import Estimate, OffPolicyView, render_off_policy
from genre.dashboard.operations import AuditLine, Job, Key, OperationsView, render_operations
from genre.dashboard.overview import Alert, Drift, OverviewView, StageLine, SurfaceLine, Tile, render_overview
from genre.dashboard.surfaces import Preview, SurfacesView, render_surfaces
from genre.dashboard.users import User, UserLine, UsersView, render_users

NOW, HOUR = 1_750_000_000.0, 3600.0
FILMS = (
    "Alien (1979)",
    "Fargo (1996)",
    "Toy Story (1995)",
    "The Godfather (1972)",
    "Rear Window (1954)",
    "Brazil (1985)",
    "Chinatown (1974)",
    "Three Colors: Red (1994)",
    "Young Frankenstein (1974)",
    "Dr. Strangelove or: How I Learned to Stop Worrying and Love the Bomb (1963)",
)
Page = tuple[Callable[[Any], str], Any]


def frame(text: str = "") -> Frame:
    """A frame of somebody logged in."""
    return Frame(f"admin{text}", f"token{text}", f"model 000012 since yesterday{text}", "0.1.0")


def shown(text: str, changes: bool = False) -> tuple[Shown, ...]:
    """A list."""
    moves = ("new", "up 2", "", "down 1", "gone")
    return tuple(
        Shown(
            i + 1,
            f"{40 + i}{text}",
            f"{film}{text}",
            3.2 - 0.2 * i,
            f"because of Aliens (1986){text}",
            "/x.png",
            moves[i % 5] if changes else "",
        )
        for i, film in enumerate(FILMS)
    )


def history(text: str) -> tuple[Did, ...]:
    """What a user did."""
    return tuple(Did(NOW - i * HOUR, f"click{text}", f"{i}{text}", f"{film}{text}", 1.5) for i, film in enumerate(FILMS[:6]))


def hours(label: str, unit: Any, *names: str) -> Chart:
    """Two days, by the hour."""
    x = tuple(NOW - (48 - i) * HOUR for i in range(48))
    values = (tuple((k + 1) * 100 * (1.5 + math.sin(i / 4 + k)) for i in range(48)) for k in range(len(names)))
    return Chart(label, x, tuple(Series(name, value) for name, value in zip(names, values, strict=True)), unit)


def interval(label: str, days: Sequence[int] = range(2, 15)) -> Chart:
    """An interval that narrows by day."""
    value = tuple(0.04 + 0.03 * math.sin(day) / day for day in days)
    half = tuple(0.25 / math.sqrt(day * 3) for day in days)
    edges = [tuple(v + sign * h for v, h in zip(value, half, strict=True)) for sign in (1, -1)]
    return Chart(
        label,
        tuple(map(float, days)),
        (Series("high", edges[0], "high"), Series("low", edges[1], "low"), Series("change", value)),
        "change",
        days=True,
    )


def full(text: str = "") -> dict[str, Page]:
    """Every page with something on it."""
    at = frame(text)
    line = RequestLine(f"req-7f3a{text}", NOW, f"home{text}", f"42{text}", 18.4, True)
    stages = (
        Stage(f"hydrate{text}", 0, 1.2, None, None, "good", ""),
        Stage("sources", 1.2, 9.5, None, 1400, "warn", f"text search came late{text}"),
        Stage("filter", 10.7, 1.1, 1400, 620),
        Stage("score", 11.8, 4.6, 620, 620),
        Stage("policy", 16.4, 1.5, 620, 10),
        Stage("log", 17.9, 0.5, 10, 10, "bad", f"the queue is full{text}"),
    )
    places = tuple(
        Place(
            i + 1,
            f"{i}{text}",
            f"{film}{text}",
            f"blend{text}",
            3.1 - i / 9,
            0.31 / (i + 1),
            f"because of Aliens (1986){text}",
            "clicked" if i == 2 else "",
        )
        for i, film in enumerate(FILMS)
    )
    request = Request(
        line,
        ((f"model{text}", f"000012{text}"), ("policy", "plackett_luce, temperature 0.3"), ("experiment", "home-blend: blend")),
        stages,
        places,
        (
            Dropped(f"9{text}", f"Heat (1995){text}", f"filter{text}", f"watched on 2026-03-02{text}"),
            Dropped("11", "Seven (1995)", "rule", "18+"),
        ),
    )
    models = (
        Model(
            f"000013{text}",
            "candidate",
            NOW,
            f"2026-06-14{text}",
            (("ndcg@10", "0.141 ±.012"), ("coverage", "0.38")),
            "41 MB",
            f"with posters{text}",
            False,
        ),
        Model("000012", "current", NOW - 86400, "2026-06-13", (("ndcg@10", "0.139 ±.012"), ("coverage", "0.41")), "38 MB"),
        Model("000011", "previous", NOW - 9 * 86400, "2026-06-04", (("ndcg@10", "0.118 ±.011"),), "36 MB"),
    )
    rung = ("+ frozen text", "0.1134 ±0.012", "+0.008 (+0.001 to +0.015)", "adds", "180")
    ladder = Ladder(
        f"ndcg@10, leave-last-out, full ranking{text}",
        ("rung", "ndcg@10", "gain", "verdict", "CPU s"),
        ((f"popularity{text}", "0.043 ±0.007", "", "start", "0"), rung),
    )
    experiments = (
        ExperimentLine(
            f"home-blend{text}",
            "running",
            f"home{text}",
            f"Lists that know texts get more clicks.{text}",
            NOW - 8 * 86400,
        ),
        ExperimentLine("cart", "stopped", "cart", "", NOW - 40 * 86400, NOW - 30 * 86400, f"shipped{text}"),
        ExperimentLine("posters", "planned"),
    )
    findings = Findings(
        f"Hold: keep it running{text}",
        "idle",
        (f"blend: no difference shown; clicks +4.1%{text}", "day 8.2 of 14, 21,400 of 40,000 planned units"),
        "split as planned, p 0.83",
        "good",
        ((f"clicks: blend against popular{text}", interval(f"clicks by day{text}")),),
        ("metric", "variant", "popular", "variant's", "any time, 95%", "one look, 95%", "q"),
        ((f"clicks{text}", "blend", "1.52", "1.58", "+4.1% (-1.0% to +9.2%)", "+4.1% (+0.8% to +7.4%)", "0.015"),),
        (
            Rail(f"hiding{text}", "blend", "ok", f"0.021 → 0.020, worse by -4.8%{text}"),
            Rail("slow", "blend", "broken", "p99 120 ms → 190 ms"),
            Rail("narrow", "blend", "open", "not certain yet"),
        ),
        ((f"blend{text}", "no trend by day is shown", interval("lift by day")),),
        ((f"popular{text}", 10_720), ("blend", 10_680)),
        (f"metric 'saves': nothing varies{text}",),
    )
    overview = OverviewView(
        at,
        ("1 hour", "1 day", "7 days"),
        "1 day",
        (
            Tile(f"lists{text}", f"1,204,311{text}", f"+4 % since yesterday{text}", "good"),
            Tile("clicks a list", "7.31 %", "−0.2 points", "bad"),
            Tile("coverage", "41 %"),
            Tile("p99", "38 ms", "+2 ms", "warn"),
            Tile("degraded", "0.02 %"),
        ),
        (Alert(f"Coverage of cart fell by a third{text}", "warn", "/dashboard/surfaces?surface=cart"),),
        hours(f"Lists and clicks by the hour{text}", "count", f"lists{text}", "clicks"),
        hours("Latency", "ms", "p50", "p99"),
        (
            StageLine(f"sources{text}", 4.1, 9.3, 14.2, 0.0004, 20),
            StageLine("score", 3.0, 6.8, 41.5, 0.02, 30),
            StageLine("log", None, None, None, None),
        ),
        (SurfaceLine(f"home{text}", 1_100_420, 0.0731, 0.0002, 0.41), SurfaceLine("cart", 103_891, None, 0.0, 0.12)),
        (Drift(f"events a day{text}", 0.04, "good"), Drift("share of new users", 0.31, "bad")),
    )
    weights = tuple(Bin(f"{i}{text}", 1000 * math.exp(-i / 3)) for i in range(16))
    estimates = (
        Estimate(f"IPS{text}", 0.081, 0.052, 0.11, f"few lists carry it{text}", False),
        Estimate("SNIPS", 0.078, 0.061, 0.094),
        Estimate("doubly robust", 0.079, 0.072, 0.086),
    )
    off = OffPolicyView(
        at,
        (f"blend{text}", "greedy"),
        f"blend{text}",
        f"clicks a list{text}",
        Estimate("as logged", 0.073, 0.071, 0.075),
        estimates,
        184_203,
        9_410,
        38.2,
        weights,
        Estimate("experiment", 0.0785, 0.074, 0.083),
        f"Overlap is good; the estimators agree.{text}",
        (f"The clicks of one list are many.{text}",),
        "good",
    )
    quality = DataQualityView(
        at,
        f"2026-06-14{text}",
        ((f"interactions{text}", f"19,204,113{text}"), ("users", "1,020,311"), ("items", "184,220")),
        (
            Finding(
                "error",
                f"3 % of the events are later than now{text}",
                f"Check the clock of the exporter{text}",
                (f"row 17{text}", "row 90"),
            ),
            Finding("note", "12 % cold items", "Give them text"),
        ),
        (Rejected(f"events.csv{text}", 17, f"time is not a time{text}"),),
        1204,
        hours("Events by the hour", "count", "events"),
    )
    operations = OperationsView(
        at,
        (
            Job(f"j-31{text}", f"retrain shop{text}", "running", NOW - 400, 400, 0.42, f"epoch 5 of 12, ndcg@10 0.131{text}"),
            Job("j-30", "export", "failed", NOW - 9000, 12.5, None, "disk full"),
        ),
        (f"retrain{text}", "export"),
        (
            Key(f"k1{text}", f"shop front{text}", f"gk_a81{text}", ("ingest", "read"), NOW - 9e6),
            Key("k2", "old app", "gk_77c", ("read",), NOW - 9e7, True),
        ),
        fresh_key=f"gk_a81f0c{text}",
        audit=(AuditLine(NOW, f"admin{text}", f"promoted 000012{text}"),),
    )
    user = User(
        f"42{text}",
        (("first seen", "2025-11-02"), (f"device{text}", f"phone{text}")),
        (f"session-81{text}",),
        history(text),
        ((f"home{text}", shown(text), f"home-blend/blend{text}"),),
        ((f"home-blend{text}", f"blend{text}"),),
    )
    item = Item(
        f"7{text}",
        f"Alien (1979){text}",
        "/x.png",
        False,
        ((f"genres{text}", f"Horror, Science fiction{text}"),),
        f"In space no one can hear you scream.{text}",
        ((f"shown{text}", 20_411.0), ("clicks", 1204.0)),
        hours("Shown and clicked", "count", "shown", "clicks"),
        shown(text),
    )
    preview = Preview(
        f"42{text}",
        shown(text, True),
        shown(text),
        f"no horror{text}",
        history(text),
        ((f"model{text}", f"000012{text}"), ("took", "18 ms")),
        f"text search is down{text}",
        f"home-blend/blend{text}",
    )
    surfaces = SurfacesView(at, (f"home{text}", "cart"), f"home{text}", f"42{text}", (f"no horror{text}",), f"no horror{text}", preview)
    return {
        "overview": (render_overview, overview),
        "surfaces": (render_surfaces, surfaces),
        "request": (render_inspector, InspectorView(at, f"req{text}", request)),
        "requests": (render_inspector, InspectorView(at, "", None, (line, replace(line, degraded=False)))),
        "user": (render_users, UsersView(at, f"42{text}", user)),
        "users": (render_users, UsersView(at, "", None, (UserLine(f"42{text}", 31, NOW), UserLine("43", 0, None)))),
        "item": (render_items, ItemsView(at, "", item)),
        "items": (
            render_items,
            ItemsView(
                at,
                f"alien{text}",
                None,
                (ItemLine(f"7{text}", f"Alien (1979){text}", 20_411, 1204, False),),
                1682,
                "/dashboard/items?query=a&after=7",
            ),
        ),
        "models": (render_models, ModelsView(at, models, ladder, ((NOW, f"admin promoted 000012{text}"),))),
        "experiment": (
            render_experiments,
            ExperimentsView(at, experiments, experiments[0], findings, definition=f"name: home-blend{text}"),
        ),
        "experiments": (render_experiments, ExperimentsView(at, experiments, missing=f"basket{text}")),
        "off-policy": (render_off_policy, off),
        "data": (render_data_quality, quality),
        "operations": (render_operations, operations),
        "login": (render_login, LoginView(f"token{text}", f"/dashboard{text}", f"This key does not open this door{text}")),
        "error": (
            render_error,
            ErrorView(404, Problem(f"Nothing is here{text}", f"There is no page of this name{text}", f"genre serve{text}")),
        ),
    }


def empty() -> dict[str, Page]:
    """Every page before anything happened."""
    at = frame()
    planned = ExperimentLine("posters", "planned")
    return {
        "overview": (render_overview, OverviewView(at)),
        "surfaces": (render_surfaces, SurfacesView(at)),
        "surfaces, nobody chosen": (render_surfaces, SurfacesView(at, ("home",), "home")),
        "surfaces, a stranger": (render_surfaces, SurfacesView(at, ("home",), "home", "new", preview=Preview("new", ()))),
        "requests": (render_inspector, InspectorView(at)),
        "requests, not found": (render_inspector, InspectorView(at, "req-0")),
        "request without stages": (render_inspector, InspectorView(at, "r", Request(RequestLine("r", NOW, "home", "42", 1.0)))),
        "users": (render_users, UsersView(at)),
        "users, not found": (render_users, UsersView(at, "0042")),
        "user without a past": (render_users, UsersView(at, "42", User("42"))),
        "items": (render_items, ItemsView(at)),
        "items, not found": (render_items, ItemsView(at, "zebra")),
        "item of an id only": (render_items, ItemsView(at, "", Item("7"))),
        "models": (render_models, ModelsView(at)),
        "experiments": (render_experiments, ExperimentsView(at)),
        "experiment, planned": (render_experiments, ExperimentsView(at, (planned,), planned)),
        "experiment, refused": (render_experiments, ExperimentsView(at, draft="name: [", refused=True)),
        "off-policy": (render_off_policy, OffPolicyView(at)),
        "data": (render_data_quality, DataQualityView(at)),
        "data without findings": (render_data_quality, DataQualityView(at, "s", (("users", "3"),))),
        "operations": (render_operations, OperationsView(at)),
        "login": (render_login, LoginView("token")),
    }


def young() -> dict[str, Page]:
    """Charts an hour after the first list: one time of two days has a value, one day was looked at."""
    at, day = frame(), hours("Latency", "ms", "p50", "p99")
    once = replace(day, series=tuple(replace(one, values=(*[None] * 40, 12.0, *[None] * 7)) for one in day.series))
    line = ExperimentLine("home", "running", started=NOW)
    found = Findings("Hold", "idle", (), "split as planned", "good", (("clicks", interval("clicks", [1])),), (), (), (), (), (), ())
    return {
        "overview": (render_overview, OverviewView(at, tiles=(Tile("lists", "4,000"),), latency=once)),
        "experiment": (render_experiments, ExperimentsView(at, (line,), line, found)),
    }


def troubled() -> dict[str, Page]:
    """Every page inside the frame, with a problem in place of its content and a notice above."""
    problem = Problem("The event log cannot be read", "The database does not answer. Start it, or check its address.", "genre doctor")
    pages = {}
    for name, (render, view) in full().items():
        if hasattr(view, "frame"):
            pages[name] = (
                render,
                replace(view, frame=replace(view.frame, problem=problem, notice=Notice("Rolled back to 000011.", "warn"))),
            )
    return pages
