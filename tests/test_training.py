import json
import math
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from genre.training import Optimisation, choose_device, low_precision, rate_factor, train

XY = tuple[Tensor, Tensor]


class Regression:
    """Points on a line, cut anew into batches each epoch."""

    def __init__(self, n: int = 64, size: int = 8) -> None:
        self.x = torch.linspace(-1, 1, n)[:, None]
        self.y = 3 * self.x + 0.5
        self.size = size

    def batches(self, epoch: int, rng: np.random.Generator) -> Sequence[XY]:
        order = torch.from_numpy(rng.permutation(len(self.x)))
        return [(self.x[rows], self.y[rows]) for rows in torch.split(order, self.size)]


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(1, 16), nn.Dropout(0.2), nn.GELU(), nn.Linear(16, 1))


def fit(folder: Path, model: nn.Module | None = None, seed: int = 0, **settings: object) -> list[dict[str, Any]]:
    data, model = Regression(), model or network()
    chosen = Optimisation.model_validate({"epochs": 4, "warmup_steps": 4, "learning_rate": 0.01, **settings})
    return train(model, data.batches, lambda b: ((model(b[0]) - b[1]) ** 2).mean(), folder, chosen, seed=seed, what="line").history


def test_it_learns_and_says_so_in_history_and_tensorboard(tmp_path: Path) -> None:
    lines = fit(tmp_path, epochs=30)
    assert lines[-1]["loss"] < lines[0]["loss"] / 5
    written = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert written == lines
    assert [line["epoch"] for line in written] == list(range(30))
    assert set(written[0]) == {"epoch", "loss", "validation", "cpu_seconds", "seconds"}
    assert all(a["seconds"] <= b["seconds"] for a, b in pairwise(written))
    assert list((tmp_path / "tensorboard").iterdir())


def test_accumulated_gradients_are_those_of_one_large_batch(tmp_path: Path) -> None:
    x, y = torch.linspace(-1, 1, 24)[:, None], torch.linspace(2, 0, 24)[:, None]
    weights, asked = [], []
    for size, together in ((12, 1), (4, 3)):
        torch.manual_seed(0)
        model = nn.Linear(1, 1)
        settings = Optimisation(epochs=3, warmup_steps=0, learning_rate=0.1, accumulate=together, precision="float32")

        def loss(batch: XY, model: nn.Module = model) -> Tensor:
            asked.append(len(batch[0]))
            error: Tensor = ((model(batch[0]) - batch[1]) ** 2).mean()
            return error

        def batches(epoch: int, rng: np.random.Generator, size: int = size) -> list[XY]:
            return list(zip(torch.split(x, size), torch.split(y, size), strict=True))

        done = train(model, batches, loss, tmp_path / str(size), settings)
        assert done.steps == 6
        weights.append((model.weight.item(), done.history[-1]["loss"]))
    assert weights[0] == pytest.approx(weights[1], abs=1e-6)
    assert asked == [12] * 6 + [4] * 18


def test_without_validation_every_epoch_is_run_and_the_last_weights_stay(tmp_path: Path) -> None:
    model = network()
    assert len(fit(tmp_path, model, patience=1)) == 4
    saved = load_file(tmp_path / "checkpoint.safetensors")
    assert all(torch.equal(saved[f"model.{name}"], value) for name, value in model.state_dict().items())
    assert not model.training


def test_early_stopping_keeps_the_best_weights(tmp_path: Path) -> None:
    model, data, figures = network(), Regression(), iter([0.1, 0.5, math.nan, 0.4, 0.5, 0.9])
    seen: list[Tensor] = []

    def validate() -> float:
        assert not model.training
        seen.append(model.state_dict()["0.weight"].clone())
        return next(figures)

    settings = Optimisation(epochs=50, patience=3, learning_rate=0.01)
    lines = train(model, data.batches, lambda b: ((model(b[0]) - b[1]) ** 2).mean(), tmp_path, settings, validate).history
    assert len(lines) == 5  # the best was epoch 1; 2, 3 and 4 were no better (a tie is not)
    assert torch.equal(model.state_dict()["0.weight"], seen[1])
    assert not torch.equal(seen[1], seen[4])


def test_a_validation_figure_that_is_always_nan_still_gives_weights(tmp_path: Path) -> None:
    model, data = network(), Regression()
    settings = Optimisation(epochs=9, patience=2)
    lines = train(model, data.batches, lambda b: ((model(b[0]) - b[1]) ** 2).mean(), tmp_path, settings, lambda: math.nan).history
    assert len(lines) == 3


def test_the_seed_decides_everything_and_global_state_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    a, b, c = (network() for _ in range(3))
    torch.set_rng_state(before)
    fit(tmp_path / "a", a)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    fit(tmp_path / "b", b)
    fit(tmp_path / "c", c, seed=1)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not all(torch.equal(p, q) for p, q in zip(a.parameters(), c.parameters(), strict=True))


def test_another_call_in_a_finished_folder_trains_nothing_and_gives_the_same_weights(tmp_path: Path) -> None:
    first, again = network(), network(1)
    lines = fit(tmp_path, first)
    assert fit(tmp_path, again) == lines
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), again.parameters(), strict=True))


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    fit(tmp_path)
    with pytest.raises(ValueError, match=r"other settings \(learning_rate\).*delete it"):
        fit(tmp_path, learning_rate=0.5)
    with pytest.raises(ValueError, match="belongs to another network"):
        fit(tmp_path, nn.Linear(1, 1))


def test_a_truncated_checkpoint_is_named(tmp_path: Path) -> None:
    fit(tmp_path)
    file = next(tmp_path.rglob("checkpoint.safetensors"))
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors is damaged .*delete it, and the training begins anew"):
        fit(tmp_path)


