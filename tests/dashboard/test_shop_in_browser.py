"""The dashboard in a real browser: what a product manager does with it, what a screen reader meets, what hostile text does not do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import SIZES, in_browser, keep, too_wide, window
from dashboards import listening
from past import ENDS
from shop import FILMS, GOODS, HOSTILE, open_shop

from genre.runs import Run
from genre.serving.engine import BundleEngine

pytestmark = [pytest.mark.browser, in_browser]
FILMS_RUN = "GENRE_FILMS"
"""The folder of a run on MovieLens-100K: pictures of films say more than those of the synthetic world."""
SHOWN = "GENRE_SCREENSHOTS"


@pytest.fixture(scope="module")
def shop(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a shop that serves, and its admin key."""
    run, token = open_shop(small_run, tmp_path_factory.mktemp("shop") / "shop")
    with listening(run, BundleEngine.load) as address:
        yield f"{address}/dashboard", token


@pytest.fixture
def page(browser: Any, shop: tuple[str, str]) -> Iterator[Any]:
    """A window of somebody logged in; nothing that the browser complains of is let pass."""
    opened, said = window(browser, "wide")
    log_in(opened, *shop)
    yield opened
    opened.close()
    assert said == []


def log_in(page: Any, address: str, token: str) -> None:
    page.goto(address)
    page.get_by_label("Admin key").fill(token)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Overview").wait_for()


def pages(user: str = "0001", item: str = "007", rule: str = "2: cheap first") -> dict[str, str]:
    """Every page with something on it."""
    return {
        "overview": "", "surfaces": f"/surfaces?surface=home&user={user}&rule={rule}", "requests": "/requests", "users": "/users",
        "user": f"/users?user={user}", "items": "/items", "item": f"/items?item={item}", "models": "/models",
        "experiments": "/experiments", "experiment": "/experiments?name=hotter", "experiment-planned": "/experiments?name=quiet",
        "off-policy": "/off-policy?candidate=home: plackett_luce temperature 0.3", "data": "/data", "operations": "/operations",
        "request": "/requests",
    }  # fmt: skip


def visit(page: Any, address: str, name: str, path: str) -> None:
    """A request is reached by its link, as its id is another one every time."""
    page.goto(address + path)
    if name == "request":
        page.locator("main table a").first.click()
        page.get_by_role("heading", name="Stage by stage").wait_for()


def test_a_wrong_key_is_refused(browser: Any, shop: tuple[str, str]) -> None:
    page, _ = window(browser, "narrow")
    page.goto(shop[0])
    page.get_by_label("Admin key").fill("genre-nothing")
    page.get_by_role("button", name="Log in").click()
    assert "was revoked" in page.get_by_role("alert").inner_text()
    page.close()


def test_a_rule_is_looked_at_in_place(page: Any, shop: tuple[str, str]) -> None:
    page.goto(f"{shop[0]}/surfaces")
    page.get_by_label("User").fill("newcomer")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("heading", name="newcomer is shown").wait_for()
    page.get_by_label("Surface").select_option("home")  # by htmx: neither the page nor the address changes
    page.get_by_label("With and without").select_option("3: pin 007 at 3")
    page.get_by_role("heading", name="Without 3: pin 007 at 3").wait_for()
    third = page.locator("ol[aria-label='List for newcomer'] li").nth(2)
    assert "items?item=007" in third.locator("a").get_attribute("href")
    assert page.url == f"{shop[0]}/surfaces"


def test_a_model_is_promoted_and_rolled_back(page: Any, shop: tuple[str, str]) -> None:
    asked: list[str] = []

    def agree(dialog: Any) -> None:
        asked.append(dialog.message)
        dialog.accept()

    page.on("dialog", agree)
    page.goto(f"{shop[0]}/models")
    page.get_by_role("button", name="Promote").first.click()
    page.get_by_text("000001 answers from now on").wait_for()
    page.get_by_role("button", name="Roll back to 000002").click()
    page.get_by_text("Rolled back: 000002 answers again").wait_for()
    assert asked == ["Answer with 000001 from now on?", "Answer with 000002 from now on?"]
    assert "rolled back to 000002" in page.get_by_role("table").last.inner_text()


