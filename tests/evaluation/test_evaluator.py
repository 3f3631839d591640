"""The evaluator: protocol on every line, both maskings in one pass, groups, awkward scores, bounded memory."""

# B queries, N items

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genre.evaluation.evaluator import Catalogue, EvaluationConfig, evaluate
from genre.evaluation.result import Result
from genre.types import Floats, GroundTruth, Histories

N = 6
COUNTS = np.array([9, 5, 3, 2, 1, 0])
SCORES = np.array([6.0, 5.0, 4.0, 3.0, 2.0, 1.0])


def always(scores_N: Floats) -> object:
    return lambda queries: np.tile(scores_N, (len(queries), 1))


def truth_of(histories: list[list[int]], targets: list[list[int]], users: list[int] | None = None) -> GroundTruth:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in targets])]).astype(np.int64)
    owners = np.arange(len(histories)) if users is None else np.array(users)
    return GroundTruth(Histories.of(histories), np.array([item for row in targets for item in row]), offsets, owners)


def judge(truth: GroundTruth, scores_N: Floats = SCORES, **more: object) -> Result:
    given: dict[str, object] = {"catalogue": Catalogue(COUNTS), "split": "leave-last-out", "config": EvaluationConfig(cutoffs=(1, 10))}
    return evaluate(always(scores_N), truth, **(given | more))  # type: ignore[arg-type]


def test_every_value_prints_with_its_protocol() -> None:
    result = judge(truth_of([[0], [0, 1]], [[1], [3]]))
    assert str(result["hit_rate@1"]) == "hit_rate@1 0.5000 ±0.500 (leave-last-out, full ranking, history masked, 2 users)"
    assert result.lines("ndcg@10")[0].startswith("ndcg@10 ")
    with pytest.raises(KeyError, match=r"no metric 'ndcg@7'; measured: hit_rate@1"):
        result["ndcg@7"]


def test_all_that_was_measured_is_printed() -> None:
    result = judge(truth_of([[0], [0, 1]], [[1], [3]]))
    said = result.lines()
    for name in result.metrics:
        assert any(line.startswith(f"{name} ") and "history masked, 2 users)" in line for line in said), name
        assert any(line.startswith(f"{name} ") and "repeats allowed, 2 users)" in line for line in said), name
    assert f"novelty@10 {result.beyond['novelty@10']:.4f} (leave-last-out, full ranking, history masked, 2 users)" in said
    assert {line.partition(" ")[0] for line in said} == {*result.metrics, *result.beyond}
    broken = judge(truth_of([[0]], [[1]]), np.array([1.0, 2.0, np.nan, 0.5, 0.2, 0.1]))
    assert any(line.startswith("scores that are no numbers: 1 (") for line in broken.lines())


def test_both_maskings_come_from_one_pass() -> None:
    truth = truth_of([[0]], [[1]])
    masked, free = judge(truth), judge(truth, repeats=True)
    assert (masked.metrics["hit_rate@1"].mean, masked.other["hit_rate@1"].mean) == (1.0, 0.0)
    assert (free.metrics["hit_rate@1"].mean, free.other["hit_rate@1"].mean) == (0.0, 1.0)
    assert "repeats allowed" in str(free.protocol) and "history masked" in str(free.protocol.masking_the_other_way())


def test_a_target_in_the_history_is_a_hit_only_where_repeats_are_allowed() -> None:
    truth = truth_of([[0]], [[0]])
    assert judge(truth).metrics["hit_rate@10"].mean == 0
    assert judge(truth, repeats=True).metrics["hit_rate@1"].mean == 1


def test_equal_scores_for_all_items_give_no_hit_at_one() -> None:
    result = judge(truth_of([[], []], [[0], [5]]), np.zeros(N))
    assert result.metrics["hit_rate@1"].mean == 0
    assert result.metrics["mrr@10"].mean == pytest.approx(1 / N)


def test_nan_scores_are_counted_and_never_hits() -> None:
    result = judge(truth_of([[], []], [[0], [1]]), np.full(N, np.nan))
    assert result.nan_scores == 2 * N
    assert all(interval.mean == 0 for interval in result.metrics.values())
    assert result.beyond["coverage@10"] == 0 and "novelty@10" not in result.beyond


def test_a_target_named_twice_counts_once() -> None:
    assert judge(truth_of([[]], [[0, 0, 1]])).metrics["recall@1"].mean == 0.5


