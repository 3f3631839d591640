from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from genre.component import build
from genre.encoders.language_model import LanguageModelEncoder
from genre.llm.bank import View
from genre.llm.finetune_settings import FinetuneConfig
from genre.llm.finetuning import _begin, _start_vectors, finetune
from genre.llm.model_files import cache_folder
from genre.llm.next_item import NextItemObjective
from genre.llm.objectives import Objective, TuningData
from genre.types import GroundTruth, Histories, Training

COLOURS = ("red", "blue", "green")
TEXTS = [f"{colour} {thing}" for colour in COLOURS for thing in ("nail polish", "lipstick", "soap", "towel", "brush", "comb")]
SMALL: dict[str, Any] = {
    "layer": None, "top": 2, "dim": 8, "prefix": "", "epochs": 2, "warm_up_epochs": 2, "device": "cpu", "precision": "float32",
    "learning_rate": 3e-3, "warmup_steps": 2,
    "objective": {"use": "next_item", "fresh": 12, "batch_size": 64, "max_history": 8, "heads": 2},
}  # fmt: skip


def data_of(seed: int = 0, users: int = 60) -> TuningData:
    """Users who stay with their colour."""
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(6) + 6 * rng.integers(3) for _ in range(users)]
    truth = GroundTruth(Histories.of([row[:4] for row in rows]), np.array([row[5] for row in rows]), np.arange(users + 1), np.arange(users))
    training = Training(Histories.of([row[:5] for row in rows]), len(TEXTS), validation=truth, seed=seed)
    return TuningData([str(i) for i in range(len(TEXTS))], training, None, np.full(users, np.inf))


def settings_of(model: Path, **changes: Any) -> FinetuneConfig:
    return FinetuneConfig.model_validate({**SMALL, "model": str(model), **changes})


