"""Who sees what: uniform, independent between salts, sticky, exclusive within a layer, and fast."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from genre.experiments.assignment import Assigner, check_layers, position, thresholds
from genre.experiments.definition import ExperimentConfig, ExperimentError
from genre.experiments.exposure import Exposure, FirstShow, Merges
from genre.experiments.loading import parse_experiment
from genre.experiments.state import Experiment

UNITS = [f"user-{i}" for i in range(20_000)]
DAY = 86_400.0


def config(name: str = "home", **more: Any) -> ExperimentConfig:
    tree = {"variants": {"old": {}, "new": {}}, "metrics": {"ctr": {"use": "rate", "event": "click"}}, "primary": "ctr"}
    return parse_experiment({"name": name, **tree, **more})


def running(name: str = "home", **more: Any) -> Experiment:
    return Experiment(config=config(name, **more)).start(0.0)


def variants(assigner: Assigner, name: str = "home", now: float = 1.0) -> list[str | None]:
    return [assigner.assign(unit, name, now).variant for unit in UNITS]


def test_positions_are_uniform() -> None:
    at = [position("salt", unit) for unit in UNITS]
    assert stats.kstest(at, "uniform").pvalue > 0.01
    assert min(at) >= 0 and max(at) < 1


def test_positions_of_two_salts_are_independent() -> None:
    grid, *_ = np.histogram2d([position("a", unit) for unit in UNITS], [position("b", unit) for unit in UNITS], bins=10)
    assert stats.chi2_contingency(grid).pvalue > 0.01


def test_positions_never_change() -> None:
    assert position("home/variant", "user-7") == pytest.approx(0.43682745507)


@given(st.text(), st.text())
def test_any_text_has_a_place(salt: str, unit: str) -> None:
    assert 0 <= position(salt, unit) < 1


def test_variants_get_their_weights() -> None:
    found = variants(Assigner([running(variants={"a": {"weight": 1}, "b": {"weight": 3}, "c": {"weight": 6}})]))
    counts = [found.count(name) for name in "abc"]
    assert stats.chisquare(counts, np.array([0.1, 0.3, 0.6]) * len(UNITS)).pvalue > 0.01


def test_experiments_with_their_own_salts_mix_and_with_one_salt_agree() -> None:
    one, other, same = (variants(Assigner([running(name, salt=salt)]), name) for name, salt in (("a", None), ("b", None), ("c", "a")))
    table = [[sum(x == i and y == j for x, y in zip(one, other, strict=True)) for j in ("old", "new")] for i in ("old", "new")]
    assert stats.chi2_contingency(table).pvalue > 0.01
    assert one == same


def test_the_ramp_only_adds_units() -> None:
    assigner = Assigner([running(ramp=[{"day": 0, "share": 0.1}, {"day": 2, "share": 0.5}, {"day": 4, "share": 1}])])
    days = [variants(assigner, now=day * DAY) for day in (0, 1.9, 2, 4)]
    taking = [sum(variant is not None for variant in day) / len(UNITS) for day in days]
    assert taking == pytest.approx([0.1, 0.1, 0.5, 1.0], abs=0.01)
    for earlier, later in itertools.pairwise(days):
        assert all(was in (None, now) for was, now in zip(earlier, later, strict=True))
    assert assigner.assign(UNITS[days[0].index(None)], "home", 0).why == "not yet ramped up"


def test_a_ramp_that_begins_later_begins_with_nobody() -> None:
    assigner = Assigner([running(ramp=[{"day": 1, "share": 1}])])
    assert set(variants(assigner, now=DAY - 1)) == {None}
    assert None not in variants(assigner, now=DAY)


def test_slices_of_a_layer_share_nobody_and_leave_nobody_out() -> None:
    assigner = Assigner(
        [running("a", layer={"name": "home", "stop": 0.3}), running("b", layer={"name": "home", "start": 0.3}), running("c")]
    )
    a, b, c = (variants(assigner, name) for name in "abc")
    assert all((x is None) != (y is None) for x, y in zip(a, b, strict=True))
    assert sum(x is not None for x in a) / len(UNITS) == pytest.approx(0.3, abs=0.01)
    assert None not in c


def test_overlapping_slices_are_refused_and_named_unless_one_is_stopped() -> None:
    one, other = running("a", layer={"stop": 0.6}), running("b", layer={"start": 0.5})
    with pytest.raises(ExperimentError, match="'a' and 'b' overlap in layer 'default'"):
        Assigner([other, one])
    Assigner([other, one.stop(1.0, "done")])
    with pytest.raises(ExperimentError, match="'y' 0 to 1 and 'z' 0 to 1; stop the one that runs"):
        check_layers([config("y"), config("z")])


def test_the_hold_out_is_in_no_experiment() -> None:
    apart = running("apart", hold_out=True, variants={"held": {}, "rest": {"weight": 19}})
    assigner = Assigner([running("a", layer={"name": "one"}), running("b", layer={"name": "two"}), apart])
    a, b, held = variants(assigner, "a"), variants(assigner, "b"), variants(assigner, "apart")
    assert [x is None for x in a] == [y is None for y in b] == [z == "held" for z in held]
    assert a.count(None) / len(UNITS) == pytest.approx(0.05, abs=0.01)
    assert assigner.assign(UNITS[held.index("held")], "a", 1.0).why == "held out of all experiments"
    assert None not in variants(Assigner([running("a"), apart.stop(9.0, "measured")]), "a")


def test_a_hold_out_is_one_and_about_everybody() -> None:
    apart = running("apart", hold_out=True)
    with pytest.raises(ExperimentError, match="'apart' and 'other' are both hold-outs"):
        Assigner([apart, running("other", hold_out=True)])
    serving: dict[str, Any] = {"a": {}, "b": {"serve": {"model": "1"}}}
    three: dict[str, Any] = {"a": {}, "b": {}, "c": {}}
    wrong: list[dict[str, Any]] = [{"layer": {"stop": 0.5}}, {"variants": serving}, {"variants": three}]
    for more in wrong:
        with pytest.raises(ExperimentError, match="hold_out: "):
            running("apart", hold_out=True, **more)


def test_an_experiment_assigns_only_while_it_runs() -> None:
    planned = Experiment(config=config())
    assert variants(Assigner([planned]))[0] is None
    started = planned.start(100.0)
    assigner = Assigner([started])
    assert assigner.assign("u", "home", 99.0).variant is None
    assert assigner.assign("u", "home", 100.0).variant is not None
    stopped = Assigner([started.stop(200.0, "done")]).assign("u", "home", 300.0)
    assert (stopped.variant, stopped.why) == (None, "the experiment is stopped")


def test_a_session_that_logs_in_keeps_its_variant() -> None:
    merges = Merges()
    assigner = Assigner([running()], roots=merges.roots)
    sessions = [f"session-{i}" for i in range(50)]
    before = [assigner.assign(session, "home", 1.0).variant for session in sessions]
    for i, session in enumerate(sessions):
        assert merges.join(session, f"account-{i}") == session
    assert [assigner.assign(f"account-{i}", "home", 2.0).variant for i in range(50)] == before


def test_merges_chain_repeat_and_are_plain_data() -> None:
    merges = Merges()
    merges.join("a", "b")
    merges.join("c", "d")
    merges.join("a", "d")  # d stands for c, so c's people follow
    merges.join("a", "d")
    merges.join("d", "a")
    assert merges.roots == {"b": "a", "c": "a", "d": "a"}
    again = Merges(merges.roots)
    again.join("z", "a")
    assert {again.root(unit) for unit in "abcdz"} == {"z"}
    assert merges.root("a") == "a"


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8))))
def test_joined_ids_always_share_a_root_that_is_its_own(joins: list[tuple[int, int]]) -> None:
    merges = Merges()
    for first, later in joins:
        merges.join(str(first), str(later))
    for first, later in joins:
        assert merges.root(str(first)) == merges.root(str(later))
    assert all(merges.root(root) == root for root in merges.roots.values())


def test_a_unit_is_exposed_once_an_experiment() -> None:
    shows = FirstShow([("home", "known")])
    assert shows.show("home", "known", "old", 1.0) is None
    assert shows.show("home", "u", "new", 2.0) == Exposure("home", "u", "new", 2.0)
    assert shows.show("home", "u", "new", 3.0) is None
    assert shows.show("cart", "u", "old", 4.0) is not None


def test_the_memory_of_shows_is_bounded() -> None:
    shows = FirstShow(capacity=2)
    assert all(shows.show("home", unit, "old", 0.0) for unit in ("a", "b", "c"))
    assert shows.show("home", "c", "old", 1.0) is None
    assert shows.show("home", "a", "old", 1.0) is not None


def test_the_last_edge_is_one_whatever_the_rounding() -> None:
    edges = thresholds(config(variants={f"v{i}": {"weight": 0.1} for i in range(7)}))
    assert edges[-1] == ("v6", 1.0)
    assert [edge for _, edge in edges] == sorted(edge for _, edge in edges)


def test_assignment_does_not_hang_on_the_order_of_keys() -> None:
    tree = {"b": {"weight": 2}, "a": {}, "c": {}}
    ordered = running(control="b", variants=tree)
    stored = running(control="b", variants=dict(sorted(tree.items())))
    assert variants(Assigner([ordered])) == variants(Assigner([stored]))
    assert running(variants=tree).config.control == "b"


def test_assigning_takes_microseconds() -> None:
    assigner = Assigner([running(layer={"stop": 0.9}, ramp=[{"day": 0, "share": 0.9}]), running("apart", hold_out=True)])
    started = time.process_time()
    for unit in UNITS:
        assigner.assign(unit, "home", 1.0)
    assert (time.process_time() - started) / len(UNITS) < 200e-6


def test_no_unit_and_no_experiment_are_refused() -> None:
    assigner = Assigner([running()])
    with pytest.raises(ExperimentError, match="no experiment 'hom'; there is home"):
        assigner.assign("u", "hom", 1.0)
    with pytest.raises(ExperimentError, match="without an id"):
        assigner.assign("", "home", 1.0)
