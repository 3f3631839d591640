"""The report: one page, self-contained, inert against hostile text, with every figure that was measured."""

import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from genre.data.leaks import Check
from genre.evaluation.evaluator import Catalogue, EvaluationConfig, evaluate
from genre.evaluation.intervals import Interval
from genre.evaluation.ladder import Ladder, Rung, Step, climb
from genre.evaluation.protocol import Protocol
from genre.evaluation.report import Example, plot, tick_step, write_report
from genre.evaluation.result import Result
from genre.types import Floats, GroundTruth, Histories

N = 30
HOSTILE = "<script>alert(1)</script> \"Sons\" & 'Lovers'"


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        # Every element is closed in the order it was opened, or the page is not what its author meant.
        assert self.open.pop() == tag, f"</{tag}> closes something else, after {self.getpos()}"

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(" ".join(data.split()))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == tag]


@pytest.fixture(scope="module")
def judged() -> tuple[Ladder, dict[str, Result], GroundTruth]:
    rng = np.random.default_rng(0)
    histories = [list(rng.choice(20, size=rng.integers(1, 15), replace=False)) for _ in range(60)]
    truth = GroundTruth(Histories.of(histories), rng.integers(20, 30, 60), np.arange(61), np.arange(60))
    counts = np.bincount(truth.queries.item_idx_E, minlength=N)

    def scorer(lift: float) -> object:
        def score(queries: Histories) -> Floats:
            return np.stack([np.linspace(1, 0, N) + lift * (np.arange(N) >= 20) for _ in range(len(queries))])

        return score

    results = {
        name: evaluate(scorer(lift), truth, Catalogue(counts), "leave-last-out", EvaluationConfig(resamples=100))  # type: ignore[arg-type]
        for name, lift in (("popularity", 0.3), ("blend", 0.9), ("broken", 0.0))
    }
    return climb([Step(name, name, [result], 1.5, 3.0, 400.0) for name, result in results.items()]), results, truth


@pytest.fixture
def page(tmp_path: Path, judged: tuple[Ladder, dict[str, Result], GroundTruth]) -> str:
    ladder, results, _ = judged
    file = tmp_path / "new" / "report.html"
    checks = [Check("target seen before", "ok", 0, 60, "none of 60 test targets are of an item that their user had before")]
    examples = [
        Example("<b>7</b>", [HOSTILE, "Ran (1985)"], {"popularity": ["Alien (1979)", HOSTILE], "blend": ["Ran (1985)"]}, [HOSTILE]),
        Example("8", [], {"blend": []}, ["Fargo (1996)"]),
    ]
    write_report(file, ladder, results, {"users": "60", "source": HOSTILE}, checks, examples)
    assert [found.name for found in file.parent.iterdir()] == ["report.html"]
    return file.read_text(encoding="utf-8")


