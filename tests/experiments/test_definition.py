"""Definitions: strict, and their mistakes named by path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from genre.experiments.definition import ExperimentError
from genre.experiments.loading import load_experiment, parse_experiment, written
from genre.experiments.state import Experiment

TREE: dict[str, Any] = {
    "name": "home",
    "variants": {"old": {}, "new": {"weight": 3, "serve": {"ranker": "blend"}}},
    "metrics": {"ctr": {"use": "ratio", "event": "click", "per": "impression"}, "own": {"use": "rate", "event": "custom:quiz"}},
    "primary": "ctr",
}


def test_a_definition_and_its_course_survive_json_and_yaml(tmp_path: Path) -> None:
    config = parse_experiment({**TREE, "guardrails": {"hides": {"use": "metric", "metric": "own"}}, "logs": {"latency": "ms"}})
    experiment = Experiment(config=config).start(12.5)
    assert Experiment.model_validate(json.loads(json.dumps(experiment.model_dump(mode="json")))) == experiment
    assert parse_experiment(yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))) == config
    assert (config.control, config.treatments, config.shares()) == ("old", ["new"], {"old": 0.25, "new": 0.75})


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"guardrails": {"hides": {"use": "metric", "metric": "own"}, "slow": {"use": "latency", "stop": False}}, "logs": {"latency": "ms"}},
        {"ramp": [{"day": 0, "share": 0.1}, {"day": 2, "share": 1}], "layer": {"start": 0.5}, "cuped_days": None, "control": "new"},
        {"metrics": {"ctr": {"use": "value", "weights": {"click": 1, "hide": -2}}}, "crossed": "drop", "hypothesis": "*é: [x]"},
        {"variants": {"a": {}, "b": {}}, "interleave": True, "metrics": {"ctr": {"use": "mean", "event": "click"}}},
    ],
)
def test_a_definition_that_is_written_is_read_as_the_same(more: dict[str, Any]) -> None:
    config = parse_experiment({**TREE, **more})
    text = written(config)
    assert parse_experiment({**yaml.safe_load(text), "logs": more.get("logs", {})}) == config
    assert "min_days" not in text and "crossed" in text and "use: " in text


def test_a_file_gives_its_name_and_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "cart.yaml"
    file.write_text(yaml.safe_dump({key: value for key, value in TREE.items() if key != "name"} | {"logs": {"events": "e.csv"}}))
    config = load_experiment(file)
    assert (config.name, config.logs.events) == ("cart", tmp_path / "e.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"primry": "ctr"}, "primry: unknown key; did you mean 'primary'?"),
        ({"variants": {"a": {}}}, "variants: dictionary should have at least 2 items"),
        ({"variants": {"a": {"weight": 0}, "b": {}}}, "variants.a.weight: input should be greater than 0, not 0"),
        ({"metrics": {"ctr": {"use": "rate", "event": "clik"}}}, "metrics.ctr.event: there is no event type 'clik'; did you mean 'click'?"),
        ({"metrics": {"ctr": {"use": "rate", "event": "custom:"}}}, "metrics.ctr.event: there is no event type 'custom:'"),
        ({"metrics": {"ctr": {"use": "rate"}}}, "metrics.ctr.event: is missing"),
        ({"metrics": {"ctr": {"use": "value", "weights": {"click": float("nan")}}}}, "metrics.ctr.weights.click: input should be a finite"),
        ({"primary": "sales"}, "primary is 'sales', which is no metric; one of ctr, own"),
        ({"control": "blue"}, "control is 'blue', which is no variant; one of old, new"),
        ({"guardrails": {"g": {"use": "metric", "metric": "x"}}}, "guardrails.g: there is no metric 'x'; one of ctr, own"),
        ({"guardrails": {"g": {"use": "latency"}}}, "guardrails.g: say in logs.latency which column"),
        ({"guardrails": {"g": {"use": "coverage"}}}, "guardrails.g: say in logs.items which column"),
        ({"metrics": {"ctr": {"use": "degraded"}}}, "needs logs.degraded"),
        ({"ramp": [{"day": 0, "share": 0.5}, {"day": 1, "share": 0.2}]}, "ramp: days and shares must grow"),
        ({"ramp": [{"day": 1, "share": 0.5}, {"day": 1, "share": 0.6}]}, "ramp: days and shares must grow"),
        ({"layer": {"start": 0.5, "stop": 0.5}}, "layer: a slice from 0.5 to 0.5 holds nobody"),
        ({"min_days": 20}, "min_days is 20, longer than the 14 days planned"),
        ({"name": "no spaces"}, "name: needs letters, digits, - and _"),
        ({"alpha": 0.7}, "alpha: input should be less than 0.5, not 0.7"),
    ],
)
def test_mistakes_name_their_path(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        parse_experiment({**TREE, **change}, "home.yaml")
    assert f"home.yaml: {message}" in str(caught.value) or message in str(caught.value)
    assert str(caught.value).startswith("home.yaml: ")


def test_files_that_are_no_definition_are_refused(tmp_path: Path) -> None:
    for name, content in (("a.yaml", "- 1"), ("b.yaml", "{"), ("c.yaml", "")):
        (tmp_path / name).write_text(content)
        with pytest.raises(ExperimentError, match=name):
            load_experiment(tmp_path / name)
    (tmp_path / "d.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExperimentError, match="not YAML"):
        load_experiment(tmp_path / "d.yaml")
    with pytest.raises(ExperimentError, match="no such file"):
        load_experiment(tmp_path / "e.yaml")
    with pytest.raises(ExperimentError, match="is a folder"):
        load_experiment(tmp_path)


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["use", "event", "weight", "day", "share"]), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["name", "variants", "metrics", "primary", "ramp", "guardrails", "logs", "layer", "days"]), TREES))
def test_any_tree_is_a_definition_or_refused_in_words(tree: dict[str, Any]) -> None:
    try:
        parse_experiment({**TREE, **tree}, "home.yaml")
    except ExperimentError as error:
        assert str(error).startswith("home.yaml: ")


def test_an_experiment_starts_once_and_stops_with_a_reason(tmp_path: Path) -> None:
    planned = Experiment(config=parse_experiment(TREE))
    with pytest.raises(ExperimentError, match="'home' is planned, so there is nothing to stop"):
        planned.stop(1.0, "why")
    started = planned.start(1.0)
    with pytest.raises(ExperimentError, match="is running: an experiment starts once"):
        started.start(2.0)
    with pytest.raises(ExperimentError, match="say why"):
        started.stop(2.0, " ")
    stopped = started.stop(2.0, "enough")
    with pytest.raises(ExperimentError, match="is stopped: an experiment starts once"):
        stopped.start(3.0)
    file = tmp_path / "home.json"
    started.save(file, new=True)
    with pytest.raises(ExperimentError, match="was started before; it is running"):
        started.save(file, new=True)
    assert [path.name for path in tmp_path.iterdir()] == ["home.json"]
    stopped.save(file)
    assert Experiment.load(file) == stopped
    file.write_text('{"status": "running"}')
    with pytest.raises(ExperimentError, match="no experiment as `start` writes it"):
        Experiment.load(file)
