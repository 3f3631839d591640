"""Drawings are well-formed, escape what is data, and put points where they belong."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from genre.evaluation.drawing import Axis, Series, write_bars, write_lines

SVG = "{http://www.w3.org/2000/svg}"


def test_ticks_are_round_and_enclose_the_range() -> None:
    assert Axis("x", 0.0, 1.0).ticks == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert Axis("x", 0.123, 0.131).ticks == pytest.approx([0.122, 0.124, 0.126, 0.128, 0.13, 0.132])
    assert len(Axis("x", 3.0, 3.0).ticks) >= 2
    assert Axis("x", 0.0, 10.0).place(5.0, 100, 300) == 200


def test_lines_have_a_point_each_and_names_are_no_markup(tmp_path: Path) -> None:
    series = [Series("a <b> & c", [(0, 1), (1, 2)], ["one", "two"]), Series("d", [(0.5, 1.5)])]
    write_lines(tmp_path / "plot.svg", "Title <1>", "x", "y", series)
    root = ElementTree.parse(tmp_path / "plot.svg").getroot()
    circles = root.findall(f"{SVG}circle")
    assert len(circles) == 3
    assert "a <b> & c" in [text.text for text in root.iter(f"{SVG}text")]
    assert float(circles[0].get("cx", 0)) < float(circles[2].get("cx", 0)) < float(circles[1].get("cx", 0))
    assert float(circles[0].get("cy", 0)) > float(circles[1].get("cy", 0))


def test_bars_are_as_tall_as_they_count(tmp_path: Path) -> None:
    write_bars(tmp_path / "bars.svg", "Title", "x", "y", [("0", 10), ("1", 5), ("2", 0)])
    bars = [bar for bar in ElementTree.parse(tmp_path / "bars.svg").getroot().findall(f"{SVG}rect") if bar.find(f"{SVG}title") is not None]
    heights = [float(bar.get("height", 0)) for bar in bars]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.2)
    assert heights[2] == 0


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        write_bars(tmp_path / "x.svg", "T", "x", "y", [])
    with pytest.raises(ValueError, match="nothing to draw"):
        write_lines(tmp_path / "x.svg", "T", "x", "y", [])
