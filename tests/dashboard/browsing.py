"""A real browser for tests: Debian's Chromium, driven by Playwright; where there is none, tests say how to install it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SIZES = {"wide": (1280, 900), "narrow": (390, 844)}
SCHEMES = ("light", "dark")
COLOURS = 192
"""Of a picture that is kept: enough for a page, and its file is a third."""
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; install it with: apt-get install -y chromium")


def window(browser: Any, size: str) -> tuple[Any, list[str]]:
    """A window, and what the browser complains of in it (but for images that are not there)."""
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height})
    said: list[str] = []
    page.on(
        "console", lambda message: said.append(message.text) if message.type in ("error", "warning") and "404" not in message.text else None
    )
    page.on("pageerror", lambda error: said.append(str(error)))
    return page, said


def too_wide(page: Any) -> list[str]:
    """What is wider than the window, or is cut and must be moved sideways to be read: the page, and tables with everything opened."""
    found: list[str] = page.evaluate(
        """() => {
            document.querySelectorAll("details").forEach((one) => { one.open = true; });
            const cut = [...document.querySelectorAll(".scroll")].filter((one) => one.scrollWidth > one.clientWidth);
            const whole = document.documentElement.scrollWidth > innerWidth ? ["the page"] : [];
            return [...whole, ...cut.map((one) => one.getAttribute("aria-label"))];
        }"""
    )
    return found


def keep(page: Any, name: str, size: str) -> None:
    """Pictures of a page as it is, light and dark, in the folder GENRE_SCREENSHOTS."""
    from PIL import Image

    folder = Path(os.environ["GENRE_SCREENSHOTS"])
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        file = folder / f"{name}-{size}-{scheme}.png"
        page.screenshot(path=file, full_page=True)
        with Image.open(file) as picture:
            picture.convert("RGB").quantize(COLOURS).save(file, optimize=True)
