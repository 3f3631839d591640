"""The dashboard over HTTP: who is let in, what is refused, and every page of a server to which nothing has happened yet."""

from __future__ import annotations

import html
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dashboards import Visitor, opened, small_project, token_of
from past import ENDS, remember

from genre.dashboard.live.experiments import parsed
from genre.dashboard.sessions import Seal, Session
from genre.serving.settings import open_store
from genre.serving.store import keys, registry

PAGES = [
    "", "?window=7+days", "/surfaces", "/surfaces?user=ann", "/surfaces/preview?user=ann", "/requests", "/requests?query=x", "/users",
    "/users?user=ann", "/items", "/items?query=a+b", "/items?item=i3", "/models", "/experiments", "/experiments?name=x", "/off-policy",
    "/data", "/operations",
]  # fmt: skip
FORMS = [
    "/logout", "/models/promote", "/models/rollback", "/models/shadow", "/users/forget", "/experiments/define",
    "/experiments/start", "/experiments/stop", "/operations/jobs", "/operations/jobs/cancel", "/operations/keys", "/operations/keys/revoke",
]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> tuple[Path, str]:
    return small_project(tmp_path / "shop")


@pytest.fixture
def stranger(project: tuple[Path, str]) -> Iterator[Visitor]:
    run, token = project
    with opened(run) as client:
        yield Visitor(client, token)


@pytest.fixture
def admin(stranger: Visitor) -> Visitor:
    assert stranger.log_in().status_code == 303
    return stranger


@pytest.mark.parametrize("page", PAGES)
def test_every_page_of_an_empty_store_answers_under_a_strict_policy(admin: Visitor, page: str) -> None:
    reply = admin.get(page)
    assert reply.status_code == 200, reply.text
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("page", PAGES)
def test_nobody_sees_a_page_without_logging_in(stranger: Visitor, page: str) -> None:
    reply = stranger.get(page, follow=False)
    assert reply.status_code == 303
    assert reply.headers["location"].startswith("/dashboard/login?back=%2Fdashboard")
    assert reply.text == ""


@pytest.mark.parametrize("address", FORMS)
def test_no_form_is_believed_without_its_token(admin: Visitor, project: tuple[Path, str], address: str) -> None:
    for fields in ({}, {"csrf": "0" * 64}, {"csrf": Seal(b"another secret of 32 bytes or more").token("x")}):
        reply = admin.client.post(f"/dashboard{address}", data={"version": "000002", **fields})
        assert reply.status_code == 403
        assert "Nothing was changed" in reply.text
    store = open_store(project[0])
    with store.read() as connection:
        assert registry.now(connection).current == "000001"
    store.close()


@pytest.mark.parametrize("address", FORMS)
def test_a_form_of_somebody_logged_out_leads_to_the_login(stranger: Visitor, address: str) -> None:
    reply = stranger.client.post(f"/dashboard{address}", data={"csrf": "x"})
    assert reply.status_code == 303 and reply.headers["location"].startswith("/dashboard/login")


def test_a_form_in_another_shape_than_a_forms_is_none(admin: Visitor) -> None:
    """What another site may send without asking first: text/plain, or a token in the address."""
    csrf = token_of(admin.get("/models").text)
    address = "/dashboard/models/promote"
    assert admin.client.post(address, content=f"csrf={csrf}&version=000002", headers={"content-type": "text/plain"}).status_code == 403
    assert admin.client.post(f"{address}?csrf={csrf}&version=000002").status_code == 403
    large = f"csrf={csrf}&version={'0' * 3_000_000}"
    assert admin.client.post(address, content=large, headers={"content-type": "application/x-www-form-urlencoded"}).status_code == 403


def test_the_session_is_a_cookie_that_no_script_and_no_other_site_gets(stranger: Visitor) -> None:
    cookie = stranger.log_in().headers["set-cookie"]
    for flag in ("genre_session=", "HttpOnly", "SameSite=strict", "Path=/dashboard", "Max-Age=43200"):
        assert flag in cookie
    assert "Secure" not in cookie
    stranger.client.cookies.clear()
    stranger.client.base_url = "https://testserver"
    assert "Secure" in stranger.log_in().headers["set-cookie"]


