from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from genre.config import ConfigError, config_schema, dump_config, load_config, merge

MINIMAL = {"data": {"reader": {"use": "synthetic"}}, "rankers": {"popularity": {"use": "popularity"}}}


def write(folder: Path, tree: Any, name: str = "shop.yaml") -> Path:
    file = folder / name
    file.write_text(tree if isinstance(tree, str) else yaml.safe_dump(tree, sort_keys=False))
    return file


def test_the_name_is_the_files_unless_given(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, MINIMAL)).name == "shop"
    assert load_config(write(tmp_path, MINIMAL), ["name=other"]).name == "other"


def test_the_resolved_dump_round_trips_with_the_chosen_components_fields(small_yaml: Path, tmp_path: Path) -> None:
    config = load_config(small_yaml, ["rankers.transitions.window=7", "data.split.use=global-time", "data.split.valid_share=0.2"])
    dumped = dump_config(config)
    assert yaml.safe_load(dumped)["rankers"]["transitions"]["window"] == 7
    assert load_config(write(tmp_path, dumped, "again.yaml")) == config


def test_extends_changes_a_base_and_changes_come_last(tmp_path: Path) -> None:
    write(tmp_path, MINIMAL | {"seed": 1}, "base.yaml")
    variant = write(tmp_path, {"extends": "base.yaml", "seed": 2, "data": {"repeats": True}}, "variant.yaml")
    config = load_config(variant, ["seed=3"])
    assert (config.seed, config.data.repeats, config.data.reader.use) == (3, True, "synthetic")


def test_every_path_starts_at_the_file_that_names_it_though_another_extends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_causal: Path
) -> None:
    base, child, elsewhere = (tmp_path / name for name in ("base", "child", "elsewhere"))
    for folder in (base, child, elsewhere):
        folder.mkdir()
    monkeypatch.chdir(elsewhere)
    shutil.copytree(tiny_causal, base / "lm")
    for name in ("events.csv", "wv/tokenizer.json", "wv/model.safetensors", "ask.j2"):
        (base / name).parent.mkdir(exist_ok=True)
        (base / name).write_text("user,item\n=== user ===\nask")
    (base / "mine_beside_base.py").write_text("from genre import Policy\n\n\nclass Mine(Policy):\n    pass\n")
    reader = {"use": "files", "events": "events.csv", "columns": {"user": "user", "item": "item"}}
    tree = MINIMAL | {
        "data": {"reader": reader},
        "encoders": {"w": {"use": "static", "model": "wv"}, "lm": {"use": "language_model", "model": "lm"}},
        "finetune": {"model": "../base/lm"},
        "policy": "mine_beside_base:Mine",
        "enrich": {"generator": {"use": "local", "model": "lm"}, "cache": "calls.sqlite", "items": {"prompt": "ask.j2"}},
    }
    write(base, tree, "base.yaml")
    write(child, {"extends": "../base/base.yaml", "rankers": {"content": {"use": "content", "content": ["w"]}}}, "child.yaml")
    code = "import sys, genre; from genre.config import dump_config; print(dump_config(genre.load_config(sys.argv[1])))"
    for file in (base / "base.yaml", child / "child.yaml"):
        done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = yaml.safe_load(done.stdout)
        assert found["encoders"]["w"]["model"] == str(base / "wv")
        assert found["encoders"]["lm"]["model"] == found["finetune"]["model"] == found["enrich"]["generator"]["model"] == str(base / "lm")
        assert found["data"]["reader"]["events"] == str(base / "events.csv")
        assert found["enrich"]["items"]["prompt"] == str(base / "ask.j2")
        assert found["enrich"]["cache"] == str(base / "calls.sqlite")


@pytest.mark.parametrize(
    ("encoder", "says"),
    [
        ({"use": "static", "model": "nowhere/wv"}, r"encoders\.w\.model: encoder static: model '.*/nowhere/wv' is not a folder"),
        ({"use": "language_model", "model": "./nowhere"}, r"encoders\.w\.model: model '.*/nowhere' is not a folder"),
    ],
)
def test_a_missing_model_is_found_at_load(tmp_path: Path, encoder: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(write(tmp_path, MINIMAL | {"encoders": {"w": encoder}}))
    load_config(write(tmp_path, MINIMAL | {"encoders": {"w": {"use": "language_model", "model": "owner/on-the-hub"}}}))


def test_extending_itself_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, {"extends": "b.yaml"}, "a.yaml")
    with pytest.raises(ConfigError, match="extends itself"):
        load_config(write(tmp_path, {"extends": "a.yaml"}, "b.yaml"))


def test_another_use_replaces_the_section_and_null_removes_a_key() -> None:
    base = {"rankers": {"a": {"use": "item_knn", "neighbours": 5}, "b": {"use": "popularity"}}}
    assert merge(base, {"rankers": {"a": {"use": "popularity"}, "b": None}}) == {"rankers": {"a": {"use": "popularity"}}}
    assert merge(base, {"rankers": {"a": {"use": "item-knn"}}})["rankers"]["a"] == {"use": "item-knn", "neighbours": 5}


@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3))
)
def test_merging_nothing_changes_nothing(tree: Any) -> None:
    assert merge(tree, {}) == (tree if isinstance(tree, dict) else {})


