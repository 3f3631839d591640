import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import pytest
import torch

from genre.component import build
from genre.rankers import Ranker
from genre.rankers.scorer import Scorer
from genre.rankers.sequential import SequentialRanker, negative_chances
from genre.rankers.transformer import ItemVectors, NextItem
from genre.successors import Course, Successors
from genre.testing import check_ranker
from genre.tower import Dropout, Tower
from genre.types import Floats, GroundTruth, Histories, Start, Training
from genre.validation import ndcg, ndcg_B, sample
from genre.windows import Windows, cut

CONTENT = {"content": ["text"]}
SAMPLED = {"loss": "sampled", "negatives": 8}


def sequential(**settings: Any) -> SequentialRanker:
    small = {"embedding_dim": 16, "epochs": 3, "max_history": 10, "warmup_steps": 5, "device": "cpu", **settings}
    return build(SequentialRanker, {"use": "sequential", **small})


def ring(n: int = 20, cold: int = 2, users: int = 60, seed: int = 0) -> Training:
    """Users walk up a ring of n items; `cold` more items are in the catalogue, untouched."""
    rng = np.random.default_rng(seed)
    walks = [(rng.integers(n) + np.arange(rng.integers(3, 16))) % n for _ in range(users)]
    histories = Histories.of(walks)
    targets = np.array([(walk[-1] + 1) % n for walk in walks])
    return Training(histories, n + cold, validation=GroundTruth(histories, targets, np.arange(users + 1), np.arange(users)))


# The ranker


@pytest.mark.parametrize("settings", [{}, CONTENT, SAMPLED, CONTENT | SAMPLED, {"layers": 2, "precision": "float32"}])
def test_conforms(settings: dict[str, Any]) -> None:
    check_ranker(sequential(**settings))


@pytest.mark.parametrize("settings", [{}, SAMPLED | {"negatives": 30}])
def test_it_learns_what_comes_next(settings: dict[str, Any], tmp_path: Path) -> None:
    training = ring()
    ranker = sequential(epochs=60, learning_rate=0.01, batch_size=128, item_mask=0.0, dropout=0.0, input_dropout=0.0, **settings)
    ranker.fit(training, tmp_path)
    queries = Histories.of([[3, 4, 5], [18, 19], [7]])
    assert ranker.score(queries).argmax(1).tolist() == [6, 0, 8]


def test_without_content_untouched_items_come_last_for_everybody(tmp_path: Path) -> None:
    ranker = sequential()
    ranker.fit(ring(cold=3), tmp_path)
    ranker.extend(None, 1)
    scores_BN = ranker.score(Histories.of([[1, 2], [], [21], [22, 23]]))
    assert (scores_BN[:, 20:].max(1) < scores_BN[:, :20].min(1)).all()


def test_all_unknown_entries_are_read_alike(tmp_path: Path) -> None:
    ranker = sequential()
    ranker.fit(ring(cold=3), tmp_path)
    empty, cold, other = ranker.score(Histories.of([[], [20], [22]]))
    assert np.array_equal(empty, cold)
    assert np.array_equal(empty, other)


def test_with_content_a_new_item_scores_as_what_it_looks_like(tmp_path: Path) -> None:
    training = ring(cold=1)
    content = np.random.default_rng(0).normal(size=(21, 8)).astype(np.float32)
    content[20] = content[6]  # an item without a click that looks like item 6
    ranker = sequential(
        epochs=80, learning_rate=0.01, batch_size=128, id_dropout=0.5, item_mask=0.0, dropout=0.0, input_dropout=0.0, **CONTENT
    )
    ranker.fit(replace(training, content_ND=content), tmp_path)
    ranker.extend(content[[6]], 1)
    query = Histories.of([[3, 4, 5]])
    top = np.argsort(-ranker.score(query)[0])[:3]
    assert set(top) == {6, 20, 21}
    scores_N = ranker.score(query)[0]
    assert scores_N[20] == pytest.approx(scores_N[21], abs=1e-4)


