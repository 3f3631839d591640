"""A stranger's components, each in one file outside the package, chosen in YAML by their path."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

import genre
from genre.component import build, own_files
from genre.data.readers import Reader
from genre.encoders import Encoder
from genre.policies import Policy
from genre.rankers import Ranker
from genre.testing import check_encoder, check_policy, check_ranker, check_reader

ROOT = Path(__file__).parent.parent

ENCODER = '''
"""Letters: how often each letter of the alphabet occurs."""

import numpy as np

from genre import Encoder


class Letters(Encoder):
    """Twenty-six counts."""

    def fit(self, items):
        """Nothing to learn."""

    def encode(self, items):
        """Counts a text."""
        rows = [[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in items["text"]]
        return np.array(rows, np.float32).reshape(len(items), 26)
'''
POLICY = '''
"""Upside down: the worst first."""

import numpy as np

from genre import Policy
from genre.types import Slate


class UpsideDown(Policy):
    """Shows the lowest scores."""

    def select(self, candidates, n, rng):
        """Lowest first."""
        if np.isnan(candidates.scores_K).any():
            raise ValueError("NaN")
        order = np.argsort(candidates.scores_K)[:n]
        return Slate(candidates.item_idx_K[order], np.ones(len(order)))
'''
READER = '''
"""Three people who read the same five books."""

from pathlib import Path

import polars as pl

from genre import Reader
from genre.data.readers import EVENTS, Tables


class BookClub(Reader):
    """Reads no file."""

    class Config(Reader.Config):
        people: int = 30
        """How many."""

    def read(self, folder: Path) -> Tables:
        """Everyone reads in turn, one book later than the one before."""
        rows = [(f"p{p}", f"book {(p + t) % 5}", float(t), "read", None, None) for p in range(self.config.people) for t in range(4)]
        items = pl.DataFrame({"item_id": [f"book {b}" for b in range(5)], "title": ["Aal", "Bbl", "Ccl", "Ddl", "Eel"]})
        return Tables(pl.DataFrame(rows, schema=EVENTS, orient="row").lazy(), items.lazy())

    def sources(self):
        """None."""
        return iter(())
'''


def contributing() -> str:
    """The ranker that CONTRIBUTING.md shows."""
    block = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert block
    return dedent(block.group(1))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with four components of one's own and a configuration that uses them."""
    for name, code in (("mine", contributing()), ("letters", ENCODER), ("upside", POLICY), ("club", READER)):
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)
    tree = {
        "data": {"reader": {"use": "club:BookClub", "people": 40}, "text": "{title}"},
        "encoders": {"letters": {"use": "letters:Letters"}},
        "rankers": {"content": {"use": "content", "content": ["letters"]}, "own": {"use": "mine:MyRanker", "smoothing": 0.5}},
        "policy": "upside:UpsideDown",
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(tree))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("mine", "letters", "upside", "club"):
        sys.modules.pop(name, None)


def test_they_pass_the_public_conformance_checks(own: Path) -> None:
    check_ranker(build(Ranker, {"use": "mine:MyRanker"}))
    check_encoder(build(Encoder, {"use": "letters:Letters"}))
    check_policy(build(Policy, {"use": "upside:UpsideDown"}))
    check_reader(build(Reader, {"use": "club:BookClub"}))


def test_a_run_uses_them_and_its_resolved_config_keeps_their_fields(own: Path) -> None:
    run = genre.run(own / "own.yaml", folder=own / "run")
    config = yaml.safe_load((run.folder / "config.yaml").read_text())
    assert config["rankers"]["own"] == {"use": "mine:MyRanker", "smoothing": 0.5, "synthetic": False}
    assert config["data"]["reader"]["people"] == 40
    recommender = genre.Recommender.load(run.folder)
    # Everyone reads on from one book to the next, so after book 2 that is the likeliest, and upside down it comes last.
    assert recommender.recommend(history=["book 2"], n=4)[-1].item_id == "book 3"


@pytest.mark.parametrize(
    ("file", "stale"),
    [
        ("mine", {"rank/own", "evaluate/own", "evaluate/policy"}),
        ("letters", {"embed/letters", "rank/content", "evaluate/content", "evaluate/own", "evaluate/policy"}),
        ("upside", {"evaluate/policy"}),
    ],
)
def test_editing_a_component_does_its_stages_again_and_no_others(own: Path, file: str, stale: set[str]) -> None:
    run = genre.run(own / "own.yaml", folder=own / "run")
    before = {stage: run.manifest(stage).fingerprint for stage in run.stages()}
    with (own / f"{file}.py").open("a") as code:
        code.write("\n# Thought over.\n")
    genre.run(own / "own.yaml", folder=own / "run")
    assert {stage for stage in run.stages() if run.manifest(stage).fingerprint != before[stage]} == stale


def test_a_component_within_a_component_counts_and_so_does_what_it_inherits_from(own: Path) -> None:
    (own / "twice.py").write_text("import upside\n\n\nclass Twice(upside.UpsideDown):\n    pass\n")
    config = genre.load_config(own / "own.yaml", ["policy={use: 'twice:Twice'}", "surfaces={home: {policy: {use: 'twice:Twice'}}}"])
    assert {path.name for path in own_files(config.surfaces)} == {"twice.py", "upside.py"}
    assert {path.name for path in own_files(config.data)} == {"club.py"}
    assert own_files(config.rankers["content"]) == ()


def test_they_are_found_beside_the_yaml_from_another_folder(own: Path) -> None:
    code = "import genre, sys; print(genre.load_config(sys.argv[1]).rankers['own'].smoothing)"
    done = subprocess.run([sys.executable, "-c", code, str(own / "own.yaml")], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "0.5"


def test_a_finished_run_finds_them_from_another_folder(own: Path) -> None:
    run = genre.run(own / "own.yaml", folder=own / "elsewhere" / "run")
    code = "import genre, sys; print(genre.Recommender.load(sys.argv[1]).recommend('p1', n=1)[0].rank)"
    done = subprocess.run([sys.executable, "-c", code, str(run.folder)], capture_output=True, text=True, check=False, cwd="/")
    assert done.stdout.strip() == "1", done.stderr


def test_a_broken_promise_is_named() -> None:
    class Sloppy(Policy):
        def select(self, candidates, n, rng):  # type: ignore[no-untyped-def]
            from genre.types import Slate

            return Slate(candidates.item_idx_K[[0] * min(n, len(candidates.item_idx_K))], candidates.scores_K[:n])

    with pytest.raises(AssertionError, match=r"config changes|shown twice"):
        check_policy(Sloppy(Policy.Config(use="greedy")))