def test_a_list_of_policies_is_a_chain(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL), ["policy=[{use: long_tail, strength: 0.7}, plackett-luce]"])
    dumped = yaml.safe_load(dump_config(config))
    assert dumped["policy"]["use"] == "chain"
    assert dumped["policy"]["of"][0] == {"use": "long_tail", "scores": "standard", "strength": 0.7}
    assert load_config(write(tmp_path, dumped, "again.yaml")) == config


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("sed=1", "sed: unknown key; did you mean 'seed'?"),
        ("data.repeat=true", "data.repeat: unknown key; did you mean 'repeats'?"),
        ("rankers.popularity.half_life=3", "rankers.popularity.half_life: unknown key; did you mean 'half_life_days'?"),
        ("rankers.popularity.use=popularty", "rankers.popularity: no ranker called 'popularty'; did you mean 'popularity'?"),
        ("data.split.use=never", "data.split: no split called 'never'. Built in: "),
        ("data.split.cold_items=1.5", "data.split.cold_items: input should be less than 1, not 1.5"),
        ("seed=-1", "seed: input should be greater than or equal to 0, not -1"),
        ("serve=best", "serve names the ranker 'best', but there is popularity"),
        ("rankers.text={use: content, content: [words]}", "rankers.text names the encoder 'words', but there is none"),
        ("rankers.mix={use: blend, of: [popularity, ease]}", "rankers.mix names the ranker above it 'ease', but there is popularity"),
        ("rankers=3", "rankers: input should be a valid dictionary, not 3"),
        ("data.reader=nothing", "data.reader: no reader called 'nothing'"),
        ("data.reader=3", "data.reader: needs `use:`, one of"),
        ("evaluate.main=ndcg@7", "evaluate: main is 'ndcg@7', which is not measured"),
        ("name=a/b", "name: string should match pattern"),
        ("data.split.use=mymodule:Mine", "there is no module 'mymodule'; put its file beside the YAML or install it"),
        ("data.split.use=json:loads", "'json:loads' is not a split: it must subclass genre's Split"),
        ("data.split.use=json:Nothing", "module 'json' has no class 'Nothing'"),
        ("policy=gredy", "policy: no policy called 'gredy'; did you mean 'greedy'?"),
        ("policy={use: mmr, diversty: 0.3}", "policy.diversty: unknown key; did you mean 'diversity'?"),
        ("policy=[{use: mmr, diversty: 0.3}]", "policy.of.0.diversty: unknown key; did you mean 'diversity'?"),
        ("policy=[mmr, epsilon, plackett-luce]", "policy: only one policy of a chain can draw; epsilon, plackett-luce do"),
        ("policy=[chain]", "policy.of.0: a chain cannot be inside another"),
        ("noequals", "'noequals' is not a change; write path.to.key=value"),
    ],
)
def test_every_mistake_names_its_path_and_the_fix(tmp_path: Path, change: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(write(tmp_path, MINIMAL), [change])
    assert says in str(error.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(write(tmp_path, MINIMAL), ["sed=1", "evaluate.resamples=1"])
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("content", "says"), [("- a\n- b\n", "must be a mapping"), ("a: [1", "not YAML"), ("data: 3\n", "data: "), ("", "must be a mapping")]
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(write(tmp_path, content))


def test_a_missing_file_suggests_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, MINIMAL, "movies.yaml")
    with pytest.raises(ConfigError, match=r"no such file; is it movies\.yaml\?"):
        load_config(tmp_path / "movie.yaml")


def test_a_missing_data_file_is_found_at_load(tmp_path: Path) -> None:
    tree = MINIMAL | {"data": {"reader": {"use": "files", "events": "nowhere.csv", "columns": {"user": "u", "item": "i"}}}}
    with pytest.raises(ConfigError, match=r"data\.reader\.events: .*nowhere\.csv"):
        load_config(write(tmp_path, tree))


def test_the_schema_accepts_what_loads_and_refuses_what_does_not(small_yaml: Path) -> None:
    schema = json.loads(json.dumps(config_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    tree = yaml.safe_load(small_yaml.read_text())
    jsonschema.validate(tree, schema)
    for policy in ("mmr", {"use": "mmr", "diversity": 0.3}, [{"use": "long_tail"}, "plackett_luce"]):
        jsonschema.validate(merge(tree, {"policy": policy}), schema)
    for file in sorted((Path(__file__).parent.parent / "configs").glob("*.yaml")):
        jsonschema.validate(yaml.safe_load(file.read_text()), schema)
    typo = merge(tree, {"rankers": {"hybrid": {"epoch": 3}}})
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(typo))
    assert [(list(error.path), error.message) for error in errors] == [
        (["rankers", "hybrid"], "Additional properties are not allowed ('epoch' was unexpected)")
    ]
    broken_trees: list[dict[str, Any]] = [
        {"sed": 1},
        {"policy": [{"use": "mmr", "diversty": 0.3}]},
        {"rankers": {"a": {"use": "popularity", "half_life": 3}}},
        {"data": {"reader": {"use": "nothing"}}},
        {"data": {"reader": "nothing"}},
        {"data": {"repeats": "perhaps"}},
        {"evaluate": {"cutoffs": [0]}},
        {"finetune": {"model": "pretrain", "objective": {"use": "nothing"}}},
    ]
    for broken in broken_trees:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(merge(tree, broken), schema)


def test_importing_and_configuring_never_imports_torch(small_yaml: Path) -> None:
    code = "import sys, genre; genre.load_config(sys.argv[1]); print([m for m in ('torch', 'transformers', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code, str(small_yaml)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
