"""Every page, full, empty and in trouble: whole, inert whatever its data hold, and without anything a strict policy would refuse."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_views import NOW, Page, empty, frame, full, troubled

from genre.dashboard.charts import Bin, Chart, Series, heights
from genre.dashboard.experiments import ExperimentLine, ExperimentsView, render_experiments
from genre.dashboard.frame import Frame, count, image, in_address, local, milliseconds, number, percent, when
from genre.dashboard.inspector import Stage, waterfall
from genre.dashboard.off_policy import Estimate, OffPolicyView, bars
from genre.dashboard.surfaces import SurfacesView, render_preview

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&{{7*7}}"
VOID = {"meta", "link", "input", "img", "br", "hr"}
EVERY = {**{f"full: {name}": page for name, page in full().items()}, **{f"empty: {name}": page for name, page in empty().items()}}
EVERY |= {f"troubled: {name}": page for name, page in troubled().items()} | {
    f"hostile: {name}": page for name, page in full(HOSTILE).items()
}


class Outline(HTMLParser):
    """What a browser would see: elements with their attributes, and text; fails where tags do not close."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"{tag} has an attribute twice: {names}"
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(params=sorted(EVERY))
def page(request: pytest.FixtureRequest) -> Outline:
    render, view = EVERY[request.param]
    return Outline(render(view))


def test_nothing_on_a_page_is_refused_by_a_strict_policy(page: Outline) -> None:
    for script in page.of("script"):
        assert script["src"].startswith("/dashboard/static/")
    assert page.of("style") == []
    for tag, attributes in page.found:
        assert not [name for name in attributes if name.startswith("on") or name.startswith("hx-on") or name == "style"], tag
        for name in ("href", "src", "action", "formaction", "hx-get"):
            address = attributes.get(name, "/")
            assert re.match(r"/dashboard|#|/x\.png$|data:,$|/$", address), f"{tag} leads to {address}"


def test_a_page_can_be_read_aloud_and_walked_by_keyboard(page: Outline) -> None:
    assert page.of("html")[0]["lang"] == "en"
    assert len(page.of("h1")) == 1
    assert len(page.of("main")) == 1
    identifiers = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(set(identifiers)) == len(identifiers)
    for attributes in (attributes for _, attributes in page.found):
        for name in ("aria-labelledby", "aria-describedby"):
            assert name not in attributes or attributes[name] in identifiers
    assert all("alt" in attributes for attributes in page.of("img"))
    assert all("aria-label" in attributes or attributes.get("aria-hidden") for attributes in page.of("svg"))
    assert all("scope" in attributes for attributes in page.of("th"))
    assert all(
        attributes.get("tabindex") == "0" and attributes["aria-label"]
        for attributes in page.of("div")
        if attributes.get("class") == "scroll"
    )


def test_every_form_that_changes_something_carries_the_token() -> None:
    for name, (render, view) in full().items():
        forms = re.findall(r"<form[^>]*method=\"post\".*?</form>", render(view), re.S)
        assert all('name="csrf" value="token"' in form for form in forms), name
        assert forms or name == "error"


@pytest.mark.parametrize("name", sorted(full()))
def test_hostile_text_stays_text(name: str) -> None:
    render, view = full(HOSTILE)[name]
    tame, wild = Outline(full()[name][0](full()[name][1])), Outline(render(view))
    assert [tag for tag, _ in tame.found] == [tag for tag, _ in wild.found]
    assert [sorted(attributes) for _, attributes in tame.found] == [sorted(attributes) for _, attributes in wild.found]
    assert HOSTILE in "".join(wild.text)
    assert "49" not in "".join(wild.text).replace(HOSTILE, "") or name != "error"


@pytest.mark.parametrize("name", sorted(empty()))
def test_an_empty_page_says_what_to_do(name: str) -> None:
    render, view = empty()[name]
    text = " ".join("".join(Outline(render(view)).text).split())
    assert "None" not in text.replace("None.", "") and "nan" not in text.split()
    if "," not in name and name in ("overview", "surfaces", "requests", "users", "items", "models", "experiments", "off-policy", "data"):
        assert re.search(r"genre |curl |policy: |surfaces: ", text), text


def test_a_problem_takes_the_place_of_the_content() -> None:
    for name, (render, view) in troubled().items():
        outline = Outline(render(view))
        assert [attributes for attributes in outline.of("div") if attributes.get("role") == "alert"], name
        assert "genre doctor" in "".join(outline.text)
        assert "Rolled back to 000011." in "".join(outline.text)
        assert outline.of("table") == []


