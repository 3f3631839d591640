"""Candidates against the log of a run's own lists, in the synthetic world where every click's probability is known."""

# R requests, S places

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genre.component import build
from genre.counterfactual import Replay, against, parse_policy, replayed
from genre.data.synthetic import World, WorldConfig
from genre.evaluation.off_policy.log import read_log
from genre.evaluation.off_policy.logged import Logged, NoOverlap
from genre.evaluation.off_policy.plot import weight_bars, write_weights
from genre.evaluation.off_policy.study import Study, study
from genre.policies import Policy
from genre.recommender import Recommender
from genre.runs import Run

WORLD = World(WorldConfig(users=120, items=60, seed=3))
PLACES, REQUESTS = 3, 800
LOGGING = {"use": "plackett_luce", "temperature": 1.0}


def serve(run: Run, folder: Path, policy: dict[str, Any], requests: int = REQUESTS, seed: int = 0) -> float:
    """Serve random users by a policy, log it, and give back what its slates earn in expectation, a request."""
    recommender = Recommender.load(run.folder)
    recommender.policy = build(Policy, policy)
    rng = np.random.default_rng(seed)
    users = rng.integers(120, size=requests)
    state = WORLD.replay(recommender.dataset.everything)
    names = recommender.dataset.users["user_id"]
    place_of = {item: i for i, item in enumerate(WORLD.item_ids)}
    scores_UN = recommender.ranker.score(recommender.dataset.everything)
    exposures, events, expected = [], [], []
    world_row = {user: u for u, user in enumerate(WORLD.user_ids)}
    for r, user in enumerate(users.tolist()):
        history = recommender.dataset.everything.items(user)
        allowed = np.setdiff1d(np.arange(60), history)
        allowed = allowed[np.argsort(-scores_UN[user][allowed], kind="stable")]
        slate = recommender.policy.select(recommender.shelf.candidates(allowed, scores_UN[user][allowed], history), PLACES, rng)
        items = recommender.items["item_id"].gather(slate.item_idx).to_list()
        row = np.array([world_row[names[user]]])
        chance_S = WORLD.click_probability(row, state.take(np.array([user])), np.array([[place_of[item] for item in items]]))[0]
        expected.append(chance_S.sum())
        names_of = {"request_id": f"r{r}", "unit": names[user], "surface": "home", "variant": "a", "model": "1", "policy": policy["use"]}
        exposures.append({**names_of, "items": items, "positions": list(range(PLACES)), "propensities": slate.propensities.tolist()})
        for item, clicked in zip(items, rng.random(PLACES) < chance_S, strict=True):
            if clicked:
                events.append({"type": "click", "request_id": f"r{r}", "item_id": item, "user_id": names[user]})
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(exposures).write_parquet(folder / "exposures.parquet")
    pl.DataFrame(events).write_parquet(folder / "events.parquet")
    return float(np.mean(expected))


