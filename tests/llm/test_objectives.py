from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from genre.component import build
from genre.llm.bank import Bank, View
from genre.llm.click import mean_auc, requests_of
from genre.llm.objectives import Objective, TuningData
from genre.types import Histories, Training


def data_of(impressions: pl.DataFrame | None = None, until: tuple[float, ...] = (math.inf, math.inf)) -> TuningData:
    histories = Histories.of([[0, 1, 2], [3]], [[10.0, 20.0, 30.0], [15.0]])
    return TuningData(["a", "b", "c", "d"], Training(histories, 4), impressions, np.array(until))


def view_of(vectors: list[list[float]], fresh: dict[int, list[float]] | None = None) -> View:
    bank = Bank(len(vectors), len(vectors[0]))
    bank.put(torch.arange(len(vectors)), torch.tensor(vectors))
    rows = torch.tensor(list(fresh or {}), dtype=torch.long)
    return View(bank, rows, torch.tensor(list((fresh or {}).values())).reshape(len(rows), len(vectors[0])).requires_grad_())


def test_a_view_takes_fresh_vectors_where_there_are_some() -> None:
    view = view_of([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]], {2: [5.0, 6.0]})
    found = view.at(torch.tensor([[2, 1], [2, 0]]))
    assert found.tolist() == [[[5, 6], [1, 1]], [[5, 6], [0, 0]]]
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert view.vectors_UK.grad is not None and view.vectors_UK.grad.tolist() == [[2, 2]], "it was asked for twice"
    assert view_of([[3.0]]).at(torch.tensor([0])).tolist() == [[3]]


def shown(rows: list[tuple[str, int, int, float, bool]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["request", "user_idx", "item_idx", "time", "clicked"], orient="row")


def test_a_request_knows_what_was_done_strictly_before() -> None:
    rows = [("r1", 0, 3, 20.0, True), ("r1", 0, 2, 20.0, False), ("r2", 0, 0, 35.0, False), ("r3", 1, 1, 5.0, True)]
    found = requests_of(shown(rows), data_of().training.histories, longest=2)
    assert [found.histories.items(r).tolist() for r in range(3)] == [[0], [1, 2], []]
    assert found.shown_S.tolist() == [3, 2, 0, 1]
    assert found.owner_S.tolist() == [0, 0, 1, 2]
    part = found.take(np.array([0, 2]))
    assert (part.shown_S.tolist(), part.owner_S.tolist(), part.clicked_S.tolist()) == ([3, 2, 1], [0, 0, 1], [1, 0, 1])


def test_nothing_shown_after_the_held_out_part_begins_is_learnt_from() -> None:
    rows = [("r1", 0, 3, 20.0, True), ("r2", 0, 0, 25.0, True), ("r3", 1, 1, 5.0, False)]
    objective = build(Objective, {"use": "click", "valid_share": 0.0})
    objective.prepare(data_of(shown(rows), until=(25.0, math.inf)))
    assert objective.counts().tolist() == [0, 1, 0, 1]
    with pytest.raises(ValueError, match="no click is left"):
        objective.prepare(data_of(shown(rows), until=(20.0, math.inf)))
    with pytest.raises(ValueError, match="the reader gives none; use next_item"):
        objective.prepare(data_of())


def test_click_loss_is_binary_cross_entropy_of_products() -> None:
    rows = [("r1", 0, 3, 40.0, True), ("r1", 0, 1, 40.0, False), ("r0", 1, 1, 1.0, True)]
    objective = build(Objective, {"use": "click", "valid_share": 0.0})
    objective.prepare(data_of(shown(rows)))
    view = view_of([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [2.0, 0.5]])
    torch.manual_seed(0)
    network: Any = objective.network(2)
    network.eval()
    (batch,) = objective.batches(0, np.random.default_rng(0))
    assert sorted(objective.fresh(batch).tolist()) == [1, 3]
    with torch.no_grad():
        network.log_scale.fill_(math.log(3.0))
        network.bias_S.fill_(0.5)
        user = network.states(view.at(torch.tensor([[0, 1, 2]])), torch.ones(1, 3, dtype=torch.bool))[0, -1]
        stranger = network.states(torch.zeros(1, 1, 2), torch.zeros(1, 1, dtype=torch.bool))[0, -1]
        logits = [3 * (user @ torch.tensor([2.0, 0.5])) + 0.5, 3 * user[0] + 0.5, 3 * stranger[0] + 0.5]
        expected = sum(math.log1p(math.exp(-sign * float(x))) for sign, x in zip((1, -1, 1), logits, strict=True)) / 3
        assert float(objective.loss(batch, view)) == pytest.approx(expected, abs=1e-5)


def test_mean_auc_of_requests_that_have_both() -> None:
    owner = np.array([0, 0, 0, 1, 1, 2])
    clicked = np.array([1, 0, 0, 0, 1, 1.0])
    assert mean_auc(np.array([0.5, 0.1, 0.9, 0.3, 0.3, 0.2]), clicked, owner) == pytest.approx((0.5 + 0.5) / 2)
    assert math.isnan(mean_auc(np.ones(1), np.ones(1), np.zeros(1, int)))


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    file = tmp_path / "questions.parquet"
    rows = {"text": ["where is a", "what of b", "nobody's", "", "again a"], "item_id": ["a", "b", "z", "a", "a"]}
    pl.DataFrame(rows).write_parquet(file)
    return file


def test_pairs_are_questions_and_the_items_that_answer_them(questions: Path) -> None:
    objective = build(Objective, {"use": "pairs", "file": str(questions), "valid_share": 0.0, "temperature": 0.5})
    assert objective.prepare(data_of()) == ["where is a", "what of b", "again a"]
    assert objective.counts().tolist() == [2, 1, 0, 0, 1, 1, 1]
    assert objective.network(2) is None
    assert objective.fresh(np.array([0, 2])).tolist() == [0, 4, 6]
    view = view_of([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [3.0, 3.0], [0.0, 5.0], [1.0, 0.0]])
    # The first question lies between a and b: cosines .7071, .7071, -.7071, -.7071.
    high, low = math.exp(2 * math.sqrt(0.5)), math.exp(-2 * math.sqrt(0.5))
    assert float(objective.loss(np.array([0]), view)) == pytest.approx(-math.log(high / (2 * high + 2 * low)), abs=1e-5)


def test_pairs_are_judged_by_the_rank_of_the_answer(questions: Path) -> None:
    objective = build(Objective, {"use": "pairs", "file": str(questions), "valid_share": 0.99})
    objective.prepare(data_of())
    view = view_of([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [1.0, 1.0], [0.0, -5.0], [2.0, 0.1]])
    # a ties with b: rank 2; b is the farthest: rank 4; a: rank 1.
    assert objective.validate(view) == pytest.approx((1 / 2 + 1 / 4 + 1) / 3)


def test_pairs_that_fit_nothing_are_refused(questions: Path) -> None:
    with pytest.raises(ValueError, match="has no column 'query'; it has text, item_id"):
        build(Objective, {"use": "pairs", "file": str(questions), "question": "query"}).prepare(data_of())
    data = TuningData(["x"], Training(Histories.of([[0]]), 1), None, np.array([math.inf]))
    with pytest.raises(ValueError, match=r"no item that .* names in 'item_id' \(a, b, z\) is in the catalogue"):
        build(Objective, {"use": "pairs", "file": str(questions)}).prepare(data)


def test_next_item_loss_full_and_sampled_agree_when_everything_is_drawn() -> None:
    found = []
    for settings in ({"loss": "full"}, {"loss": "sampled", "negatives": 5_000}):
        objective = build(Objective, {"use": "next_item", "item_mask": 0.0, "dropout": 0.0, **settings})
        objective.prepare(data_of())
        torch.manual_seed(0)
        network: Any = objective.network(2)
        with torch.no_grad():
            network.bias_S.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]))
        (batch,) = objective.batches(0, np.random.default_rng(0))
        found.append(float(objective.loss(batch, view_of([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [2.0, 0.5]])).detach()))
    assert found[0] == pytest.approx(found[1], abs=1e-3)


