"""The closed loop: serve, learn from what was served, estimate before anybody sees it, test; if the test says so promote, roll back."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import Field, PositiveFloat, PositiveInt

from genre import pipeline
from genre.component import Settings
from genre.config import GenreConfig, dump_config, parse_config
from genre.counterfactual import against
from genre.data.synthetic import World, WorldConfig
from genre.demo.report import Claim, LoopReport, Stage
from genre.demo.server import serving
from genre.demo.visitors import Shown, Visitors
from genre.evaluation.off_policy.log import read_log
from genre.evaluation.off_policy.study import Study, study
from genre.serving.archive import ARCHIVE, archive
from genre.serving.client import Client
from genre.serving.settings import open_store
from genre.serving.store.assignments import label
from genre.serving.store.schema import exposures
from genre.updating import WORK, update

SURFACE = "home"
EXPERIMENT = "personal"
CONTROL, TREATMENT = "popular", "personal"
PROMISED = 10.0
"""Seconds after which a change that is promised within two is given up."""


class LoopConfig(Settings):
    """How large the demonstration is."""

    users: int = Field(2000, ge=200)
    items: PositiveInt = 200
    places: PositiveInt = 3
    """Of a list. The longer it is, the less likely one policy shows what the other would have shown."""
    rounds: PositiveInt = 2
    """Lists that everybody asks for while estimates and tests are made."""
    temperature: PositiveFloat = 2.5
    """Of the policy, the same for both models: what is never shown, no log can judge."""
    min_days: int = Field(0, ge=0, le=1)
    """Before the test may find for the new model. The demonstration takes minutes: 1 keeps what is popular."""
    seed: int = 0

    def world(self) -> WorldConfig:
        """Tastes differ, a few items do not outshine all others, and users do not tire of everything they like within the demonstration."""
        return WorldConfig(seed=self.seed, users=self.users, items=self.items, taste=2.0, popularity=0.5, boredom=0.1, events_per_user=15)


def run_loop(settings: LoopConfig, folder: Path, say: Callable[[str], None]) -> LoopReport:
    """Everything, from an empty folder, against a server that runs as a process of its own and is spoken to over HTTP alone.

    Args:
        say: told each step as it begins.

    Raises:
        FileExistsError: the folder is not empty.
        RuntimeError: the server does not start, or a step of the loop could not be taken.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; name another with --folder, or delete it")
    began = time.monotonic()
    config = configured(settings)
    say(f"train on the past of {settings.users:,} users, publish their most popular items")
    first = config.model_copy(update={"serve": "popularity"})
    popular = pipeline.publish(first, pipeline.run(first, folder=folder)).name
    # What is trained next: as if somebody had changed `serve` in the configuration.
    (folder / "config.yaml").write_text(dump_config(config))
    world = World(settings.world())
    with serving(folder) as url, Client(url, timeout=30) as client:
        visitors = Visitors(world, client, SURFACE, settings.places, settings.seed)
        stages = []

        def come(name: str, rounds: int) -> Shown:
            say(f"{settings.users:,} users come to the server: {name}")
            shown = visitors.come(name, rounds)
            stages.append(Stage(name, shown))
            return shown

        come("popularity, to learn from", 1)
        say("retrain from the served log: genre update --wait")
        # Published even if a ranking metric says worse: on a log of popularity's own lists it may favour popularity. The test decides.
        made = update(folder, tolerance=1.0, promote=False)
        if made.model is None:
            raise RuntimeError(f"the new model finds nothing of the newest events ({made.candidate}): there is nothing to test")
        learnt = time.time()
        seen = come("popularity, to estimate from", settings.rounds)
        say(f"estimate {made.model} off-policy, before anybody has seen it: genre ope")
        claimed = estimated(folder, learnt, len(seen.user_L), settings.seed)
        say(f"A/B test of {popular} against {made.model}")
        client.admin.define(experiment(popular, made.model, settings))
        client.admin.start(EXPERIMENT)
        _until(lambda: EXPERIMENT in client.admin.served(), "start the experiment")
        tested = come("A/B test", settings.rounds)
        report = _reported(client, settings.users)
        why = f"{report['verdict']}: {report['reasons'][0]}"
        if report["experiment"]["status"] == "running":  # a guardrail that broke has stopped it
            client.admin.stop(EXPERIMENT, f"everybody of the demonstration came; the verdict is {why}")
            report = client.admin.report(EXPERIMENT)
        if report["verdict"] == "ship":
            say(f"promote {made.model}; {why}")
            client.admin.promote(made.model)
            _until(lambda: client.admin.models()["serving"] == made.model, "promote")
            come(f"{made.model}, promoted", settings.rounds)
            say(f"roll back to {popular}, as one would if something went wrong with {made.model}")
            client.admin.rollback()
            _until(lambda: client.admin.models()["serving"] == popular, "roll back")
            come(f"{popular}, rolled back to", 1)
            outcome = f"{made.model} was promoted: {why}; then rolled back to {popular}, as one would if something went wrong"
        else:
            outcome = f"{popular} is kept: {why}; nothing was promoted, so there is nothing to roll back"
            say(outcome)
        audit = client.admin.audit(20)[::-1]
    told, off_policy = claimed
    claims = told, _measured(report, settings.rounds), _known(tested)
    return LoopReport(
        users=settings.users, update=made, claims=claims, off_policy=off_policy, report=report, stages=tuple(stages), audit=tuple(audit),
        outcome=outcome, seconds=time.monotonic() - began,
    )  # fmt: skip


