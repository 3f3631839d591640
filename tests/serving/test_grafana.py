"""The Grafana dashboard in the documentation asks for metrics that the server has, by labels that they have."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genre.serving import observability

BOARD = json.loads((Path(__file__).parents[2] / "docs" / "grafana.json").read_text())
KINDS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def metrics() -> dict[str, set[str]]:
    """The names that Prometheus knows, and the labels of each."""
    found: dict[str, set[str]] = {}
    for one in vars(observability).values():
        if hasattr(one, "_labelnames"):
            for suffix in KINDS[one._type]:
                found[one._name + suffix] = {*one._labelnames, *(["le"] if suffix == "_bucket" else [])}
    return found


def test_every_metric_is_on_the_board_and_nothing_else() -> None:
    asked = {name for panel in BOARD["panels"] for target in panel["targets"] for name in re.findall(r"genre_\w+", target["expr"])}
    known = metrics()
    assert asked <= set(known)
    told = {name.removesuffix("_bucket") for name in asked}
    assert {name for name in known if not name.endswith(("_sum", "_count", "_bucket"))} <= told


@pytest.mark.parametrize("panel", BOARD["panels"], ids=lambda panel: panel["title"])
def test_a_panel_groups_by_labels_that_there_are(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        (name,) = re.findall(r"genre_\w+", target["expr"])
        grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in group.split(",")}
        assert grouped <= metrics()[name]
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= grouped
        assert target["expr"].count("(") == target["expr"].count(")")


def lost(written: Any, read: Any, path: str = "") -> Iterator[str]:
    """What of a document its reader did not understand, or changed."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            yield from lost(value, read[key], f"{path}.{key}") if key in read else [f"{path}.{key}"]
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for at, (one, other) in enumerate(zip(written, read, strict=True)):
            yield from lost(one, other, f"{path}[{at}]")
    elif written != read:
        yield path


def through_grafanas_types(board: dict[str, Any]) -> dict[str, Any]:
    """Read as Grafana's own SDK types it (Dashboard, its panels, its Prometheus queries), and written again."""
    pytest.importorskip("grafana_foundation_sdk", reason="pip install grafana-foundation-sdk")
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    again: dict[str, Any] = json.loads(JSONEncoder().encode(Dashboard.from_json(copy.deepcopy(board))))
    return again


def test_grafanas_own_types_know_all_that_the_board_says() -> None:
    assert list(lost(BOARD, through_grafanas_types(BOARD))) == []


def test_a_key_that_grafana_does_not_know_would_be_found() -> None:
    wrong = copy.deepcopy(BOARD)
    wrong["panels"][0]["grdPos"] = {}
    wrong["panels"][0]["targets"][0]["legnd"] = "x"
    assert list(lost(wrong, through_grafanas_types(wrong))) == [".panels[0].targets[0].legnd", ".panels[0].grdPos"]
