"""`genre check` looks at what the configuration counts, not at all that the files hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import genre
from genre.checking import check
from genre.runs import Run


def found(folder: Path, **data: object) -> set[str]:
    """Names of what is found in a log in which everybody views twice and buys once."""
    rows = [
        f"u{user},{kind}{number},{1e9 + 60 * user + number},{kind}"
        for user in range(50)
        for number, kind in enumerate(("view", "view", "buy"))
    ]
    (folder / "events.csv").write_text("user,item,at,kind\n" + "\n".join(rows) + "\n")
    reader = {
        "use": "files",
        "events": str(folder / "events.csv"),
        "columns": {"user": "user", "item": "item", "time": "at", "event": "kind"},
    }
    (folder / "shop.yaml").write_text(
        yaml.safe_dump({"data": {"reader": reader, **data}, "rankers": {"popularity": {"use": "popularity"}}})
    )
    findings, rejected = check(folder / "shop.yaml")
    assert rejected.is_empty()
    return {finding.name for finding in findings}


def test_users_with_one_purchase_are_named_where_purchases_are_what_counts(tmp_path: Path) -> None:
    assert "single_interaction_users" not in found(tmp_path)
    assert "single_interaction_users" in found(tmp_path, events=["buy"])


def test_nothing_that_counts_is_an_error_in_words(tmp_path: Path) -> None:
    assert found(tmp_path, events=["like"]) == {"empty"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("evaluate.category=zzz", "evaluate.category names the column 'zzz'; the items have item_idx, item_id, title"),
        ("encoders.text.text='{zzz}'", "encoders.text names the column 'zzz'; the items have"),
        ("encoders.facts={use: attributes, columns: [category, zzz]}", "encoders.facts names the column 'zzz'; the items have"),
        ("policy={use: calibrated, attribute: zzz}", "policy names the column 'zzz'; the items have"),
        ("surfaces.home.policy={use: calibrated, attribute: zzz}", "surfaces.home.policy names the column 'zzz'; the items have"),
        ("data.text='{zzz}'", "data.text: .*there is no column 'zzz'.* The items have item_idx, item_id, title"),
        ("data.events=[veiw]", r"no interaction is left: .* look at data.events \(there is click\)"),
        ("data.title=zzz", "data.title names the column 'zzz'; the items have"),
    ],
)
def test_a_column_that_is_not_there_is_named_with_its_path_before_anything_is_learnt(
    small_yaml: Path, tmp_path: Path, change: str, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        genre.run(small_yaml, [change], folder=tmp_path / "run")
    assert set(Run(tmp_path / "run").stages()) <= {"prepare"}
    assert not (tmp_path / "run" / "config.yaml").exists()