@pytest.fixture(scope="module")
def log_folder(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    serve(small_run, folder, LOGGING, seed=3)
    return folder


@pytest.fixture(scope="module")
def logged(small_run: Run, log_folder: Path) -> Logged:
    """A less exploring candidate's side of the log."""
    return against(small_run.folder, read_log(log_folder), {"use": "plackett_luce", "temperature": 0.6})


@pytest.fixture(scope="module")
def greedier(logged: Logged) -> Study:
    return study(logged)


def test_the_logging_policy_replays_to_weights_of_one(small_run: Run, log_folder: Path) -> None:
    logged = against(small_run.folder, read_log(log_folder), LOGGING)
    assert logged.target_RS == pytest.approx(logged.logging_RS, rel=1e-4)
    found = study(logged)
    assert found.overlap.effective == pytest.approx(REQUESTS, rel=1e-6)
    assert found.line("ips").value.mean == pytest.approx(found.logged.mean, rel=1e-4)
    assert found.verdict.startswith("no difference can be shown")


def test_another_policys_value_is_found(small_run: Run, greedier: Study, tmp_path: Path) -> None:
    truth = serve(small_run, tmp_path / "truth", {"use": "plackett_luce", "temperature": 0.6}, 4000)
    for name in ("ips", "snips", "dr", "cascade_ips", "cascade_dr"):
        value = greedier.line(name).value
        slack = 0.03 * truth  # the truth is a mean over drawn slates itself
        assert value.low - slack <= truth <= value.high + slack, name
    assert greedier.main == "cascade_dr"
    assert greedier.line("cascade_dr").value.half < greedier.line("ips").value.half


def test_the_verdict_is_in_words_with_its_figures(greedier: Study) -> None:
    assert "a request against" in greedier.verdict
    assert "by cascade_dr" in greedier.verdict
    assert json.loads(json.dumps(greedier.as_dict()))["verdict"] == greedier.verdict
    header, rows = greedier.table()
    assert [row[0] for row in rows] == ["(logged)", "ips", "snips", "dm", "dr", "switch_dr", "cascade_ips", "cascade_dr"]
    assert all(len(row) == len(header) for row in rows)


def test_a_table_of_propensities_is_a_candidate_too(log_folder: Path, logged: Logged, greedier: Study, tmp_path: Path) -> None:
    log = read_log(log_folder)
    table = pl.DataFrame({"request_id": log.exposures["request_id"], "propensities": logged.target_RS.tolist()})
    table.sample(fraction=1.0, shuffle=True, seed=1).write_parquet(tmp_path / "mine.parquet")
    found = study(against(tmp_path / "mine.parquet", log))
    assert [line.name for line in found.lines] == ["ips", "snips", "cascade_ips"]
    ours, theirs = found.line("cascade_ips").value, greedier.line("cascade_ips").value
    assert (ours.mean, ours.low, ours.high) == pytest.approx((theirs.mean, theirs.low, theirs.high))
    with pytest.raises(ValueError, match="is a table of propensities"):
        against(tmp_path / "mine.parquet", log, {"use": "greedy"})
    table.head(5).write_parquet(tmp_path / "short.parquet")
    with pytest.raises(ValueError, match=r"one propensity an item for every request of the log; request 'r5' \(795 in all\)"):
        against(tmp_path / "short.parquet", log)
    with pytest.raises(FileNotFoundError, match="a run's folder, or a Parquet file of its propensities"):
        against(tmp_path / "nothing", log)


def test_marginals_of_both_sides_bring_the_pseudo_inverse(log_folder: Path, logged: Logged, tmp_path: Path) -> None:
    exposures = pl.read_parquet(log_folder / "exposures.parquet").with_columns(marginals="propensities", rewards=pl.lit([1.0, 0.0, 1.0]))
    exposures.write_parquet(tmp_path / "log.parquet")
    log = read_log(tmp_path / "log.parquet")
    table = pl.DataFrame({"request_id": exposures["request_id"], "propensities": logged.target_RS.tolist()})
    table.with_columns(marginals="propensities").write_parquet(tmp_path / "mine.parquet")
    found = study(against(tmp_path / "mine.parquet", log)).line("pseudo_inverse").value
    assert found.mean == pytest.approx(2 * float(((logged.target_RS / logged.logging_RS).sum(1) - 2).mean())), "two clicks on every slate"


def test_a_greedy_candidate_has_little_overlap_and_is_told_so(small_run: Run, log_folder: Path) -> None:
    found = study(against(small_run.folder, read_log(log_folder), {"use": "greedy"}))
    assert found.overlap.zero > REQUESTS / 2
    assert any("worth only" in warning for warning in found.overlap.warnings)


def test_a_candidate_of_other_items_has_no_overlap(small_run: Run, log_folder: Path, tmp_path: Path) -> None:
    exposures = pl.read_parquet(log_folder / "exposures.parquet")
    strange = exposures.with_columns(pl.col("items").list.eval("x" + pl.element()))
    strange.with_columns(rewards=pl.lit([0.0, 0.0, 1.0])).write_parquet(tmp_path / "strange.parquet")
    with pytest.raises(NoOverlap, match="no overlap: of 800 logged slates the candidate could have shown none"):
        study(against(small_run.folder, read_log(tmp_path / "strange.parquet"), LOGGING))


def test_logged_candidates_are_the_ones_chosen_from(small_run: Run, log_folder: Path, tmp_path: Path) -> None:
    exposures = pl.read_parquet(log_folder / "exposures.parquet").head(50)
    # Had there been nothing else to choose from, every slate would have been a permutation of three items.
    exposures = exposures.with_columns(candidates=pl.col("items"), rewards=pl.lit([0.0, 0.0, 1.0]))
    exposures.write_parquet(tmp_path / "few.parquet")
    logged = against(small_run.folder, read_log(tmp_path / "few.parquet"), {"use": "epsilon", "epsilon": 1.0})
    assert logged.target_RS == pytest.approx(np.tile([1 / 3, 1 / 2, 1.0], (50, 1)))


def test_only_what_a_unit_did_before_a_request_is_known_to_it(small_run: Run, log_folder: Path, tmp_path: Path) -> None:
    exposures = pl.read_parquet(log_folder / "exposures.parquet").head(3)
    dataset_user = exposures["unit"].to_list()
    exposures = exposures.with_columns(time=pl.Series([0.0, 1e12, None]), rewards=pl.lit([0.0, 0.0, 1.0]))
    exposures.with_columns(unit=pl.Series([dataset_user[0], dataset_user[1], "a stranger"])).write_parquet(tmp_path / "times.parquet")
    replay = Replay.load(small_run.folder, read_log(tmp_path / "times.parquet"), None, None)
    lengths = replay.queries(np.arange(3)).lengths
    users = dict(zip(replay.dataset.users["user_id"], replay.dataset.everything.lengths, strict=True))
    assert lengths.tolist() == [0, users[dataset_user[1]], 0]


def test_replaying_twice_gives_the_same_estimates(small_run: Run, log_folder: Path, tmp_path: Path) -> None:
    exposures = pl.read_parquet(log_folder / "exposures.parquet").head(60).with_columns(rewards=pl.lit([0.0, 0.0, 1.0]))
    exposures.write_parquet(tmp_path / "log.parquet")
    replay = Replay.load(small_run.folder, read_log(tmp_path / "log.parquet"), {"use": "thompson", "draws": 8}, None)
    first, second = replayed(replay, 4), replayed(replay, 4)
    assert np.array_equal(first.target_RS, second.target_RS)
    assert first.predicted is not None and second.predicted is not None
    assert np.array_equal(first.predicted.drawn_RS, second.predicted.drawn_RS)


def test_the_plot_counts_every_request_once(logged: Logged, greedier: Study, tmp_path: Path) -> None:
    assert sum(count for _, count in weight_bars(logged.weight_R)) == REQUESTS
    assert dict(weight_bars(np.array([0.0, 0.5, 1.0, 2000.0])))["to 1"] == 2
    write_weights(tmp_path / "ope.svg", logged, greedier)
    assert (tmp_path / "ope.svg").read_text().startswith("<svg xmlns")


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("mmr", {"use": "mmr"}),
        ("{use: mmr, diversity: 0.3}", {"use": "mmr", "diversity": 0.3}),
        ("[long_tail, mmr]", {"use": "chain", "of": ["long_tail", "mmr"]}),
        (None, None),
    ],
)
def test_a_policy_can_be_written_on_one_line(text: str | None, settings: dict[str, Any] | None) -> None:
    assert parse_policy(text) == settings


@pytest.mark.parametrize(("text", "says"), [("{use", "is not YAML"), ("3", "write a name, a mapping")])
def test_what_is_no_policy_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_policy(text)


def test_the_command_prints_estimates_and_a_verdict_and_draws_the_weights(small_run: Run, log_folder: Path, tmp_path: Path) -> None:
    policy = "{use: plackett_luce, temperature: 0.6}"
    command = [sys.executable, "-m", "genre.cli", "ope", str(small_run.folder), "--against", str(log_folder), "--policy", policy]
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
    assert "cascade_dr" in done.stdout
    assert "verdict" in done.stdout
    assert "weights: ope.svg" in done.stdout
    assert (tmp_path / "ope.svg").is_file()
    done = subprocess.run([*command, "--reward", "click=lots"], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 1
    assert "--reward click=lots: 'lots' is not a number" in done.stderr