@pytest.mark.parametrize(
    ("key", "status", "why"),
    [
        ("", 401, "No key of this server"),
        ("genre-0123456789ab-" + "x" * 43, 401, "No key of this server"),
        ("' or 1=1 --", 401, "No key of this server"),
        ("reader", 403, "the dashboard needs admin"),
    ],
)
def test_other_keys_are_refused(project: tuple[Path, str], key: str, status: int, why: str) -> None:
    store = open_store(project[0])
    with store.write() as connection:
        _, reader = keys.create(connection, "shop", ["read", "ingest"], 100, "test")
    store.close()
    with opened(project[0]) as client:
        visitor = Visitor(client, project[1])
        reply = visitor.log_in(reader if key == "reader" else key)
        assert reply.status_code == status and why in reply.text
        assert "genre_session" not in reply.headers.get("set-cookie", "")
        assert visitor.get("", follow=False).status_code == 303


def test_the_login_form_has_a_token_of_its_own(stranger: Visitor) -> None:
    reply = stranger.client.post("/dashboard/login", data={"key": stranger.key, "csrf": "x"})
    assert reply.status_code == 403 and "Try again" in reply.text
    csrf = token_of(stranger.get("/login").text)
    stranger.client.cookies.clear()
    assert stranger.client.post("/dashboard/login", data={"key": stranger.key, "csrf": csrf}).status_code == 403


def test_after_the_login_one_is_where_one_wanted_to_go_and_nowhere_else(stranger: Visitor) -> None:
    wanted = stranger.get("/items?query=a", follow=False).headers["location"]
    csrf = token_of(stranger.client.get(wanted).text)
    fields = {"key": stranger.key, "csrf": csrf, "back": "/dashboard/items?query=a"}
    assert stranger.client.post("/dashboard/login", data=fields).headers["location"] == "/dashboard/items?query=a"
    for elsewhere in ("https://evil.example", "//evil.example", "/dashboardevil", "javascript:alert(1)"):
        csrf = token_of(stranger.get("/login").text)
        reply = stranger.client.post("/dashboard/login", data={**fields, "csrf": csrf, "back": elsewhere})
        assert reply.headers["location"] == "/dashboard"


def test_a_revoked_key_ends_its_sessions(admin: Visitor, project: tuple[Path, str]) -> None:
    store = open_store(project[0])
    with store.write() as connection:
        keys.revoke(connection, keys.parse(project[1])[0], "test")  # type: ignore[index]
    store.close()
    until = time.monotonic() + 5
    while admin.get("", follow=False).status_code == 200 and time.monotonic() < until:
        time.sleep(0.02)
    assert admin.get("", follow=False).status_code == 303


def test_logging_out_ends_the_session(admin: Visitor) -> None:
    assert "Log in" in admin.post("", "/logout", {}).text
    assert admin.get("", follow=False).status_code == 303


def test_a_session_ends_by_itself_and_cannot_be_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    seal = Seal(b"a secret of thirty-two bytes or more")
    session = Session.begin("shop", "k")
    cookie = seal.cookie(session)
    assert seal.session(cookie) == session
    body, _, mark = cookie.rpartition(".")
    other = Seal(b"another secret of 32 bytes or more").cookie(session)
    for forged in (
        None,
        "",
        ".",
        body,
        f"{body}.",
        f"{body[:-4]}AAAA.{mark}",
        f"{body}.{mark}0",
        other,
        "é.é",
        seal.signed("notice", {"a": 1}),
    ):
        assert seal.session(forged) is None
    assert seal.opened("session", seal.signed("notice", {"text": "x"})) is None
    assert seal.token(session.nonce) != Seal(b"another secret of 32 bytes or more").token(session.nonce)
    monkeypatch.setattr("genre.dashboard.sessions.time.time", lambda: session.expires + 1)
    assert seal.session(cookie) is None
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Seal(b"short")


def test_static_files_are_kept_for_ever_and_nothing_else_is_served(stranger: Visitor) -> None:
    for address in ("htmx-2.0.11.min.js", "genre.css", "uplot.LICENSE.txt"):
        reply = stranger.get(f"/static/{address}")
        assert reply.status_code == 200 and "immutable" in reply.headers["cache-control"]
    for address in ("nothing.js", "..%2fframe.py", "../frame.py"):
        assert stranger.get(f"/static/{address}").status_code in (303, 404, 200)
        assert "Frame" not in stranger.get(f"/static/{address}").text


