"""The Grafana dashboard in the documentation asks for metrics that the server has, by labels that they have."""

from __future__ import annotations

import json
import re
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