def test_an_untouched_item_has_no_vector_of_its_own(tmp_path: Path) -> None:
    training = ring(cold=1)
    content = np.random.default_rng(0).normal(size=(21, 8)).astype(np.float32)
    ranker = sequential(**CONTENT)
    ranker.fit(replace(training, content_ND=content), tmp_path)
    state = ranker.state()
    hidden = torch.nn.functional.gelu(torch.from_numpy(content @ state["project.0.weight"].T + state["project.0.bias"]))
    by_content = hidden.numpy() @ state["project.2.weight"].T + state["project.2.bias"]
    assert np.allclose(state["items_ND"][20], by_content[20], atol=1e-5)
    assert not np.allclose(state["items_ND"][:20], by_content[:20], atol=1e-3)


def test_the_seed_decides_and_a_second_fit_in_the_folder_changes_nothing(tmp_path: Path) -> None:
    queries = Histories.of([[3, 4, 5], []])
    scores = []
    for folder, seed in (("a", 0), ("a", 0), ("b", 0), ("c", 1)):
        ranker = sequential()
        ranker.fit(replace(ring(), seed=seed), tmp_path / folder)
        scores.append(ranker.score(queries))
    assert np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[0], scores[2])
    assert not np.allclose(scores[0], scores[3])


def test_it_ends_with_the_best_validation_weights(tmp_path: Path) -> None:
    training, ranker = ring(users=40), sequential(epochs=12, learning_rate=0.03, batch_size=64)
    ranker.fit(training, tmp_path)
    figures = [float(line.split('"validation": ')[1].split(",")[0]) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert training.validation is not None
    assert ndcg(ranker.score, training.validation, training.n_items) == pytest.approx(max(figures), abs=1e-9)
    assert max(figures) > figures[0]
    assert ranker.chosen() == {"epochs": figures.index(max(figures)) + 1}
    ranker.save(tmp_path / "saved")
    assert Ranker.load(tmp_path / "saved").chosen() == {}


@pytest.mark.parametrize("histories", [[], [[]], [[1], [2]], [[], [0, 1], [2]]])
def test_little_or_nothing_to_learn_from(histories: list[list[int]], tmp_path: Path) -> None:
    ranker = sequential()
    ranker.fit(Training(Histories.of(histories), 4), tmp_path)
    assert np.isfinite(ranker.score(Histories.of([[], [1, 2]]))).all()


def test_without_validation_it_runs_all_epochs(tmp_path: Path) -> None:
    sequential(epochs=5, patience=1).fit(replace(ring(), validation=None), tmp_path)
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 5


def test_only_the_newest_entries_count(tmp_path: Path) -> None:
    ranker = sequential(max_history=4)
    ranker.fit(ring(), tmp_path)
    short, long = ranker.score(Histories.of([[5, 6, 7, 8], [1, 2, 3, 5, 6, 7, 8]]))
    assert np.allclose(short, long, atol=1e-6)


def test_content_must_come_when_it_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without it"):
        sequential(**CONTENT).fit(ring(), tmp_path)
    with pytest.raises(ValueError, match="with it"):
        sequential().fit(replace(ring(), content_ND=np.zeros((22, 3), np.float32)), tmp_path)
    ranker = sequential(**CONTENT)
    ranker.fit(replace(ring(), content_ND=np.zeros((22, 3), np.float32)), tmp_path)
    with pytest.raises(ValueError, match="2 new items need as many rows of content, got 0"):
        ranker.extend(None, 2)


def test_a_config_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="embedding_dim 10 is not a multiple of heads 4"):
        sequential(embedding_dim=10, heads=4)


def test_reading_the_config_does_not_import_torch() -> None:
    code = "import sys; from genre.rankers.sequential import SequentialRanker as S; S.Config(); assert 'torch' not in sys.modules"
    assert run([sys.executable, "-c", code]).returncode == 0


# The network


