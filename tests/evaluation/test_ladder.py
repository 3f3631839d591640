"""The ladder: verdicts, pairing, seeds, costs, JSON."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genre.evaluation.intervals import Interval
from genre.evaluation.ladder import Ladder, Step, climb, merge, number, signed
from genre.evaluation.protocol import Protocol
from genre.evaluation.result import Result

PROTOCOL = Protocol("leave-last-out", users=200, queries=200, items=50)
RNG = np.random.default_rng(0)
BASE = RNG.random(200)


def result(values: np.ndarray, protocol: Protocol = PROTOCOL) -> Result:
    nothing = Interval(0.0, 0.0, 0.0)
    frame = pl.DataFrame({"user_idx": np.arange(len(values)), "hit_rate@10": np.ceil(values - 0.5), "ndcg@10": values})
    return Result(protocol, {"hit_rate@10": nothing, "ndcg@10": nothing}, {}, {}, [], 0, frame)


def step(name: str, *values: np.ndarray, seconds: float = 1.0) -> Step:
    return Step(name, name.title(), [result(value) for value in values], seconds, 2 * seconds, 100.0)


def test_verdicts_follow_the_interval_of_the_paired_difference() -> None:
    noise = RNG.normal(scale=0.02, size=200)
    ladder = climb([step("a", BASE), step("b", BASE + 0.01), step("c", BASE + 0.01 + noise - noise.mean()), step("d", BASE - 0.1)])
    assert [rung.verdict("ndcg@10") for rung in ladder.rungs] == ["start", "adds", "no difference", "worse"]
    assert ladder.rungs[1].gains["ndcg@10"].mean == pytest.approx(0.01)


def test_values_are_means_over_seeds_then_users_and_the_spread_is_over_seeds() -> None:
    ladder = climb([step("a", BASE), step("b", BASE + 0.1, BASE + 0.3)])
    rung = ladder.rungs[1]
    assert rung.metrics["ndcg@10"].mean == pytest.approx(BASE.mean() + 0.2)
    gain = rung.gains["ndcg@10"]
    assert (gain.mean, gain.low, gain.high) == pytest.approx((0.2, 0.2, 0.2))
    assert rung.spread["ndcg@10"] == pytest.approx(0.2 / np.sqrt(2))
    assert (rung.seeds, ladder.rungs[0].spread) == (2, {})
    assert ladder.caption() == "leave-last-out, full ranking, history masked, 200 users, mean of 2 seeds"


def test_the_table_is_text() -> None:
    header, rows = climb([step("a", BASE, seconds=0.15), step("b", BASE + 0.01, seconds=1250)]).table()
    assert header == ["rung", "hit_rate@10", "ndcg@10", "to the best before", "verdict", "seconds", "CPU s", "peak MB"]
    assert rows[0][0] == "A" and rows[0][3:5] == ["–", "–"] and rows[0][5] == "0.15"
    assert rows[1][3:] == ["+0.0100 ±0.0000", "adds", "1,250", "2,500", "100"]


def test_with_several_seeds_the_table_shows_their_spread() -> None:
    header, rows = climb([step("a", BASE), step("b", BASE, BASE + 0.2)]).table("ndcg@10")
    assert header[2] == "seed spread" and [row[2] for row in rows] == ["–", "0.1414"]


def test_json_gives_the_same_ladder_back(tmp_path: Path) -> None:
    ladder = climb([step("a", BASE), step("b", BASE, BASE + 0.2)])
    ladder.save(tmp_path / "ladder.json")
    assert Ladder.load(tmp_path / "ladder.json") == ladder


def test_runs_that_differ_in_the_seed_merge() -> None:
    runs = [[step("a", BASE, seconds=1)], [step("a", BASE + 0.2, seconds=3)]]
    (merged,) = merge(runs)
    assert (len(merged.results), merged.seconds, merged.cpu_seconds, merged.peak_mb) == (2, 2.0, 4.0, 100.0)
    with pytest.raises(ValueError, match="same rankers in the same order"):
        merge([[step("a", BASE)], [step("b", BASE)]])


def test_other_protocols_and_other_users_cannot_be_compared() -> None:
    unmasked = Step("b", "B", [result(BASE, replace(PROTOCOL, repeats=True))], 1, 1, 1)
    with pytest.raises(ValueError, match=r"repeats allowed.*history masked.*cannot be compared"):
        climb([step("a", BASE), unmasked])
    others = result(BASE)
    others = replace(others, per_user=others.per_user.with_columns(pl.col("user_idx") + 1))
    with pytest.raises(ValueError, match="other users"):
        climb([step("a", BASE), Step("b", "B", [others], 1, 1, 1)])


def test_an_empty_ladder_and_an_unknown_metric_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        climb([])
    with pytest.raises(ValueError, match="no metric 'auc'; measured: hit_rate@10, ndcg@10"):
        climb([step("a", BASE)], main="auc")


def test_differences_carry_a_sign_and_costs_are_short() -> None:
    assert signed(Interval(-0.015, -0.02, -0.01)) == "−0.0150 ±0.005"
    assert [number(value) for value in (0.153, 3.21, 180.4, 1250)] == ["0.15", "3.2", "180", "1,250"]
