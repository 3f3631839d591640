"""Pages in a real browser: nothing is refused, nothing hostile runs, nothing overflows, charts are drawn."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from browsing import in_browser, too_wide, window
from made_views import empty, full, young

from genre.dashboard.assets import HEADERS, assets

HOSTILE = "<script>document.title='owned'</script>\"'><img src=x onerror=\"document.title='owned'\">"
pytestmark = [pytest.mark.browser, in_browser]
PAGES = {f"full/{name}": page for name, page in full().items()} | {f"empty/{name}": page for name, page in empty().items()}
PAGES |= {f"young/{name}": page for name, page in young().items()}
PAGES |= {f"hostile/{name}": page for name, page in full(HOSTILE).items()}


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the pages as the server would, policy included."""

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        asset = assets().get(path.removeprefix("/dashboard/static/"))
        if asset is not None:
            self.answer(200, asset.content, {"content-type": asset.content_type})
        elif path.removeprefix("/page/") in PAGES:
            render, view = PAGES[path.removeprefix("/page/")]
            self.answer(200, render(view).encode(), {"content-type": "text/html; charset=utf-8", **HEADERS})
        else:
            self.answer(404, b"", {"content-type": "image/png" if path.endswith(".png") else "text/plain"})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def opened(browser: Any, address: str, size: str = "wide") -> Any:
    """One page."""
    page, _ = window(browser, size)
    page.goto(address)
    return page


@pytest.mark.parametrize(("kind", "size"), [("full", "wide"), ("full", "narrow"), ("hostile", "narrow"), ("empty", "narrow")])
def test_no_page_is_refused_owned_or_too_wide(browser: Any, server: str, kind: str, size: str) -> None:
    page, said = window(browser, size)
    for name in (name for name in PAGES if name.startswith(f"{kind}/")):
        page.goto(f"{server}/page/{name}")
        assert said == [], name
        assert page.title() != "owned", name
        cut = too_wide(page)
        assert cut == [] if size == "narrow" else "the page" not in cut, f"{name} is wider than the {size} window"
    page.close()


def test_a_row_on_a_phone_says_what_each_of_its_figures_is(browser: Any, server: str) -> None:
    page = opened(browser, f"{server}/page/full/experiment", "narrow")
    cell = page.get_by_role("region", name="All metrics").locator("td").nth(3)
    assert cell.evaluate("(one) => getComputedStyle(one, '::before').content") == '"any time, 95%"'
    assert cell.bounding_box()["x"] + cell.bounding_box()["width"] <= 390
    page.close()
    page = opened(browser, f"{server}/page/full/experiment")
    cell = page.get_by_role("region", name="All metrics").locator("td").nth(3)
    assert cell.evaluate("(one) => getComputedStyle(one, '::before').content") == "none"
    page.close()


def test_charts_are_drawn_and_have_their_table(browser: Any, server: str) -> None:
    page = opened(browser, f"{server}/page/full/overview")
    assert page.locator(".plot canvas").count() == 2
    page.locator("summary").first.click()
    assert page.get_by_role("table", name="").first.is_visible()
    page.close()


@pytest.mark.parametrize(("name", "least"), [("overview", 4), ("experiment", 60)])
def test_a_chart_of_one_moment_shows_it(browser: Any, server: str, name: str, least: int) -> None:
    """A point where no line can be, and the interval of a single look as a bar."""
    page = opened(browser, f"{server}/page/young/{name}")
    drawn = page.evaluate(
        """() => {
            const canvas = document.querySelector(".plot canvas");
            const { data, width } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const rows = new Set();
            for (let i = 0; i < data.length; i += 4) {
                // What is drawn in a colour; axes, grid and figures are grey.
                const most = Math.max(data[i], data[i + 1], data[i + 2]), least = Math.min(data[i], data[i + 1], data[i + 2]);
                if (data[i + 3] > 40 && most - least > 40) rows.add(Math.floor(i / 4 / width));
            }
            return rows.size;
        }"""
    )
    assert drawn >= least
    page.close()


def test_a_legend_rests_at_the_newest_values(browser: Any, server: str) -> None:
    page = opened(browser, f"{server}/page/young/overview")
    assert [text.strip() for text in page.locator(".u-legend .u-value").all_inner_texts()][1:] == ["12 ms", "12 ms"]
    page.locator(".plot .u-over").hover(position={"x": 5, "y": 20})
    page.wait_for_function("document.querySelectorAll('.u-legend .u-value')[1].textContent.trim() === '–'")
    page.mouse.move(0, 0)
    page.wait_for_function("document.querySelectorAll('.u-legend .u-value')[1].textContent.trim() === '12 ms'")
    page.close()


def test_the_keyboard_reaches_the_content_first(browser: Any, server: str) -> None:
    page = opened(browser, f"{server}/page/full/models")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.close()


def test_what_cannot_be_undone_is_asked_about(browser: Any, server: str) -> None:
    page = opened(browser, f"{server}/page/full/models")
    asked: list[str] = []

    def refuse(dialog: Any) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", refuse)
    page.get_by_role("button", name="Roll back to 000011").click()
    assert asked == ["Answer with 000011 from now on?"]
    assert page.url.endswith("/page/full/models")
    page.close()


def test_the_current_page_is_in_sight_on_a_phone(browser: Any, server: str) -> None:
    page = opened(browser, f"{server}/page/full/operations", "narrow")
    box = page.locator(".side [aria-current]").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    page.close()