def test_an_address_that_is_not_there_says_so(admin: Visitor) -> None:
    assert admin.get("/nowhere").status_code == 404
    assert "Nothing here" in admin.get("/nowhere").text


def test_a_part_that_htmx_asked_for_after_the_session_ended_brings_the_login(stranger: Visitor) -> None:
    reply = stranger.client.get("/dashboard/surfaces/preview?user=a", headers={"hx-request": "true"})
    assert reply.headers["hx-redirect"] == "/dashboard/login" and reply.text == ""


def test_promoting_and_rolling_back_by_form(admin: Visitor, project: tuple[Path, str]) -> None:
    assert "000002 answers from now on" in admin.post("/models", "/models/promote", {"version": "000002"}).text
    assert "answers from now on" not in admin.get("/models").text  # said once
    assert "there is no model" in admin.post("/models", "/models/promote", {"version": "<b>"}).text
    assert "meanwhile the model before is 000001" in admin.post("/models", "/models/rollback", {"version": "000009"}).text
    assert "Rolled back: 000001 answers again" in admin.post("/models", "/models/rollback", {"version": "000001"}).text
    assert "no earlier model" in admin.post("/models", "/models/rollback", {}).text
    page = admin.post("/models", "/models/shadow", {"version": "000002"}).text
    assert "is asked what is asked" in page and "Stop watching" in page
    assert "No model is watched" in admin.post("/models", "/models/shadow", {"version": ""}).text
    audited = admin.get("/operations").text
    assert f"key {keys.parse(project[1])[0]}, dashboard" in audited and "rollback 000001 (before 000002)" in audited  # type: ignore[index]


def test_a_damaged_bundle_is_not_promoted(admin: Visitor, project: tuple[Path, str]) -> None:
    (project[0] / "models" / "000002" / "items.json").write_text("[]")
    assert "Not done: " in admin.post("/models", "/models/promote", {"version": "000002"}).text
    assert ">current<" in admin.get("/models").text.split("000001</th>")[0] or "000001" in admin.get("/models").text


def test_a_key_is_shown_once_and_its_secret_never_again(admin: Visitor) -> None:
    page = admin.post("/operations", "/operations/keys", {"name": "till", "scopes": ["read", "ingest"]}).text
    token = page.split("<code>genre-")[1].split("</code>")[0]
    assert token not in admin.get("/operations").text
    assert token[:12] in admin.get("/operations").text
    assert "till" in admin.get("/operations").text
    assert "Not done: scopes are some of" in admin.post("/operations", "/operations/keys", {"name": "x", "scopes": ["root"]}).text
    assert "give the key a name" in admin.post("/operations", "/operations/keys", {"name": " ", "scopes": ["read"]}).text
    assert "Revoked" in admin.post("/operations", "/operations/keys/revoke", {"key": token[:12]}).text
    assert "no such key" in admin.post("/operations", "/operations/keys/revoke", {"key": token[:12]}).text


def test_a_copy_of_the_store_is_made_as_a_job(admin: Visitor, project: tuple[Path, str]) -> None:
    assert "Started: copy the store" in admin.post("/operations", "/operations/jobs", {"what": "copy the store"}).text
    until = time.monotonic() + 30
    while "copy the store" in admin.get("/operations").text and ">done<" not in admin.get("/operations").text and time.monotonic() < until:
        time.sleep(0.1)
    page = admin.get("/operations").text
    assert ">done<" in page and "verified" in page
    assert len(list((project[0] / "backups").glob("store-*.db"))) == 1
    assert "there is no job" in admin.post("/operations", "/operations/jobs", {"what": "rm -rf"}).text
    assert "no job" in admin.post("/operations", "/operations/jobs/cancel", {"job": "../.."}).text


def test_an_experiment_that_is_none_says_why(admin: Visitor) -> None:
    sound = "variants: {a: {}, b: {}}\nmetrics: {c: {use: rate, event: click}}"
    wrong = {
        "{": "not YAML",
        "[1]": "is a mapping",
        "a: &x [1]\nb: *x": "no aliases",
        "x" * 20_001: "at most 20,000 characters",
        f"name: x\n{sound}\nprimary: d": "primary is &#39;d&#39;",
        f"name: x\n{sound}\nprimary: c\nlogs: {{events: /etc/passwd}}": "leave this out",
    }
    for definition, why in wrong.items():
        page = admin.post("/experiments", "/experiments/define", {"definition": definition}).text
        assert "Not done: " in page and why in page, definition[:80]
        assert typed(page) == definition, "what was typed is still there"
    for address in ("/experiments/start", "/experiments/stop"):
        assert "there is no experiment" in admin.post("/experiments", address, {"name": "../x", "reason": "y"}).text


