"""`genre check` looks at what the configuration counts, not at all that the files hold."""

from __future__ import annotations

from pathlib import Path

import yaml

from genre.pipeline import check


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