def configured(settings: LoopConfig) -> GenreConfig:
    """The recommender: its first bundle serves what is popular, the next what each user may like."""
    policy = {"use": "plackett_luce", "temperature": settings.temperature}
    tree: dict[str, Any] = {
        "name": "loop",
        "seed": settings.seed,
        "data": {"reader": {"use": "synthetic", **settings.world().model_dump()}},
        "rankers": {"popularity": {"use": "popularity"}, "ease": {"use": "ease", "l2": 100.0}},
        "policy": policy,
        # A busy machine should not turn into degraded lists, which would be left out of the estimate.
        "surfaces": {SURFACE: {"sources": ["model"], "candidates": settings.items, "deadline_ms": 5000}},
        "evaluate": {"users": 500, "resamples": 100},
    }
    return parse_config(tree, Path("loop.yaml"))


def experiment(control: str, treatment: str, settings: LoopConfig) -> dict[str, Any]:
    """The test, written down before it starts."""
    return {
        "name": EXPERIMENT,
        "hypothesis": "Lists by what users chose before get more clicks than lists of what is popular.",
        "surface": SURFACE,
        "variants": {CONTROL: {"serve": {"model": control}}, TREATMENT: {"serve": {"model": treatment}}},
        "metrics": {
            "clicks": {"use": "mean", "event": "click"},
            "degraded": {"use": "degraded", "better": "lower"},
        },
        "primary": "clicks",
        "guardrails": {
            "slow": {"use": "latency", "quantile": 0.99, "margin": 1.0, "stop": False},
            "narrow": {"use": "coverage", "margin": 0.5},
        },
        "days": 1,
        "min_days": settings.min_days,
        "min_units": 50,
        "planned_units": settings.users,
    }


def estimated(run: Path, since: float, lists: int, seed: int) -> tuple[Claim, Study]:
    """What the log of popularity says of the model that was just made, once all the lists shown are in it."""
    logged_since = sa.select(sa.func.count()).select_from(exposures).where(exposures.c.time >= since)
    with closing(open_store(run)) as store:

        def complete() -> bool:
            with store.read() as connection:
                return bool(connection.execute(logged_since).scalar_one() >= lists)

        _until(complete, "log every list")
        archive(store, run / ARCHIVE)
    log = read_log(run / ARCHIVE, {"click": 1.0}, since=since)
    found = study(against(run / WORK, log, seed=seed), seed=seed)
    line, logged = found.line(found.main), found.logged.mean
    low, high = line.gain.low / logged, line.gain.high / logged
    claim = Claim("off-policy, before launch", logged, line.value.mean, line.gain.mean / logged, low, high)
    return claim, found


def _reported(client: Client, users: int) -> dict[str, Any]:
    """The report, once the last exposures are in the log."""
    report: dict[str, Any] = {}

    def complete() -> bool:
        report.update(client.admin.report(EXPERIMENT))
        return bool(sum(report["units"].values()) == users)

    _until(complete, "log every exposure")
    return report


def _measured(report: dict[str, Any], rounds: int) -> Claim:
    """From clicks a user to clicks a list, of which everybody was shown equally many."""
    found = next(line for line in report["comparisons"] if line["metric"] == "clicks")
    at, scale = found["fixed"], 1.0 if found["relative"] else 1.0 / found["control"]
    control, treatment = found["control"] / rounds, found["treatment"] / rounds
    return Claim("A/B test, one look", control, treatment, at["value"] * scale, at["low"] * scale, at["high"] * scale)


def _known(shown: Shown) -> Claim:
    """What the world itself expected of the very lists that the test showed: chance in clicks is left out, chance in users is not."""
    ours, theirs = (shown.a_list(shown.expected_L, shown.variant_L == label(EXPERIMENT, arm)) for arm in (TREATMENT, CONTROL))
    lift, half = ours.mean / theirs.mean - 1, (ours.half**2 + theirs.half**2) ** 0.5 / theirs.mean
    return Claim("the world, of the test's lists", theirs.mean, ours.mean, lift, lift - half, lift + half)


def _until(done: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PROMISED
    while not done():
        if time.monotonic() > until:
            raise RuntimeError(f"the server did not {what} within {PROMISED:g} seconds; its log is server.log in the run's folder")
        time.sleep(0.1)