def test_no_place_sees_what_comes_after_it() -> None:
    torch.manual_seed(0)
    tower = Tower(16, 2, 2, 8).eval()
    x = torch.randn(1, 6, 16)
    changed = x.clone()
    changed[0, 4:] = torch.randn(2, 16)
    known = torch.ones(1, 6, dtype=torch.bool)
    a, b = tower(x, known), tower(changed, known)
    assert torch.allclose(a[0, :4], b[0, :4], atol=1e-6)
    assert not torch.allclose(a[0, 4:], b[0, 4:], atol=1e-2)


def test_the_tower_can_be_exported_with_rows_and_lengths_left_open() -> None:
    torch.manual_seed(0)
    tower = Tower(8, 1, 2, 12).eval()
    rows, length = torch.export.Dim("rows", min=1, max=64), torch.export.Dim("length", min=1, max=12)
    example = (torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool))
    exported = torch.export.export(tower, example, dynamic_shapes=({0: rows, 1: length}, {0: rows, 1: length})).module()
    for shape in ((1, 1), (3, 12)):
        vectors, known = torch.randn(*shape, 8), torch.rand(shape) > 0.3
        torch.testing.assert_close(exported(vectors, known), tower(vectors, known))


def test_padding_changes_neither_loss_nor_gradient() -> None:
    def batch_of(places: int) -> tuple[float, torch.Tensor]:
        torch.manual_seed(0)
        model = NextItem(ItemVectors(8, None, 6), Tower(8, 1, 2, 5))
        course = Course(np.array([0, 1, 2, 3, 4, 5, 1]), np.array([1, 2, 3, -1, 5, 1, -1]))
        windows = Windows(course, np.array([0, 4]), np.array([3, 2]), places, np.random.default_rng(0))
        total = torch.zeros(())
        for batch in windows:  # 3 + 2 places: one padded batch of both, or two of one each
            total = total + model.full_loss(batch) * batch.real_BL.sum()
        total.backward()  # type: ignore[no-untyped-call]
        assert len(windows) == (1 if places == 6 else 2)
        assert model.items.ids.weight.grad is not None
        return total.item(), model.items.ids.weight.grad

    (a, grad_a), (b, grad_b) = batch_of(6), batch_of(3)
    assert a == pytest.approx(b, rel=1e-5)
    torch.testing.assert_close(grad_a, grad_b, atol=1e-5, rtol=1e-4)


def test_dropout_drops_the_share_it_says_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropout = Dropout(0.3)
    out = dropout(torch.ones(1000, 101))
    assert (out == 0).float().mean().item() == pytest.approx(77 / 256, abs=0.01)
    assert out.mean().item() == pytest.approx(1.0, abs=0.01)
    assert torch.equal(dropout.eval()(out), out)


def test_id_dropout_leaves_an_item_its_content_alone_in_training_only() -> None:
    torch.manual_seed(0)
    items = ItemVectors(4, torch.randn(2000, 3), 2000, id_dropout=0.25)
    assert items.project is not None and items.content_NF is not None
    by_content = items.project(items.content_NF)
    bare = (items() - by_content).abs().amax(1) < 1e-7
    assert bare.float().mean().item() == pytest.approx(0.25, abs=0.04)
    assert torch.allclose(items.eval()(), by_content + items.ids.weight)


def test_the_units_of_the_content_do_not_matter() -> None:
    content = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    vectors = []
    for unit in (1.0, 0.01):
        torch.manual_seed(0)
        items = ItemVectors(4, content * unit, 50).eval()
        assert items.content_NF is not None
        assert items.content_NF.square().mean().item() == pytest.approx(1, rel=1e-5)
        read = items.read_content()
        assert read is not None
        torch.testing.assert_close(read(content * unit) + items.ids.weight, items())
        vectors.append(items())
    torch.testing.assert_close(vectors[0], vectors[1])
    assert ItemVectors(4, torch.zeros(5, 3), 5).scale == 1


def test_a_large_catalogue_is_scored_by_the_same_vectors_it_was_trained_with() -> None:
    torch.manual_seed(0)
    content = torch.randn(5, 3)
    model = NextItem(ItemVectors(4, content[[0, 2, 3]], 3), Tower(4, 1, 1, 6)).eval()
    scorer = Scorer.after_training(model, np.array([0, 2, 3]), content.numpy(), 5)
    torch.testing.assert_close(scorer.items_ND[[0, 2, 3]], model.items().detach())
    assert scorer.known_N.all()


