from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from genre.llm.backbone import load_backbone
from genre.llm.packing import pack, plan
from genre.llm.pretrain_settings import PretrainConfig
from genre.llm.pretraining import Reader, documents_of, pretrain

RNG = np.random.default_rng(0)
TEXTS = [f"the {a} {b} of {c} number {i}" for i, (a, b, c) in enumerate(
    zip(RNG.choice(["red", "blue"], 80), RNG.choice(["knight", "queen"], 80), RNG.choice(["chess", "cards"], 80), strict=True)
)]  # fmt: skip
SHAPE = {"vocabulary": 320, "dim": 16, "layers": 2, "heads": 2, "max_tokens": 64}
SMALL: dict[str, Any] = {
    "max_tokens": 64, "batch_size": 4, "epochs": 3, "patience": 3, "learning_rate": 1e-2, "warmup_steps": 2, "device": "cpu",
    "precision": "float32", "held_out": 0.1,
}  # fmt: skip


def settings_of(**changes: Any) -> PretrainConfig:
    return PretrainConfig.model_validate({**SMALL, **changes})


def test_packed_documents_have_the_loss_they_have_alone(tiny_causal: Path) -> None:
    reader = Reader(load_backbone(str(tiny_causal), head=True), 0.15)
    ids = [reader.backbone.tokenizer(text)["input_ids"] for text in TEXTS[:9]]
    packed = pack(plan([len(one) for one in ids], 64, np.random.default_rng(0)), ids, 0)
    assert len(packed.ids_BT) < 9
    with torch.inference_mode():
        loss, n = reader.loss(packed)
        alone = [reader.backbone.model(input_ids=torch.tensor([one]), labels=torch.tensor([one])).loss for one in ids]
    assert n == sum(len(one) - 1 for one in ids)
    assert float(loss) == pytest.approx(sum(float(x) * (len(one) - 1) for x, one in zip(alone, ids, strict=True)) / n, abs=1e-5)


def test_packed_documents_of_a_masked_model_do_not_see_each_other(tiny_masked: Path) -> None:
    reader = Reader(load_backbone(str(tiny_masked), head=True), 0.15)
    ids = [reader.backbone.tokenizer(text)["input_ids"] for text in TEXTS[:3]]
    packed = pack([[(0, 0, len(ids[0])), (1, 0, len(ids[1]))], [(2, 0, len(ids[2]))]], ids, 0)
    with torch.inference_mode():
        together = reader.backbone.model(**reader._inputs(packed.ids_BT, packed)).logits
        alone = [reader.backbone.model(input_ids=torch.tensor([one])).logits[0] for one in ids]
    n = len(ids[0])
    assert torch.allclose(together[0, :n], alone[0], atol=1e-5)
    assert torch.allclose(together[0, n : n + len(ids[1])], alone[1], atol=1e-5)
    assert torch.allclose(together[1, : len(ids[2])], alone[2], atol=1e-5)


def test_hidden_tokens_are_the_share_asked_for_and_never_special(tiny_masked: Path) -> None:
    reader = Reader(load_backbone(str(tiny_masked), head=True), 0.3)
    ids = [reader.backbone.tokenizer(text)["input_ids"] for text in TEXTS]
    packed = pack(plan([len(one) for one in ids], 64, np.random.default_rng(0)), ids, 0)
    torch.manual_seed(0)
    with torch.inference_mode():
        _, n = reader.loss(packed)
    assert n / sum(len(one) - 2 for one in ids) == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_from_scratch_it_learns_to_read_text_it_never_saw(kind: str, tmp_path: Path) -> None:
    settings = settings_of(scratch={**SHAPE, "kind": kind}, epochs=6)
    metrics = pretrain(settings, TEXTS, 0, tmp_path)
    assert metrics["helped"] and metrics["after"]["loss"] < metrics["before"]["loss"] - 0.5
    assert metrics["before"]["perplexity"] == pytest.approx(math.exp(metrics["before"]["loss"]))
    assert metrics["before"]["loss"] == pytest.approx(math.log(320), abs=0.4), "at first every token is alike likely"
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert (metrics["documents"], metrics["held_out_documents"]) == (72, 8)
    assert load_backbone(str(tmp_path), head=True).kind == kind
    assert list((tmp_path / "training" / "tensorboard").iterdir())


