from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace

import genre
from genre.component import build
from genre.encoders.static import StaticEncoder
from genre.testing import check_encoder, small_items

WORDS = ["[UNK]", "red", "blue", "polish"]
ROWS = np.array([[9, 9], [1, 0], [0, 1], [2, 2]], np.float32)


def folder_of(folder: Path, **tensors: Any) -> Path:
    tokenizer = Tokenizer(WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    save_file(tensors or {"embeddings": ROWS}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "model2vec", "normalize": True}))
    return folder


def static(model: Path | str, **settings: Any) -> StaticEncoder:
    return build(StaticEncoder, {"use": "static", "model": str(model), **settings})


def frame(*texts: str | None) -> pl.DataFrame:
    return pl.DataFrame({"text": list(texts)}, schema={"text": pl.String})


def test_a_text_is_the_mean_of_its_known_words(tmp_path: Path) -> None:
    vectors = static(folder_of(tmp_path)).encode(frame("Red polish", "red unheard blue", "unheard", "", None))
    assert vectors.tolist() == [[1.5, 1.0], [0.5, 0.5], [0, 0], [0, 0], [0, 0]]


def test_token_weights_and_shared_rows_are_used(tmp_path: Path) -> None:
    # model2vec's quantized vocabulary: tokens share rows, each with its own weight.
    tensors = {"embeddings": ROWS[1:3], "mapping": np.array([0, 0, 1, 1]), "weights": np.array([0, 1, 0.5, 0.1], np.float64)}
    vectors = static(folder_of(tmp_path, **tensors)).encode(frame("red blue", "polish"))
    assert vectors == pytest.approx(np.array([[0.5, 0.25], [0, 0.1]]))


def test_half_precision_and_the_layout_of_sentence_transformers_are_read(tmp_path: Path) -> None:
    folder_of(tmp_path / "0_StaticEmbedding", **{"embedding.weight": ROWS.astype(np.float16)})
    assert static(tmp_path).encode(frame("blue")).tolist() == [[0, 1]]


def test_only_the_beginning_of_a_long_text_is_read(tmp_path: Path) -> None:
    assert static(folder_of(tmp_path), max_tokens=1).encode(frame("red blue blue")).tolist() == [[1, 0]]


def test_it_conforms(tmp_path: Path) -> None:
    check_encoder(static(folder_of(tmp_path)))


def test_a_changed_table_is_read_anew_by_a_run(tmp_path: Path) -> None:
    reader = {"use": "synthetic", "users": 40, "items": 30, "seed": 3}
    encoders = {"text": {"use": "static", "model": str(folder_of(tmp_path / "model"))}}
    settings = {"data": {"reader": reader}, "encoders": encoders, "rankers": {"content": {"use": "content", "content": ["text"]}}}
    (tmp_path / "small.yaml").write_text(json.dumps(settings))
    runs = [genre.run(tmp_path / "small.yaml", folder=tmp_path / "run").manifest("embed/text").fingerprint for _ in range(2)]
    folder_of(tmp_path / "model", embeddings=ROWS + 1)
    runs.append(genre.run(tmp_path / "small.yaml", folder=tmp_path / "run").manifest("embed/text").fingerprint)
    assert runs[0] == runs[1] != runs[2]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        static(tmp_path / "none")
    folder = folder_of(tmp_path / "half")
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"half/model\.safetensors"):
        static(folder)
    with pytest.raises(ValueError, match=r"no table called embeddings or embedding\.weight, only vectors"):
        static(folder_of(tmp_path / "odd", vectors=ROWS)).encode(frame("red"))


@pytest.mark.skipif(importlib.util.find_spec("wordllama") is None, reason="needs: pip install --no-deps wordllama")
def test_wordllama_brings_its_own_table() -> None:
    encoder = static("wordllama")
    check_encoder(encoder)
    vectors = encoder.encode(pl.concat([small_items(), small_items().with_columns(text=pl.col("text") + " film")]))
    assert vectors.shape == (24, 256)
    unit = vectors[[0, 12, 5]] / np.linalg.norm(vectors[[0, 12, 5]], axis=1, keepdims=True)
    assert unit[0] @ unit[1] > unit[0] @ unit[2] + 0.2


@pytest.mark.skipif(importlib.util.find_spec("wordllama") is None, reason="needs: pip install --no-deps wordllama")
def test_blanks_alone_say_nothing_to_a_tokenizer_that_has_a_token_for_them() -> None:
    assert not static("wordllama").encode(frame("", "   ", None)).any()
