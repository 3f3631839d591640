"""Drawing: plain SVG files, without a library: lines with intervals, and histograms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 74, 24, 56, 56
BESIDE, GAP, LEGEND = 310, 44, 120
"""Of panels beside one another: their width, and what is between them; and the width of what names the lines."""
COLOURS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f", "#475569", "#78350f")
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#334155}.title{font-size:16px;font-weight:600;fill:#0f172a}"
    ".soft{fill:#64748b}.axis{stroke:#94a3b8}.grid{stroke:#e2e8f0}"
)


@dataclass(frozen=True)
class Series:
    """Points that belong together, joined in order; each with a label that shows on hovering."""

    name: str
    points: Sequence[tuple[float, float]]
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Panel:
    """Lines over an x of their own."""

    x: str
    series: Sequence[Series]


@dataclass(frozen=True)
class Axis:
    """What is drawn along a side; the range is stretched to round ticks."""

    title: str
    low: float
    high: float

    @property
    def step(self) -> float:
        """A round step, 1, 2 or 5 times a power of ten, of about five to the range."""
        span = max(self.high - self.low, 1e-12)
        power = 10.0 ** math.floor(math.log10(span / 5))
        return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= span / 5 - 1e-15)

    @property
    def ticks(self) -> list[float]:
        """Round values that enclose the range."""
        first, last = math.floor(self.low / self.step + 1e-9), math.ceil(self.high / self.step - 1e-9)
        return [self.step * i for i in range(first, max(last, first + 1) + 1)]

    def place(self, value: float, start: float, stop: float) -> float:
        """Where a value lies between two ends."""
        ticks = self.ticks
        return round(start + (stop - start) * (value - ticks[0]) / (ticks[-1] - ticks[0]), 1)


def write_lines(file: Path, title: str, x: str, y: str, series: Sequence[Series], subtitle: str = "") -> None:
    """Several lines over one another.

    Raises:
        ValueError: there is no point.
    """
    write_panels(file, title, y, [Panel(x, series)], subtitle)


def write_panels(file: Path, title: str, y: str, panels: Sequence[Panel], subtitle: str = "") -> None:
    """The same y over several x, panel beside panel; lines of one name have one colour.

    Raises:
        ValueError: there is no point.
    """
    heights = [height for panel in panels for one in panel.series for _, height in one.points]
    if not heights:
        raise ValueError(f"{title}: there is nothing to draw")
    up = Axis(y, min(heights), max(heights))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(dict.fromkeys(one.name for p in panels for one in p.series))}
    wide = WIDTH - LEFT - RIGHT - LEGEND if len(panels) == 1 else BESIDE
    body = _heading(title, subtitle, y)
    left = LEFT
    for panel in panels:
        right = left + wide
        across = Axis(panel.x, *_ends([at for one in panel.series for at, _ in one.points]))
        body += _ground(up, left, right, panel.x, numbered=left == LEFT)
        body += [_text(across.place(value, left, right), HEIGHT - BOTTOM + 18, f"{value:.4g}", "middle") for value in across.ticks]
        for one in panel.series:
            body += _line(
                one, colours[one.name], [(across.place(a, left, right), up.place(b, HEIGHT - BOTTOM, TOP)) for a, b in one.points]
            )
        left = right + GAP
    right = left - GAP
    for number, (name, colour) in enumerate(colours.items()):
        height = TOP + 18 * number
        body.append(f'<rect x="{right + 16}" y="{height - 9}" width="10" height="10" fill="{colour}"/>')
        body.append(_text(right + 32, height, name))
    _write(file, body, right + LEGEND + RIGHT)


def write_bars(file: Path, title: str, x: str, y: str, bars: Sequence[tuple[str, float]], subtitle: str = "") -> None:
    """A histogram: a label and a height a bar.

    Raises:
        ValueError: there is no bar.
    """
    if not bars:
        raise ValueError(f"{title}: there is nothing to draw")
    up = Axis(y, 0.0, max(height for _, height in bars))
    body = _heading(title, subtitle, y) + _ground(up, LEFT, WIDTH - RIGHT, x)
    width = (WIDTH - LEFT - RIGHT) / len(bars)
    for number, (label, height) in enumerate(bars):
        left, top = LEFT + number * width, up.place(height, HEIGHT - BOTTOM, TOP)
        tall = round(HEIGHT - BOTTOM - top, 1)
        body.append(
            f'<rect x="{left + 1:.1f}" y="{top}" width="{width - 2:.1f}" height="{tall}" fill="{COLOURS[0]}">'
            f"<title>{escape(label)}: {height:g}</title></rect>"
        )
        if len(bars) <= 16 or number % 2 == 0:
            body.append(_text(left + width / 2, HEIGHT - BOTTOM + 18, label, "middle"))
    _write(file, body)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _line(one: Series, colour: str, places: Sequence[tuple[float, float]]) -> list[str]:
    """Points, joined."""
    joined = " ".join(f"{a},{b}" for a, b in places)
    body = [f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{joined}"/>']
    for (a, b), label in zip(places, one.labels or [""] * len(places), strict=True):
        body.append(f'<circle cx="{a}" cy="{b}" r="4" fill="{colour}"><title>{escape(f"{one.name} {label}")}</title></circle>')
    return body


def _heading(title: str, subtitle: str, y: str) -> list[str]:
    """Title, subtitle and what is drawn upwards."""
    turned = f'<g transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">{_text(0, 0, y, "middle")}</g>'
    return [_text(LEFT, 22, title, style="title"), _text(LEFT, 41, subtitle), turned]


def _ground(up: Axis, left: float, right: float, x: str, numbered: bool = True) -> list[str]:
    """The grid, the axis below it and its name."""
    body = [_text((left + right) / 2, HEIGHT - 12, x, "middle")]
    for value in up.ticks:
        height = up.place(value, HEIGHT - BOTTOM, TOP)
        body.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{height}" y2="{height}"/>')
        if numbered:
            body.append(_text(left - 8, height + 4, f"{value:.4g}", "end"))
    body.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>')
    return body


def _text(x: float, y: float, words: str, anchor: str = "start", style: str = "soft") -> str:
    return f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def _write(file: Path, body: Sequence[str], width: int = WIDTH) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" role="img">'
    page = [head, f"<style>{STYLE}</style>", '<rect width="100%" height="100%" fill="#fff"/>', *body, "</svg>"]
    file.write_text("\n".join(page) + "\n", encoding="utf-8")