def test_nothing_to_train_on_and_a_loss_that_explodes_are_errors(tmp_path: Path) -> None:
    model = network()
    with pytest.raises(ValueError, match="nothing to train on"):
        train(model, lambda epoch, rng: [], lambda b: model(b).sum(), tmp_path / "a", Optimisation())
    with pytest.raises(ValueError, match="not finite in epoch 0"):
        train(model, lambda epoch, rng: [torch.full((1, 1), math.inf)], lambda b: model(b).sum(), tmp_path / "b", Optimisation())


def test_the_gradient_is_clipped_as_a_whole_also_where_it_is_sparse(tmp_path: Path) -> None:
    """One step of plain descent would show the norm; AdamW's first moment after one step is a tenth of the clipped gradient."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows, self.dense = nn.Embedding(5, 2, sparse=True), nn.Linear(2, 1, bias=False)

    model = Both()
    settings = Optimisation(epochs=2, gradient_clip=1e-3, warmup_steps=0, checkpoint_seconds=1e-9)
    before = model.rows.weight.detach().clone()
    calls = []

    def loss(batch: Tensor) -> Tensor:
        calls.append((tmp_path / "checkpoint.safetensors").is_file())
        if len(calls) == 2:
            saved = load_file(tmp_path / "checkpoint.safetensors")
            moments = torch.cat([saved["optimizer.rows.weight/exp_avg"].flatten(), saved["optimizer.dense.weight/exp_avg"].flatten()])
            assert float(moments.norm()) == pytest.approx(1e-4, rel=1e-3)
        out: Tensor = 100 * model.dense(model.rows(batch)).sum()
        return out

    train(model, lambda epoch, rng: [torch.tensor([1, 1, 3])], loss, tmp_path, settings)
    assert calls == [False, True]
    touched = (model.rows.weight != before).any(1)
    assert touched.tolist() == [False, True, False, True, False]


def test_rate_factor() -> None:
    plain = Optimisation(schedule="constant", warmup_steps=10)
    assert rate_factor(plain, 0, 0.0) == pytest.approx(0.1)
    assert rate_factor(plain, 9, 0.5) == rate_factor(plain, 500, 0.9) == 1.0
    assert rate_factor(Optimisation(schedule="linear", warmup_steps=0), 50, 0.75) == pytest.approx(0.25)
    assert rate_factor(Optimisation(schedule="cosine", warmup_steps=0), 50, 0.5) == pytest.approx(0.5)


def test_device_and_precision_are_as_asked() -> None:
    cpu = choose_device("cpu")
    assert cpu.type == "cpu"
    assert low_precision("bfloat16", cpu)
    assert not low_precision("float32", cpu)
    if not torch.cuda.is_available():
        assert choose_device("auto").type == "cpu"
        with pytest.raises(ValueError, match="sees no GPU"):
            choose_device("cuda")


SCRIPT = """
import sys, time
from itertools import pairwise
from pathlib import Path
from typing import Any
import torch
from torch import nn
from genre.training import Optimisation, train
torch.set_num_threads(1)
folder = Path(sys.argv[1])
torch.manual_seed(0)
table, head = nn.Embedding(50, 8, sparse=True), nn.Sequential(nn.Dropout(0.3), nn.Linear(8, 50))
model = nn.ModuleList([table, head])

def batches(epoch, rng):
    return [torch.from_numpy(rng.integers(50, size=(2, 16))) for _ in range(12 + epoch % 3)]

def loss(batch):
    print("step", flush=True)
    time.sleep(0.005)
    noise = torch.rand(()) * 0.1
    return nn.functional.cross_entropy(head(table(batch[0])), batch[1]) * (1 + noise)

def validate():
    with torch.no_grad():
        return -float(head(table.weight).square().mean())

settings = Optimisation(epochs=6, patience=6, warmup_steps=20, learning_rate=0.05, schedule="cosine", checkpoint_seconds=0.02)
train(model, batches, loss, folder, settings, validate, seed=3)
from safetensors.torch import save_file
save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "final.safetensors")
"""


def attempt(folder: Path, kill_in_step: int | None = None) -> None:
    """Run the script; with a step given, end it by SIGKILL somewhere in or after that step of the attempt."""
    with subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for step, _ in enumerate(process.stdout):
            if step == kill_in_step:
                process.send_signal(signal.SIGKILL)
    assert process.returncode == (0 if kill_in_step is None else -signal.SIGKILL)


def test_killed_at_any_moment_and_started_again_the_weights_are_the_same_to_the_last_bit(tmp_path: Path) -> None:
    attempt(tmp_path / "whole")
    places = []
    for step in (9, 20, 16):  # of the 78 steps; what came after the last checkpoint is done again
        attempt(tmp_path / "cut", step)
        with safe_open(tmp_path / "cut" / "checkpoint.safetensors", framework="pt") as file:
            places.append(json.loads(file.metadata()["genre"])["progress"]["steps"])
    assert 0 < places[0] < places[1] < places[2] < 78, "no attempt was killed half-way: this test shows nothing"
    attempt(tmp_path / "cut")
    assert 0 < places[0] < places[1] < places[2] < 78, "no attempt was killed half-way: this test shows nothing"
    a, b = (load_file(tmp_path / name / "final.safetensors") for name in ("whole", "cut"))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    told = [[json.loads(line) for line in (tmp_path / name / "history.jsonl").read_text().splitlines()] for name in ("whole", "cut")]
    assert [(e["loss"], e["validation"]) for e in told[0]] == [(e["loss"], e["validation"]) for e in told[1]]