def test_a_stopped_experiment_says_from_when_until_when() -> None:
    line = ExperimentLine("x", "stopped", "home", started=NOW, stopped=NOW + 3600, reason="enough")
    for view in (ExperimentsView(frame(), (line,), line), ExperimentsView(frame(), (line,))):
        text = " ".join("".join(Outline(render_experiments(view)).text).split())
        assert when(NOW) in text and when(NOW + 3600) in text and "enough" in text
    assert f"stopped on home, from {when(NOW)} until {when(NOW + 3600)}: enough" in " ".join(
        "".join(Outline(render_experiments(ExperimentsView(frame(), (line,), line))).text).split()
    )


def test_advice_names_no_estimator_that_is_not_on_the_page() -> None:
    render, view = full()["off-policy"]
    text = "".join(Outline(render(replace(view, estimates=tuple(view.estimates[:2])))).text)
    assert "doubly robust" not in text or "genre ope" in text


def test_the_current_page_is_marked_in_the_navigation() -> None:
    for name, address in (("overview", "/dashboard"), ("request", "/dashboard/requests"), ("off-policy", "/dashboard/off-policy")):
        render, view = full()[name]
        (current,) = [link["href"] for link in Outline(render(view)).of("a") if link.get("aria-current") == "page"]
        assert current == address


def test_the_preview_alone_is_a_part_without_a_frame() -> None:
    _, view = full()["surfaces"]
    part = render_preview(view)
    assert "<html" not in part and "Alien (1979)" in part
    assert "Choose a user" in render_preview(SurfacesView(frame(), ("home",)))


def test_ids_survive_in_addresses() -> None:
    render, view = full("/?&#%é")["users"]
    (link,) = [link["href"] for link in Outline(render(view)).of("a") if "users?user=42%" in link["href"]]
    assert link == "/dashboard/users?user=42%2F%3F%26%23%25%C3%A9"


def test_a_chart_is_also_a_table() -> None:
    chart = Chart("l", (NOW, NOW + 60), (Series("a", (0.5, None)),), "percent")
    assert '"values": [0.5, null]' in chart.data
    assert [chart.say(value) for value in (0.5, None, float("nan"))] == ["50 %", "–", "–"]
    with pytest.raises(ValueError, match="needs 2 values"):
        Chart("l", (1.0, 2.0), (Series("a", (1.0,)),))
    assert "NaN" not in Chart("l", (1.0,), (Series("a", (float("inf"),)),)).data


def test_numbers_are_said_for_people() -> None:
    assert (count(1_204_311), percent(0.0312), number(0.123456), number(123_456.7)) == ("1,204,311", "3.12 %", "0.1235", "123,457")
    assert (milliseconds(12.34), milliseconds(2500), when(0.0), when(None), count(None)) == (
        "12.3 ms",
        "2.50 s",
        "1970-01-01 00:00:00",
        "–",
        "–",
    )
    assert in_address("a/b&c") == "a%2Fb%26c"


@pytest.mark.parametrize(
    ("address", "loaded"),
    [
        ("https://cdn.example/x.png", True),
        ("/static/x.png", True),
        ("http://x/y.png", False),
        ("//evil/x.png", False),
        ("/\\evil/x", False),
        ("javascript:alert(1)", False),
        ("data:image/png;base64,AA", False),
        ("https://[broken", False),
        ("", False),
        (None, False),
    ],
)
def test_only_safe_images_are_loaded(address: str | None, loaded: bool) -> None:
    assert (image(address) is not None) is loaded


def test_links_from_views_stay_here() -> None:
    assert local("/dashboard/items?query=a") == "/dashboard/items?query=a"
    assert [local(address) for address in ("javascript:alert(1)", "//evil", "/dashboardevil", "")] == ["/dashboard"] * 4


def test_bars_lie_where_they_should() -> None:
    found = waterfall((Stage("a", 0, 25), Stage("b", 25, 75)))
    assert [(bar.x, bar.width) for bar in found] == [(0, 25), (25, 75)]
    assert waterfall(()) == [] and waterfall((Stage("a", 0, 0),))[0].width > 0
    assert heights([Bin("a", 5), Bin("b", 10)]) == [50, 100] and heights([Bin("a", 0)]) == [0]
    view = OffPolicyView(Frame("u", "t"), estimates=(Estimate("IPS", 2, 1, 3), Estimate("DR", 2, 2, 2)))
    assert [(bar.low, bar.x, bar.high) for bar in bars(view)] == [(2, 50, 98), (50, 50, 50)]


def test_pages_are_of_one_kind_each() -> None:
    """A view that is no view of this page is a mistake of the caller's that is seen at once."""
    renders: dict[str, Page] = full()
    with pytest.raises(Exception, match="no attribute"):
        renders["overview"][0](renders["users"][1])


def test_the_vendored_licences_are_kept() -> None:
    static = Path(__file__).parents[2] / "src" / "genre" / "dashboard" / "static"
    names = {file.name for file in static.iterdir()}
    for script in names:
        if script.endswith(".min.js"):
            assert f"{script.split('-')[0]}.LICENSE.txt" in names
