"""Static files: complete, addressed by content, and named by a policy that allows nothing else."""

from __future__ import annotations

from genre.dashboard.assets import CONTENT_SECURITY_POLICY, HEADERS, assets


def test_every_static_file_is_there_with_its_type() -> None:
    found = assets()
    assert {"genre.css", "genre.js", "htmx-2.0.11.min.js", "uplot-1.6.32.min.js", "uplot-1.6.32.min.css"} <= set(found)
    assert found["genre.js"].content_type.startswith("text/javascript") and found["genre.css"].content_type.startswith("text/css")
    assert b"0BSD" in found["htmx.LICENSE.txt"].content or b"Zero-Clause BSD" in found["htmx.LICENSE.txt"].content
    assert b"Leon Sorokin" in found["uplot.LICENSE.txt"].content


def test_an_address_changes_with_the_content() -> None:
    address = assets()["genre.css"].address
    assert address.startswith("/dashboard/static/genre.css?v=") and len(address.rpartition("=")[2]) == 12


def test_no_asset_asks_for_another_host() -> None:
    for asset in assets().values():
        if asset.name in ("genre.css", "genre.js"):
            assert b"http" not in asset.content and b"//cdn" not in asset.content and b"@import" not in asset.content


def test_the_policy_allows_no_inline_code_and_no_framing() -> None:
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY and "frame-ancestors 'none'" in CONTENT_SECURITY_POLICY
    assert HEADERS["content-security-policy"] == CONTENT_SECURITY_POLICY