def test_the_page_asks_nobody_for_anything(page: str) -> None:
    for tag, attributes in Page(page).elements:
        assert tag not in ("script", "link", "img", "iframe", "object", "embed", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on") and name != "src"
            assert name != "href" or (value or "").startswith("#")
    assert not re.search(r"https?:|url\(|@import|//[a-z]", page)
    assert "default-src 'none'" in page


def test_a_hostile_title_is_text(page: str) -> None:
    assert "<script" not in page and "<b>7" not in page
    seen = Page(page)
    assert HOSTILE in seen.texts["strong"] and HOSTILE in seen.texts["li"] and HOSTILE in seen.texts["dd"]
    assert "User <b>7</b>" in seen.texts["h3"]


def test_a_hit_is_marked_where_the_target_is_in_the_list(page: str) -> None:
    assert len(re.findall("✓ hit", page)) == 1
    assert re.search(r'<li class="hit">&lt;script&gt;', page)


def test_every_rung_is_in_the_plot_and_in_the_table_with_its_verdict(
    page: str, judged: tuple[Ladder, dict[str, Result], GroundTruth]
) -> None:
    ladder, seen = judged[0], Page(page)
    assert [rung.verdict(ladder.main) for rung in ladder.rungs] == ["start", "adds", "worse"]
    assert len(seen.named("circle")) == 3
    assert [re.sub("^flat ", "", g["class"] or "") for g in seen.named("g")] == ["start", "adds", "worse"]
    for rung in ladder.rungs:
        assert rung.label in seen.texts["th"] and rung.label in seen.texts["text"]
        assert str(rung.metrics[ladder.main]) in seen.texts["td"] and str(rung.metrics[ladder.main]) in seen.texts["text"]
    assert seen.texts["h1"] == ["blend reaches"] and seen.texts["span"][0] == f"ndcg@10 {ladder.rungs[1].metrics['ndcg@10']}"


def test_the_protocol_and_the_groups_and_the_checks_are_said(page: str) -> None:
    assert "leave-last-out, full ranking, history masked, 60 users" in page
    assert "no negatives are sampled" in page
    for said in ("cold items (no training interaction)", "history masked", "repeats allowed", "coverage@10", "target seen before"):
        assert said in page, said


def test_every_table_has_a_caption_and_scopes_and_headings_do_not_skip(page: str) -> None:
    seen = Page(page)
    assert len(seen.named("caption")) == len(seen.named("table")) >= 6
    assert all(cell.get("scope") in ("row", "col") for cell in seen.named("th"))
    levels = [int(tag[1]) for tag, _ in seen.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and all(below <= above + 1 for above, below in itertools.pairwise(levels))
    assert seen.named("svg")[0]["aria-label"]
    anchors = {str(attributes["id"]) for _, attributes in seen.elements if "id" in attributes}
    assert {str(link["href"])[1:] for link in seen.named("a")} <= anchors


def test_a_measure_that_only_some_rungs_have_stays_in_its_column(
    tmp_path: Path, judged: tuple[Ladder, dict[str, Result], GroundTruth]
) -> None:
    ladder, results, _ = judged
    del (partly := dict(results["popularity"].beyond))["gini@10"]
    changed = Result(**{**vars(results["popularity"]), "beyond": partly})
    write_report(tmp_path / "r.html", ladder, {**results, "popularity": changed}, {}, [], [])
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    header = re.findall(r'<th scope="col">(\w+@10)</th>', text[text.index("Means over the lists") :])
    row = re.search(r"popularity</th>((?:<td>[^<]*</td>)+)", text[text.index("Means over the lists") :])
    assert row is not None
    assert re.findall(r"<td>([^<]*)</td>", row[1])[header.index("gini@10")] == "–"
    assert "Lists for real users" not in text


def test_the_axis_starts_at_zero_and_reaches_the_largest_interval(judged: tuple[Ladder, dict[str, Result], GroundTruth]) -> None:
    marks, ticks = plot(judged[0])
    assert (ticks[0].x, ticks[0].label) == (0, "0") and ticks[-1].x == pytest.approx(100)
    assert all(0 <= mark.low <= mark.x <= mark.high <= 100 for mark in marks)


@pytest.mark.parametrize(("largest", "step"), [(0.14, 0.05), (0.1, 0.02), (0.05, 0.01), (1.0, 0.2), (0.0031, 0.001), (0.0, 1.0)])
def test_ticks_are_round(largest: float, step: float) -> None:
    assert tick_step(largest) == pytest.approx(step)


def test_one_rung_without_groups_checks_or_examples_is_a_page(
    tmp_path: Path, judged: tuple[Ladder, dict[str, Result], GroundTruth]
) -> None:
    result = replace(judged[1]["blend"], groups=[], beyond={})
    write_report(tmp_path / "r.html", climb([Step("blend", "blend", [result], 1.5, 3.0, 400.0)]), {"blend": result}, {}, [], [])
    seen = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert not seen.open and len(seen.named("circle")) == 1 and seen.texts["h2"] == ["The ladder"]
    assert [link["href"] for link in seen.named("a")] == ["#ladder"]


def test_a_group_that_one_rung_lacks_is_a_dash_there(tmp_path: Path, judged: tuple[Ladder, dict[str, Result], GroundTruth]) -> None:
    ladder, results, _ = judged
    partly = replace(results["popularity"], groups=[group for group in results["popularity"].groups if group.label != "warm users"])
    write_report(tmp_path / "r.html", ladder, {**results, "popularity": partly}, {}, [], [])
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    rows = dict(
        re.findall(r'<th scope="row">(\w+)</th>(.*)</tr>', text[text.index("by whether training knew") : text.index("by the number of")])
    )
    header = re.findall(r'<th scope="col">([\w ]+)', text[text.index("by whether training knew") : text.index("by the number of")])
    column = header.index("warm users") - 1
    assert re.findall("<td>([^<]*)</td>", rows["popularity"])[column] == "–"
    assert re.findall("<td>([^<]*)</td>", rows["blend"])[column] == str(results["blend"].group("warm users").metrics["ndcg@10"])


def test_where_repeats_are_allowed_the_columns_of_the_mask_change_places(
    tmp_path: Path, judged: tuple[Ladder, dict[str, Result], GroundTruth]
) -> None:
    masked = judged[1]["blend"]
    free = replace(masked, protocol=masked.protocol.masking_the_other_way(), metrics=masked.other, other=masked.metrics)
    write_report(tmp_path / "r.html", climb([Step("blend", "blend", [free], 1.5, 3.0, 400.0)]), {"blend": free}, {}, [], [])
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    text = text[text.index("The same scores under both rules") :]
    assert re.findall(r'<th scope="col">ndcg@10, ([\w ]+)</th>', text) == ["repeats allowed", "history masked"]
    assert re.findall("<td>([^<]*)</td>", text)[:2] == [str(masked.other["ndcg@10"]), str(masked.metrics["ndcg@10"])]


def test_a_scorer_that_is_not_a_number_is_called_a_defect(
    tmp_path: Path, page: str, judged: tuple[Ladder, dict[str, Result], GroundTruth]
) -> None:
    ladder, results, _ = judged
    write_report(tmp_path / "r.html", ladder, {**results, "broken": replace(results["broken"], nan_scores=1234)}, {}, [], [])
    assert "broken gave 1,234 scores that are not a number" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "not a number: a defect" not in page


def test_the_plot_by_hand() -> None:
    nothing = Protocol("leave-last-out", users=2, queries=2, items=9)
    rung = Rung("a", "A", {"ndcg@10": Interval(0.3, 0.15, 0.45)}, {}, {}, 1, 1.0, 2.0, 3.0)
    marks, ticks = plot(Ladder(nothing, "ndcg@10", (rung,)))
    assert (marks[0].low, marks[0].x, marks[0].high) == (30, 60, 90)
    assert [(tick.x, tick.label) for tick in ticks] == [(0, "0"), (20, "0.1"), (40, "0.2"), (60, "0.3"), (80, "0.4"), (100, "0.5")]
    silent = Rung("a", "A", {"ndcg@10": Interval(0.0, 0.0, 0.0)}, {}, {}, 1, 1.0, 2.0, 3.0)
    assert [mark.x for mark in plot(Ladder(nothing, "ndcg@10", (silent,)))[0]] == [0]