def test_an_experiment_is_started_and_stopped(page: Any, shop: tuple[str, str]) -> None:
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"{shop[0]}/experiments")
    page.get_by_role("link", name="quiet").click()
    page.get_by_role("button", name="Start").click()
    page.get_by_text("quiet runs: every worker").wait_for()
    page.get_by_label("Why").fill("only a test")
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("quiet is stopped").wait_for()
    assert "only a test" in page.locator("main").inner_text()


def test_a_hostile_title_is_read_and_never_run(page: Any, shop: tuple[str, str]) -> None:
    page.goto(f"{shop[0]}/items?query=owned")
    page.get_by_role("link", name=HOSTILE).click()
    assert page.get_by_role("heading", level=1).inner_text() == HOSTILE
    page.goto(f"{shop[0]}/users?user=stranger")
    assert HOSTILE in page.locator("main").inner_text()
    for address in ("/items", "/surfaces?surface=home&user=0001", "/requests?query=%3Cscript%3E"):
        page.goto(shop[0] + address)
        assert "owned" not in page.title()
        assert page.evaluate("document.querySelectorAll('main script, main img').length") == 0


@pytest.mark.parametrize(("size", "scheme"), [("wide", "light"), ("narrow", "dark")])
def test_axe_finds_nothing_serious(browser: Any, shop: tuple[str, str], size: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python").Axe()
    page, _ = window(browser, size)
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.goto(f"{shop[0]}/login")
    page.evaluate("document.querySelector('label').replaceWith(document.querySelector('input[type=password]'))")
    assert any("label" in problem for problem in serious(axe.run(page)))  # it sees what is broken
    page.goto(f"{shop[0]}/login")
    found = {"login": serious(axe.run(page))}
    log_in(page, *shop)
    for name, path in pages().items():
        visit(page, shop[0], name, path)
        found[name] = serious(axe.run(page))
        cut = too_wide(page)
        assert cut == [] if size == "narrow" else "the page" not in cut, f"{name} is wider than the {size} window"
    page.close()
    assert {name: problems for name, problems in found.items() if problems} == {}


def serious(results: Any) -> list[str]:
    """Violations that keep somebody from using a page, with where they are."""
    worst = [one for one in results.response["violations"] if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in worst]


@pytest.mark.skipif(SHOWN not in os.environ, reason=f"set {SHOWN} to the folder for pictures of every page")
def test_pictures_of_every_page(browser: Any, small_run: Run, tmp_path: Path) -> None:
    films = os.environ.get(FILMS_RUN)
    run, token = open_shop(Run(Path(films)) if films else small_run, tmp_path / "shop", FILMS if films else GOODS, past=True)
    found = pages("7", "172", "2: recent films first") if films else pages()
    found |= {f"experiment-{past.name}": f"/experiments?name={past.name}" for past in ENDS}
    with listening(run, BundleEngine.load) as server:
        for size in SIZES:
            page, _ = window(browser, size)
            page.goto(f"{server}/dashboard/login")
            keep(page, "login", size)
            log_in(page, f"{server}/dashboard", token)
            if size == "wide":
                copy_the_store(page, f"{server}/dashboard")
            for name, path in found.items():
                visit(page, f"{server}/dashboard", name, path)
                keep(page, name, size)
            page.close()


def copy_the_store(page: Any, address: str) -> None:
    """A job, seen to its end."""
    page.goto(f"{address}/operations")
    page.get_by_label("Job").select_option("copy the store")
    page.get_by_role("button", name="Start").click()
    while not page.get_by_text("done", exact=True).count():
        page.wait_for_timeout(200)
        page.goto(f"{address}/operations")