def test_batches_do_not_change_the_values() -> None:
    rng = np.random.default_rng(0)
    truth = truth_of([list(rng.integers(0, 3, 4)) for _ in range(40)], [[int(rng.integers(3, 6))] for _ in range(40)])
    sizes: list[int] = []

    def score(queries: Histories) -> Floats:
        sizes.append(len(queries))
        return np.stack([np.bincount(queries.items(b), minlength=N) + SCORES[::-1] / 9 for b in range(len(queries))])

    def run(memory_mb: float) -> Result:
        return evaluate(score, truth, Catalogue(COUNTS), "leave-last-out", EvaluationConfig(memory_mb=memory_mb))

    whole = run(100)
    assert sizes == [40]
    in_threes = run(3 * N * 12 / 1e6)
    assert sizes[1:] == [3] * 13 + [1]
    assert whole.as_dict() == in_threes.as_dict() and whole.per_user.equals(in_threes.per_user)


def test_queries_of_one_user_are_averaged_before_users_are() -> None:
    # User 7 is right once in two lists, user 8 always: (0.5 + 1) / 2, not 2 / 3.
    result = judge(truth_of([[], [], []], [[0], [5], [0]], users=[7, 7, 8]))
    assert result.metrics["hit_rate@1"].mean == 0.75
    assert result.per_user["user_idx"].to_list() == [7, 8]
    assert str(result.protocol).endswith("3 lists of 2 users")


def test_cold_items_and_cold_users_are_reported_apart() -> None:
    # Item 5 was never trained on and is scored last; the first user has one event, the second four.
    result = judge(truth_of([[0], [0, 1, 2, 3]], [[1], [5, 4]]))
    cold = result.group("cold items")
    assert (cold.users, cold.targets) == (1, 1)
    assert cold.metrics["hit_rate@1"].mean == 0 and cold.metrics["hit_rate@10"].mean == 1
    assert result.group("warm items").metrics["hit_rate@1"].mean == 1
    assert (result.group("cold users").users, result.group("warm users").users) == (1, 1)
    assert {group.label: group.users for group in result.groups if group.kind == "history"} == {
        "0 to 2": 1, "3 to 9": 1, "10 to 29": 0, "30 to 99": 0, "100 and more": 0,
    }  # fmt: skip
    said = result.lines("ndcg@10")
    assert any(", cold items (no training interaction), 1 target of 1 user)" in line for line in said)
    assert any(", history of 3 to 9 events, 2 targets of 1 user)" in line for line in said)
    assert not any("10 to 29" in line for line in said), "nobody is there"
    assert result.group("10 to 29").metrics == {}


def test_lists_beyond_accuracy_by_hand() -> None:
    catalogue = Catalogue(COUNTS, np.eye(N), np.eye(N)[:, :2])
    result = judge(truth_of([[0], [0]], [[1], [2]]), catalogue=catalogue, config=EvaluationConfig(cutoffs=(2,), list_length=4))
    # Both lists are items 1 to 4; the head (items 0, 1 and 2) holds 17 of 20 interactions; only item 1 has a category, not the history's.
    assert result.beyond["coverage@4"] == pytest.approx(4 / N)
    assert result.beyond["diversity@4"] == pytest.approx(1)
    assert result.beyond["tail_share@4"] == pytest.approx(0.5)
    assert result.beyond["mix_distance@4"] == pytest.approx(1)


def test_what_was_left_out_is_said() -> None:
    result = judge(truth_of([[0]], [[1]]), dropped={"users with one interaction": 12, "unknown items": 0})
    assert result.protocol.sentences()[-1] == "Left out and counted: 12 users with one interaction."


def test_results_survive_a_folder(tmp_path: Path) -> None:
    result = judge(truth_of([[0], [0, 1, 2]], [[1], [3]]), dropped={"users without a target": 3})
    result.save(tmp_path)
    again = Result.load(tmp_path)
    assert again.as_dict() == result.as_dict() and again.protocol == result.protocol
    assert again.per_user.equals(result.per_user)
    assert pl.read_parquet(tmp_path / "per_user.parquet").columns[:3] == ["user_idx", "history_length", "targets"]
    with pytest.raises(FileNotFoundError, match=r"metrics\.json is missing"):
        Result.load(tmp_path / "elsewhere")


def test_nothing_to_judge_is_refused() -> None:
    with pytest.raises(ValueError, match="no user with a target"):
        judge(truth_of([], []))


def test_scores_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"scores have shape \(1, 5\), not \(queries, items\) = \(1, 6\)"):
        judge(truth_of([[0]], [[1]]), SCORES[:5])


@pytest.mark.parametrize(("histories", "targets", "name"), [([[0]], [[6]], "target"), ([[6]], [[0]], "history")])
def test_an_item_outside_the_catalogue_is_refused(histories: list[list[int]], targets: list[list[int]], name: str) -> None:
    with pytest.raises(ValueError, match=f"a {name} has item 6"):
        judge(truth_of(histories, targets))
