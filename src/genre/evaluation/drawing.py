"""Drawing: plain SVG files, without a library: lines with intervals, and histograms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 74, 24, 56, 56
COLOURS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f")
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
    xs, ys = ([point[side] for one in series for point in one.points] for side in (0, 1))
    if not xs:
        raise ValueError(f"{title}: there is nothing to draw")
    across, up = Axis(x, min(xs), max(xs)), Axis(y, min(ys), max(ys))
    body = _frame(title, subtitle, across, up)
    for number, one in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        places = [(across.place(a, LEFT, WIDTH - RIGHT - 120), up.place(b, HEIGHT - BOTTOM, TOP)) for a, b in one.points]
        body.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{" ".join(f"{a},{b}" for a, b in places)}"/>')
        for (a, b), label in zip(places, one.labels or [""] * len(places), strict=True):
            body.append(f'<circle cx="{a}" cy="{b}" r="4" fill="{colour}"><title>{escape(f"{one.name} {label}")}</title></circle>')
        height = TOP + 18 * number
        body.append(f'<rect x="{WIDTH - RIGHT - 104}" y="{height - 9}" width="10" height="10" fill="{colour}"/>')
        body.append(_text(WIDTH - RIGHT - 88, height, one.name))
    _write(file, body)


def write_bars(file: Path, title: str, x: str, y: str, bars: Sequence[tuple[str, float]], subtitle: str = "") -> None:
    """A histogram: a label and a height a bar.

    Raises:
        ValueError: there is no bar.
    """
    if not bars:
        raise ValueError(f"{title}: there is nothing to draw")
    up = Axis(y, 0.0, max(height for _, height in bars))
    body = _frame(title, subtitle, None, up, x)
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


def _frame(title: str, subtitle: str, across: Axis | None, up: Axis, x: str = "") -> list[str]:
    """Title, axes and grid."""
    right = WIDTH - RIGHT - (120 if across is not None else 0)
    middle = (TOP + HEIGHT - BOTTOM) / 2
    body = [
        _text(LEFT, 22, title, style="title"),
        _text(LEFT, 41, subtitle),
        _text((LEFT + right) / 2, HEIGHT - 12, x if across is None else across.title, "middle"),
        f'<g transform="translate(16 {middle}) rotate(-90)">{_text(0, 0, up.title, "middle")}</g>',
    ]
    for value in up.ticks:
        height = up.place(value, HEIGHT - BOTTOM, TOP)
        body.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{height}" y2="{height}"/>')
        body.append(_text(LEFT - 8, height + 4, f"{value:.4g}", "end"))
    if across is not None:
        body += [_text(across.place(value, LEFT, right), HEIGHT - BOTTOM + 18, f"{value:.4g}", "middle") for value in across.ticks]
    body.append(f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>')
    return body


def _text(x: float, y: float, words: str, anchor: str = "start", style: str = "soft") -> str:
    return f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def _write(file: Path, body: Sequence[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">'
    page = [head, f"<style>{STYLE}</style>", '<rect width="100%" height="100%" fill="#fff"/>', *body, "</svg>"]
    file.write_text("\n".join(page) + "\n", encoding="utf-8")
