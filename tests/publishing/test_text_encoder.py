"""A language model that is served: new items and words get its vectors, in a process that has no torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import genre
from genre.bundle import Bundle
from genre.config import load_run_config, parse_config
from genre.encoders.catalogue import CatalogueEncoder
from genre.pipeline import publish
from genre.runs import Run
from genre.serving.encoding import Encodings

SAID = {"title": "Whisk and flour", "description": "Butter and icing"}


@pytest.fixture(scope="module")
def run(tiny_masked: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose items are read by a language model."""
    config = {
        "name": "worded", "data": {"reader": {"use": "synthetic", "users": 60, "items": 40, "seed": 3}, "text": "{title} {description}"},
        "encoders": {"words": {"use": "language_model", "model": str(tiny_masked), "device": "cpu", "cache": False}},
        "rankers": {"content": {"use": "content", "content": ["words"]}}, "evaluate": {"resamples": 100},
    }  # fmt: skip
    return genre.run(parse_config(config), folder=tmp_path_factory.mktemp("worded") / "run")


@pytest.fixture(scope="module")
def bundle(run: Run) -> Path:
    return publish(load_run_config(run.folder), run)


def test_items_and_words_get_the_vectors_of_the_model(run: Run, bundle: Path) -> None:
    served, trained = Encodings.load(bundle, Bundle.open(bundle).facts), CatalogueEncoder.load(run.path("embed/words"))
    frame = served.frame("new", SAID)
    found, expected = served.encode(frame)["words"][0], trained.encode(frame)[0]
    assert found @ expected / np.linalg.norm(found) / np.linalg.norm(expected) > 0.99
    close = served.closeness("Whisk and flour Butter and icing", 40)
    assert close is not None
    np.testing.assert_allclose(close.all(), trained_cosines(trained, run), atol=0.02)


def trained_cosines(trained: CatalogueEncoder, run: Run) -> np.ndarray:
    """Of every item to the words."""
    from genre.encoders.catalogue import load_vectors
    from genre.vectors import unit

    cosines: np.ndarray = unit(load_vectors(run.path("embed/words"))) @ unit(trained.encode_texts(["Whisk and flour Butter and icing"]))[0]
    return cosines


def test_a_process_without_torch_finds_a_new_item_by_its_words(bundle: Path) -> None:
    code = (
        "import sys, pathlib\nfrom genre.serving.engine import BundleEngine\nfrom genre.serving.contract import *\n"
        f"engine = BundleEngine.load(pathlib.Path({str(bundle)!r}))\n"
        f"engine.upsert_item(ItemIn(item_id='new', attributes={SAID!r}))\n"
        "answer, trace = engine.recommend(RecommendRequest(text='Whisk and flour Butter and icing', n=3), [], 1.8e9)\n"
        "print([item.item_id for item in answer.items][0], 'torch' in sys.modules or 'transformers' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (found.stdout.split(), found.returncode) == (["new", "False"], 0), found.stderr


def test_a_model_that_cannot_be_exported_is_said_and_the_bundle_serves_without(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = Run(shutil.copytree(run.folder, tmp_path / "run"))
    settings = copy.path("embed/words") / "encoder" / "component.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "model": str(tmp_path / "gone")}))
    folder = publish(load_run_config(copy.folder), copy, force=True)
    assert "will have no vector of encoder words" in caplog.text
    assert not (folder / "encoders" / "words" / "exported").exists()
    served = Encodings.load(folder, Bundle.open(folder).facts)
    assert not served.encode(served.frame("new", SAID))["words"].any()
    assert served.closeness("Whisk", 40) is None