def gradients(model: Path, **changes: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss and the gradients of one batch, before anything is learnt."""
    settings = settings_of(model, **changes)
    objective = build(Objective, settings.objective)
    data = data_of()
    texts = [*TEXTS, *objective.prepare(data)]
    tuner = _begin(settings, str(model), texts, objective, 0)
    torch.manual_seed(0)
    _start_vectors(tuner, settings)
    tuner.network = objective.network(8)
    batch = objective.batches(0, np.random.default_rng(0))[0]
    tuner.eval()
    fresh, vectors = tuner.vectors(objective.fresh(batch).tolist())
    loss = objective.loss(batch, View(tuner.bank, fresh, vectors))
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach()), {name: p.grad for name, p in tuner.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["tiny_causal", "tiny_masked"])
@pytest.mark.parametrize("changes", [{}, {"method": "lora"}, {"pooling": "attention", "prefix": "Item:"}, {"layer": 3, "top": 1}])
def test_the_cache_changes_neither_loss_nor_gradients(kind: str, changes: dict[str, Any], request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(kind)
    loss, uncached = gradients(model, cache_gb=0, **changes)
    again, cached = gradients(model, cache_precision="float32", **changes)
    assert again == pytest.approx(loss, abs=1e-5)
    learnt = [name for name in uncached if name.startswith("upper")]
    assert len(learnt) >= 7 and uncached.keys() == cached.keys()
    assert all(torch.allclose(uncached[name], cached[name], atol=1e-5) for name in uncached)
    assert max(float(uncached[name].abs().max()) for name in learnt) > 1e-3, "there is something to compare"


def test_half_precision_in_the_cache_costs_the_third_digit(tiny_causal: Path) -> None:
    loss, exact = gradients(tiny_causal, cache_gb=0)
    again, rounded = gradients(tiny_causal)
    assert again == pytest.approx(loss, rel=1e-3)
    whole, off = (torch.cat([g.flatten() for g in each]) for each in (exact.values(), [exact[n] - rounded[n] for n in exact]))
    assert 0 < float(off.norm() / whole.norm()) < 5e-3


def test_the_cache_never_grows_beyond_its_size_and_what_is_outside_is_computed(
    tiny_causal: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GENRE_CACHE", str(tmp_path))
    limit = 2_000
    loss, some = gradients(tiny_causal, cache_gb=limit / 1e9, cache_precision="float32")
    held = sum(file.stat().st_size for file in (tmp_path / "prefix").rglob("*.bin"))
    assert 1_000 < held <= limit
    expected, none = gradients(tiny_causal, cache_gb=0)
    assert loss == pytest.approx(expected, abs=1e-5)
    assert all(torch.allclose(some[name], none[name], atol=1e-5) for name in none)


def test_a_damaged_cache_is_refused(tiny_causal: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENRE_CACHE", str(tmp_path))
    gradients(tiny_causal)
    (data,) = cache_folder("prefix").rglob("*.bin")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 16
    data.write_bytes(content)
    with pytest.raises(ValueError, match="is refused: segment 0 is damaged"):
        gradients(tiny_causal)


def test_a_model_that_changed_below_is_another_cache(tiny_causal: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENRE_CACHE", str(tmp_path / "cache"))
    shutil.copytree(tiny_causal, tmp_path / "model")
    gradients(tmp_path / "model")
    from safetensors.torch import save_file

    weights = load_file(tmp_path / "model" / "model.safetensors")
    for name, stale in (("model.layers.0.mlp.up_proj.weight", True), ("model.layers.3.mlp.up_proj.weight", False)):
        before = len(list((tmp_path / "cache" / "prefix").iterdir()))
        weights[name] = weights[name] + 0.5
        save_file(weights, tmp_path / "model" / "model.safetensors", {"format": "pt"})
        loss, _ = gradients(tmp_path / "model")
        assert loss == pytest.approx(gradients(tmp_path / "model", cache_gb=0)[0], rel=1e-3)
        assert len(list((tmp_path / "cache" / "prefix").iterdir())) == before + stale, "what changed above leaves the cache as it is"


@pytest.mark.parametrize("changes", [{}, {"method": "lora", "pooling": "attention"}, {"layer": 2, "top": 1, "dim": None}])
def test_an_encoder_reads_what_was_tuned(tiny_causal: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    before = load_file(tiny_causal / "model.safetensors")
    metrics = finetune(settings_of(tiny_causal, **changes), str(tiny_causal), TEXTS, data_of(), tmp_path / "tuned")
    assert metrics["helped"] and metrics["tuned"] > metrics["frozen"]
    after = load_file(tmp_path / "tuned" / "model.safetensors")
    assert torch.equal(after["layers.0.mlp.up_proj.weight"], before["model.layers.0.mlp.up_proj.weight"]), "what is below is frozen"
    top = len([name for name in after if name.endswith("mlp.up_proj.weight")]) - 1
    assert not torch.equal(after[f"layers.{top}.mlp.up_proj.weight"], before[f"model.layers.{top}.mlp.up_proj.weight"])
    encoder = build(LanguageModelEncoder, {"use": "language_model", "model": str(tmp_path / "tuned"), "device": "cpu", "cache": False})
    vectors = encoder.encode(pl.DataFrame({"text": [*TEXTS, ""]}))
    assert vectors.shape == (len(TEXTS) + 1, 16 if "dim" in changes else 8)
    assert not vectors[-1].any()
    assert {file.suffix for file in (tmp_path / "tuned").iterdir() if file.is_file()} <= {".json", ".safetensors", ".jinja"}


def test_tuned_vectors_know_who_goes_together(tiny_masked: Path, tmp_path: Path) -> None:
    settings = settings_of(tiny_masked, epochs=6, patience=6)
    finetune(settings, str(tiny_masked), TEXTS, data_of(users=200), tmp_path)

    def together(model: Path | str, **more: Any) -> float:
        encoder = build(LanguageModelEncoder, {"use": "language_model", "model": str(model), "device": "cpu", "cache": False, **more})
        vectors = encoder.encode(pl.DataFrame({"text": TEXTS}))
        vectors = vectors - vectors.mean(0)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        same = np.arange(18)[:, None] // 6 == np.arange(18) // 6
        cosine = vectors @ vectors.T
        return float(cosine[same & ~np.eye(18, dtype=bool)].mean() - cosine[~same].mean())

    assert together(tmp_path) > together(tiny_masked) + 0.3


def test_where_nothing_helps_the_frozen_model_is_kept(tiny_causal: Path, tmp_path: Path) -> None:
    settings = settings_of(tiny_causal, learning_rate=30.0, gradient_clip=0.0, epochs=1)
    metrics = finetune(settings, str(tiny_causal), TEXTS, data_of(), tmp_path)
    assert not metrics["helped"] and metrics["tuned"] <= metrics["frozen"]
    before, after = load_file(tiny_causal / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(after[name.removeprefix("model.")], value) for name, value in before.items())
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics


def test_killed_and_called_again_it_ends_with_the_same_bits(tiny_causal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(tiny_causal, epochs=3, checkpoint_seconds=0.001)
    finetune(settings, str(tiny_causal), TEXTS, data_of(), tmp_path / "whole")
    plain, calls = NextItemObjective.loss, 0

    def killed(self: NextItemObjective, batch: Any, view: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in (5, 17, 20):  # in the warm-up, then twice while the model learns
            raise KeyboardInterrupt
        return plain(self, batch, view)

    monkeypatch.setattr(NextItemObjective, "loss", killed)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            finetune(settings, str(tiny_causal), TEXTS, data_of(), tmp_path / "cut")
    finetune(settings, str(tiny_causal), TEXTS, data_of(), tmp_path / "cut")
    for name in ("model.safetensors", "reading.safetensors"):
        a, b = (load_file(tmp_path / each / name) for each in ("whole", "cut"))
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_what_cannot_be_done_is_said(tiny_causal: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"finetune\.top: 3 blocks shall learn, but .* has 2"):
        finetune(settings_of(tiny_causal, top=3, layer=2), str(tiny_causal), TEXTS, data_of(), tmp_path)
    with pytest.raises(ValueError, match=r"no item has a text; say under data\.text"):
        finetune(settings_of(tiny_causal), str(tiny_causal), [""] * len(TEXTS), data_of(), tmp_path)
    with pytest.raises(ValueError, match="cannot start from itself"):
        settings_of(Path("finetune"))
    with pytest.raises(ValueError, match="fraction above 0"):
        settings_of(tiny_causal, layer=1.5)


def test_out_of_memory_names_what_to_lower(tiny_causal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(self: NextItemObjective, batch: Any, view: Any) -> Any:
        return torch.empty(1 << 50)  # no machine has a petabyte

    monkeypatch.setattr(NextItemObjective, "loss", greedy)
    with pytest.raises(RuntimeError, match=r"finetune: memory ran out \(.*\)\. Lower finetune\.places, finetune\.max_tokens"):
        finetune(settings_of(tiny_causal), str(tiny_causal), TEXTS, data_of(), tmp_path)