def test_going_on_from_a_model_only_its_top_learns_if_so_asked(tiny_causal: Path, tmp_path: Path) -> None:
    pretrain(settings_of(model=str(tiny_causal), top=1), TEXTS, 0, tmp_path)
    before, after = load_file(tiny_causal / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("model.layers.3.") for name in changed)


@pytest.mark.parametrize("changes", [{"gradient_checkpointing": True}, {"batch_size": 2, "accumulate": 2}])
def test_memory_is_saved_without_another_result(tiny_causal: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    shared = {"model": str(tiny_causal), "epochs": 2}
    plain = pretrain(settings_of(**shared), TEXTS, 0, tmp_path / "plain")
    saving = pretrain(settings_of(**shared, **changes), TEXTS, 0, tmp_path / "saving")
    assert saving["after"]["loss"] == pytest.approx(plain["after"]["loss"], rel=0.02)
    assert saving["after"]["loss"] < plain["before"]["loss"] - 0.3


def test_killed_and_called_again_it_ends_with_the_same_bits(tiny_masked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(model=str(tiny_masked), checkpoint_seconds=0.001)
    pretrain(settings, TEXTS, 0, tmp_path / "whole")
    plain, calls = Reader.loss, 0

    def killed(self: Reader, packed: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in (7, 19):
            raise KeyboardInterrupt
        return plain(self, packed)

    monkeypatch.setattr(Reader, "loss", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            pretrain(settings, TEXTS, 0, tmp_path / "cut")
    pretrain(settings, TEXTS, 0, tmp_path / "cut")
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_where_nothing_helps_the_model_is_kept(tiny_causal: Path, tmp_path: Path) -> None:
    pretrain(settings_of(model=str(tiny_causal)), TEXTS, 0, tmp_path / "good")
    metrics = pretrain(settings_of(model=str(tmp_path / "good"), learning_rate=0.7, epochs=1), TEXTS, 0, tmp_path / "bad")
    assert not metrics["helped"] and metrics["after"]["loss"] > metrics["before"]["loss"]
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("good", "bad"))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_more_text_comes_from_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\n two \none\n", encoding="utf-8")
    pl.DataFrame({"text": ["three", None]}).write_parquet(tmp_path / "b.parquet")
    (tmp_path / "c.jsonl").write_text('{"text": "four"}\n')
    files = [tmp_path / name for name in ("a.txt", "b.parquet", "c.jsonl")]
    assert documents_of(["two", "", "zero"], files) == ["two", "zero", "one", "three", "four"]
    pl.DataFrame({"words": ["x"]}).write_csv(tmp_path / "d.csv")
    with pytest.raises(ValueError, match=r"d\.csv has no column `text`; it has words"):
        documents_of([], [tmp_path / "d.csv"])
    with pytest.raises(ValueError, match=r"e\.pdf is none of \.txt"):
        documents_of([], [tmp_path / "e.pdf"])


def test_what_cannot_be_done_is_said(tiny_causal: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 documents are too few"):
        pretrain(settings_of(model=str(tiny_causal)), ["alone", "alone", ""], 0, tmp_path)
    with pytest.raises(ValueError, match="name either `model`, to go on from, or `scratch`"):
        settings_of()
    with pytest.raises(ValueError, match="comes after pretrain"):
        settings_of(model="finetune")
    with pytest.raises(ValueError, match=r"pretrain\.top: 9 blocks shall learn, .* has 4"):
        pretrain(settings_of(model=str(tiny_causal), top=9), TEXTS, 0, tmp_path)


def test_out_of_memory_names_what_to_lower(tiny_causal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "loss", lambda self, packed: torch.empty(1 << 50))
    with pytest.raises(RuntimeError, match=r"memory ran out .* Lower pretrain\.batch_size"):
        pretrain(settings_of(model=str(tiny_causal)), TEXTS, 0, tmp_path)