def test_next_item_needs_somebody_who_did_two_things() -> None:
    data = TuningData(["x"], Training(Histories.of([[0]]), 1), None, np.array([math.inf]))
    with pytest.raises(ValueError, match="two or more training interactions"):
        build(Objective, {"use": "next_item"}).prepare(data)


def test_without_layers_the_vectors_are_compared_as_the_content_ranker_does_it() -> None:
    objective = build(Objective, {"use": "next_item", "item_mask": 0.0, "layers": 0})
    objective.prepare(data_of())
    network: Any = objective.network(2)
    vectors = [[0.0, 2.0], [3.0, 0.0], [1.0, 1.0], [-1.0, 0.5]]
    (batch,) = objective.batches(0, np.random.default_rng(0))
    # User 0 had a, b, c: from a comes b, from a and b (0.8 of a, all of b) comes c. User 1 has nothing to predict.
    a, b, c, d = (np.array(vector) / np.linalg.norm(vector) for vector in vectors)
    mean = (0.8 * a + b) / np.linalg.norm(0.8 * a + b)
    chance = np.full(4, 1 / 4)
    losses = []
    for asking, right in ((a, 1), (mean, 2)):
        logits = 10 * np.stack([a, b, c, d]) @ asking + np.log(chance)
        losses.append(np.log(np.exp(logits).sum()) - logits[right])
    assert float(objective.loss(batch, view_of(vectors)).detach()) == pytest.approx(np.mean(losses), abs=1e-4)
    with torch.no_grad():
        network.eval()
        scores = network.scores(torch.tensor(vectors), torch.ones(4, dtype=torch.bool), Histories.of([[0, 1], []]))
        assert scores[0].numpy() == pytest.approx(10 * np.stack([a, b, c, d]) @ mean, abs=1e-4)
        assert scores[1].tolist() == [0, 0, 0, 0], "nothing is said of someone without a history"
        assert network.bias_of(torch.arange(4), 4).tolist() == [0, 0, 0, 0]
