"""The dashboard over HTTP: who is let in, what is refused, and every page of a server, with and without data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dashboards import Visitor, opened, small_project


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Visitor]:
    """A server to which nothing has happened."""
    run, token = small_project(tmp_path / "shop")
    with opened(run) as client:
        yield Visitor(client, token)


PAGES = [
    "", "?window=7+days", "/surfaces", "/surfaces?user=ann", "/surfaces/preview?user=ann", "/requests", "/requests?query=x", "/users",
    "/users?user=ann", "/items", "/items?query=a+b", "/items?item=i3", "/models", "/experiments", "/experiments?name=x", "/off-policy",
    "/data", "/operations",
]  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_every_page_of_an_empty_store_answers(empty: Visitor, page: str) -> None:
    empty.log_in()
    reply = empty.get(page)
    assert reply.status_code == 200, reply.text
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "unsafe" not in reply.headers["content-security-policy"]
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("page", PAGES)
def test_nobody_sees_a_page_without_logging_in(empty: Visitor, page: str) -> None:
    reply = empty.get(page, follow=False)
    assert reply.status_code == 303
    assert reply.headers["location"].startswith("/dashboard/login?back=%2Fdashboard")
    assert reply.text == ""
