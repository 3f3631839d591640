"""New items and free text get the vectors that training would give them, whichever encoder reads them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genre.bundle import Bundle, seal
from genre.encoders.catalogue import CatalogueEncoder
from genre.serving.encoding import Encodings

NEW = {"title": "Whisk and flour", "description": "Butter and icing", "category": "kitchen", "price": 3.0}


@pytest.fixture
def bundle(small_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_bundle, tmp_path / "000001"))


@pytest.mark.parametrize("template", [None, "{description}", "{title} {llm_summary}"])
def test_an_item_is_read_by_the_template_of_the_encoder(template: str | None, bundle: Path) -> None:
    settings = bundle / "encoders" / "text" / "encoder" / "component.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "text": template}))
    facts = Bundle(bundle, "000001", json.loads((bundle / "bundle.json").read_text())["facts"]).facts
    seal(bundle, facts)
    served = Encodings.load(bundle, Bundle.open(bundle).facts)
    trained = CatalogueEncoder.load(bundle / "encoders" / "text")
    frame = served.frame("new", NEW)
    vector = served.encode(frame)["text"]
    assert vector.any()
    np.testing.assert_allclose(vector, trained.encode(frame), atol=1e-5)
    if template is not None:
        other = served.encode(served.frame("new", {**NEW, "description": "seed and tulip", "title": "Greenhouse"}))["text"]
        ignored = "title" if "title" not in template else "description"
        assert not np.allclose(vector, other)
        np.testing.assert_allclose(vector, served.encode(served.frame("new", {**NEW, ignored: "seed and tulip"}))["text"], atol=1e-6)
    query = pl.DataFrame({"text": ["butter and flour"]})
    np.testing.assert_allclose(served.by_name["text"].encode(query), trained.encode_texts(["butter and flour"]), atol=1e-5)