# Windows


def windows_of(histories: Histories, longest: int, places: int, rng: np.random.Generator) -> Windows:
    course = Successors(histories, histories.item_idx_E, 0.0, "entry", repeats=True).draw(rng)
    return Windows(course, *cut(histories, longest, rng), places, rng)


def pairs(windows: Windows) -> list[tuple[int, int]]:
    return sorted(
        (int(a), int(b)) for batch in windows for a, b in zip(batch.input_BL[batch.real_BL], batch.target_BL[batch.real_BL], strict=True)
    )


@pytest.mark.parametrize("longest", [1, 3, 50])
def test_every_entry_but_the_first_is_a_target_once_and_follows_its_input(longest: int) -> None:
    rows = [[0, 1, 2], [], [3], [4, 5], list(range(10, 31))]
    histories = Histories.of(rows)
    rng = np.random.default_rng(0)
    windows = windows_of(histories, longest, 12, rng)
    assert pairs(windows) == sorted((a, b) for row in rows for a, b in pairwise(row))
    assert all(batch.input_BL.shape[1] <= longest for batch in windows)


def test_a_history_of_three_predicts_the_second_from_the_first_and_the_third_from_both() -> None:
    histories, rng = Histories.of([[7, 8, 9]]), np.random.default_rng(0)
    (batch,) = windows_of(histories, 50, 100, rng)
    assert batch.input_BL.tolist() == [[7, 8]]
    assert batch.target_BL.tolist() == [[8, 9]]


def test_batches_hold_what_they_may_and_little_padding() -> None:
    rng = np.random.default_rng(0)
    histories = Histories.of([np.arange(n) for n in rng.geometric(0.1, 3000)])
    windows = windows_of(histories, 30, 600, rng)
    assert max(batch.input_BL.size for batch in windows) <= 600
    assert sum(batch.real_BL.sum() for batch in windows) / sum(batch.real_BL.size for batch in windows) > 0.95


def test_long_histories_are_cut_anew_each_epoch() -> None:
    histories = Histories.of([np.arange(100)])
    assert len({tuple(cut(histories, 30, np.random.default_rng(seed))[0]) for seed in range(20)}) > 10


def test_an_epochs_batches_are_the_same_however_they_are_reached() -> None:
    histories = Histories.of([np.arange(n) for n in range(40)])
    a, b = (windows_of(histories, 9, 50, rng) for rng in (np.random.default_rng(1), np.random.default_rng(1)))
    assert all(np.array_equal(a[5].input_BL, each.input_BL) for each in b[5:6])
    assert len(a[2:]) == len(a) - 2


# Validation


def truth_of(history: list[list[int]], targets: list[list[int]]) -> GroundTruth:
    offsets = np.cumsum([0] + [len(row) for row in targets])
    return GroundTruth(Histories.of(history), np.concatenate([np.array(row) for row in targets]), offsets, np.arange(len(history)))


def test_ndcg_by_hand() -> None:
    scores: Floats = np.array([[0.9, 0.8, 0.7, 0.6], [0.1, 0.2, 0.3, 0.4]], np.float32)
    truth = truth_of([[], [3]], [[1], [1, 2]])
    # First: rank 2. Second: item 3 is out of the race, so both targets lead.
    assert ndcg_B(scores, truth).tolist() == pytest.approx([1 / np.log2(3), 1.0])
    # Repeats allowed: ranks 2 and 3 of two targets.
    assert ndcg_B(scores, truth, repeats=True)[1] == pytest.approx((1 / np.log2(3) + 1 / np.log2(4)) / (1 + 1 / np.log2(3)))
    assert ndcg_B(scores, truth, k=1).tolist() == [0.0, 1.0]