def test_an_experiment_is_written_down_started_and_stopped(admin: Visitor) -> None:
    written = "name: x\nvariants: {a: {}, b: {serve: {model: 'MODEL'}}}\nmetrics: {c: {use: rate, event: click}}\nprimary: c"
    refused = admin.post("/experiments", "/experiments/define", {"definition": written.replace("MODEL", "000009")}).text
    assert "Not done: variants.b.serve.model: there is no model" in refused
    definition = written.replace("MODEL", "000002")
    assert "x is written down" in admin.post("/experiments", "/experiments/define", {"definition": definition}).text
    page = admin.post("/experiments?name=x", "/experiments/start", {"name": "x"}).text
    assert "x runs: every worker assigns by it" in page and "Nothing to read yet" in page
    assert "its definition is fixed" in admin.post("/experiments", "/experiments/define", {"definition": definition}).text
    assert "x is stopped" in admin.post("/experiments", "/experiments/stop", {"name": "x", "reason": "only a test"}).text


def test_a_store_that_is_away_is_said_and_breaks_nothing(
    admin: Visitor, project: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from genre.serving.store.database import Database, Unavailable

    def away(self: Database) -> None:
        raise Unavailable("the store is not available: gone")

    csrf = token_of(admin.get("/models").text)
    monkeypatch.setattr(Database, "read", away)
    for page in ("", "/models", "/users", "/operations", "/requests"):
        reply = admin.get(page)
        assert reply.status_code == 503 and "The store is away" in reply.text
    reply = admin.client.post("/dashboard/models/promote", data={"version": "000002", "csrf": csrf}, follow_redirects=False)
    assert reply.status_code == 303


def test_the_dashboard_needs_no_torch() -> None:
    seen = "[name for name in ('torch', 'sklearn', 'transformers', 'matplotlib', 'onnx') if name in sys.modules]"
    code = f"import sys, genre.dashboard.mounting, genre.dashboard.running; print({seen})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_requests_are_counted_by_the_pattern_of_their_address(admin: Visitor, project: tuple[Path, str]) -> None:
    admin.get("/models")
    metrics = admin.client.get("/metrics", headers={"authorization": f"Bearer {project[1]}"}).text
    assert 'genre_http_requests_total{route="/dashboard/models",status="200"}' in metrics


@pytest.mark.parametrize("interleave", [False, True])
def test_a_preview_is_of_the_arm_that_the_user_is_served(admin: Visitor, project: tuple[Path, str], interleave: bool) -> None:
    """Of the experiment that runs, and says so: what the API answers to the same user is what is previewed."""
    variants = "variants: {old: {}, new: {serve: {model: '000002', candidates: 3}}}"
    definition = f"name: try\ninterleave: {str(interleave).lower()}\n{variants}\nmetrics: {{c: {{use: mean, event: click}}}}\nprimary: c"
    assert "try is written down" in admin.post("/experiments", "/experiments/define", {"definition": definition}).text
    assert "experiment" not in admin.get("/surfaces?user=u0").text.split("<main")[1]
    admin.post("/experiments?name=try", "/experiments/start", {"name": "try"})
    clicks = [{"event_id": user, "type": "click", "user_id": user, "item_id": "i0"} for user in "abcdefgh"]
    assert admin.client.post("/v1/events", json=clicks, headers={"authorization": f"Bearer {project[1]}"}).json()["accepted"] == 8
    until = time.monotonic() + 5
    while ("", 10) in (served := {user: _served(admin, project[1], user) for user in "abcdefgh"}).values() and time.monotonic() < until:
        time.sleep(0.05)
    assert set(served.values()) == ({("interleaved", 10)} if interleave else {("old", 10), ("new", 3)})
    for user, (arm, n) in served.items():
        for page in ("/surfaces", "/surfaces/preview", "/users"):
            text = admin.get(f"{page}?user={user}").text
            assert f'takes part in experiment <a href="/dashboard/experiments?name=try">try</a> and gets {arm}' in text
            assert text.count('<span class="place">') == n


def test_a_preview_says_why_the_user_takes_no_part(admin: Visitor) -> None:
    variants = "variants: {old: {}, new: {serve: {candidates: 3}}}"
    definition = f"name: try\nramp: [{{day: 0, share: 0.001}}]\n{variants}\nmetrics: {{c: {{use: mean, event: click}}}}\nprimary: c"
    admin.post("/experiments", "/experiments/define", {"definition": definition})
    admin.post("/experiments?name=try", "/experiments/start", {"name": "try"})
    told = 'a takes no part in experiment <a href="/dashboard/experiments?name=try">try</a>: not yet ramped up.'
    until = time.monotonic() + 5
    while told not in admin.get("/surfaces?user=a").text and time.monotonic() < until:
        time.sleep(0.05)
    assert told in admin.get("/surfaces/preview?user=a").text


def test_a_page_that_fails_says_so_and_is_logged_and_counted(
    admin: Visitor, project: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("genre.dashboard.live.surfaces.history", broken)
    answer = admin.get("/surfaces?user=u0")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert f"has it under {answer.headers['x-request-id']}" in answer.text and "content-security-policy" in answer.headers
    metrics = admin.client.get("/metrics", headers={"authorization": f"Bearer {project[1]}"}).text
    assert 'genre_http_requests_total{route="/dashboard/surfaces",status="500"}' in metrics


def test_an_experiment_that_there_is_not_is_missed(admin: Visitor) -> None:
    assert "There is no experiment zzz" in admin.get("/experiments?name=zzz").text
    assert "There is no experiment" not in admin.get("/experiments").text


def test_every_end_of_an_experiment_is_told(admin: Visitor, project: tuple[Path, str]) -> None:
    remember(project[0])
    pages = {past.name: " ".join(re.sub("<[^>]*>", " ", admin.get(f"/experiments?name={past.name}").text).split()) for past in ENDS}
    assert "Ship wider" in pages["wider-net"] and ": shipped wider" in pages["wider-net"]
    assert "Stop: keep the control" in pages["text-search"] and "slow search broken" in pages["text-search"]
    assert "sample ratio mismatch" in pages["new-shelf"] and "Stop" in pages["new-shelf"]


def test_a_definition_is_read_and_written_anew_before_the_start_and_read_after_it(admin: Visitor) -> None:
    definition = "name: x\nvariants: {a: {}, b: {serve: {model: '000002'}}}\nmetrics: {c: {use: rate, event: click}}\nprimary: c\ndays: 9"
    rails = "\nguardrails: {hiding: {use: metric, metric: c, margin: 0.11}}"
    admin.post("/experiments", "/experiments/define", {"definition": definition + rails})
    page = admin.get("/experiments?name=x").text
    assert parsed(typed(page)) == parsed(definition + rails)
    again = typed(page).replace("days: 9", "days: 10")
    assert "x is written down" in admin.post("/experiments?name=x", "/experiments/define", {"definition": again}).text
    assert "10 days" in admin.get("/experiments?name=x").text
    refused = admin.post("/experiments?name=x", "/experiments/define", {"definition": again.replace("rate", "raet")}).text
    assert "raet" in typed(refused) and "Not done: " in refused
    admin.post("/experiments?name=x", "/experiments/start", {"name": "x"})
    running = admin.get("/experiments?name=x").text
    assert "<textarea" not in running
    for stopped in (False, True):
        if stopped:
            admin.post("/experiments?name=x", "/experiments/stop", {"name": "x", "reason": "a test"})
        shown = re.search(r'<pre class="definition">(.*?)</pre>', admin.get("/experiments?name=x").text, re.S)
        assert shown is not None
        fixed = parsed(html.unescape(shown[1]))
        assert [one.serve["model"] for one in fixed.variants.values()] == ["000001", "000002"], "the models are written out"
        assert fixed.guardrails["hiding"].margin == 0.11 and fixed.days == 10


def typed(page: str) -> str:
    """What stands in the form of a definition."""
    found = re.search(r"<textarea[^>]*>\n?(.*?)</textarea>", page, re.S)
    assert found is not None, page
    return html.unescape(found[1])


def _served(admin: Visitor, key: str, user: str) -> tuple[str, int]:
    asked = {"user_id": user, "n": 10}
    answer = admin.client.post("/v1/recommend", json=asked, headers={"authorization": f"Bearer {key}"}).json()
    return (answer.get("variant") or "").removeprefix("try/"), len(answer["items"])