def test_ties_and_nan_count_against_the_target() -> None:
    truth = truth_of([[]], [[0]])
    assert ndcg_B(np.zeros((1, 10), np.float32), truth)[0] == pytest.approx(1 / np.log2(11))
    assert ndcg_B(np.zeros((1, 11), np.float32), truth)[0] == 0.0
    for broken in ([np.nan, 0.1], [np.nan, np.nan], [-np.inf, -np.inf]):
        assert ndcg_B(np.array([broken], np.float32), truth)[0] == 0.0
    assert ndcg_B(np.array([[0.5, np.nan]], np.float32), truth)[0] == pytest.approx(1 / np.log2(3))


def test_a_target_of_the_history_is_never_found_where_the_history_is_masked() -> None:
    truth = truth_of([[2]], [[2]])
    scores = np.array([[0.0, 0.0, 1.0]], np.float32)
    assert ndcg_B(scores, truth)[0] == 0.0
    assert ndcg_B(scores, truth, repeats=True)[0] == 1.0


def test_the_sample_is_decided_by_the_seed_and_no_larger_than_asked() -> None:
    truth = truth_of([[i] * (i % 5) for i in range(50)], [[i] for i in range(50)])
    picked = sample(truth, 20, np.random.default_rng(0))
    assert len(picked) == 20
    assert np.array_equal(picked.user_idx_B, sample(truth, 20, np.random.default_rng(0)).user_idx_B)
    assert (np.diff(picked.queries.lengths) >= 0).all()
    assert len(sample(truth, 99, np.random.default_rng(0))) == 50


def test_negative_chances_mix_uniform_and_popular() -> None:
    assert negative_chances(np.array([3, 1]), 0.0).tolist() == [0.5, 0.5]
    assert negative_chances(np.array([3, 1]), 1.0).tolist() == [0.75, 0.25]
    assert negative_chances(np.array([3, 1]), 0.5).tolist() == [0.625, 0.375]


def test_the_short_name_is_known() -> None:
    assert isinstance(build(Ranker, {"use": "sequential"}), SequentialRanker)


# Beginning from an earlier one


@pytest.mark.parametrize("settings", [{}, CONTENT, SAMPLED])
def test_it_begins_where_an_earlier_one_ended_whatever_the_catalogue_and_the_content(settings: dict[str, Any], tmp_path: Path) -> None:
    first, training = sequential(**settings, epochs=8), ring()
    rng = np.random.default_rng(0)
    content_NF = rng.normal(size=(22, 6)).astype(np.float32) if "content" in settings else None
    first.fit(replace(training, content_ND=content_NF), tmp_path / "first")
    # Today item 0 is gone and the order is another: items 1 to 21, backwards, then a new one.
    earlier_N = np.array([*range(21, 0, -1), -1])
    today = {earlier: now for now, earlier in enumerate(earlier_N.tolist())}
    walks = [[today[i] for i in training.histories.items(u).tolist() if i in today] for u in range(len(training.histories))]
    queries = [[3, 4, 5], [19], []]
    again = replace(training, histories=Histories.of(walks), validation=None, start=Start(first, earlier_N))
    if content_NF is not None:
        again = replace(again, content_ND=np.concatenate([-content_NF[earlier_N[:-1]], content_NF[:1]]))
    begun = sequential(**settings, epochs=1, learning_rate=1e-12)
    begun.fit(again, tmp_path / "again")
    here_BN = begun.score(Histories.of([[today[i] for i in query] for query in queries]))
    there_BN = first.score(Histories.of(queries))
    both = earlier_N[earlier_N >= 0]
    touched = both[both < 20]
    assert here_BN[:, [today[i] for i in touched]] == pytest.approx(there_BN[:, touched], abs=2e-4)


def test_an_earlier_one_of_another_shape_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, training = sequential(embedding_dim=8), ring()
    first.fit(training, tmp_path / "first")
    begun, plain = sequential(), sequential()
    begun.fit(replace(training, start=Start(first, np.arange(22))), tmp_path / "begun")
    plain.fit(training, tmp_path / "plain")
    assert "another shape" in caplog.text
    assert np.array_equal(begun.score(Histories.of([[3]])), plain.score(Histories.of([[3]])))
