"""Doors: every address of the dashboard is behind one, which lets in who is logged in and believes no form without its token."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Protocol, TypeVar
from urllib.parse import parse_qs, parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from genre.bundle import BundleError
from genre.dashboard.assets import HEADERS, ROOT, assets
from genre.dashboard.desk import Desk, Done
from genre.dashboard.frame import Frame, Notice, Problem, local
from genre.dashboard.login import ErrorView, LoginView, render_error, render_login
from genre.dashboard.sessions import LENGTH, Seal, Session, same
from genre.experiments.definition import ExperimentError
from genre.serving import answering
from genre.serving.answering import read_bytes
from genre.serving.contract import RequestError
from genre.serving.server import Server
from genre.serving.store.database import Unavailable
from genre.serving.store.registry import RegistryError

SESSION, LOGIN, NOTICE = "genre_session", "genre_login", "genre_notice"
AWAY = Problem("The store is away", "What was asked could not be read. The server asks it again by itself; try again in a moment.")
Endpoint = Callable[[Request], Awaitable[Response]]


class View(Protocol):
    """What a page shows: it can be made with a frame alone, and is then empty."""

    def __init__(self, frame: Frame) -> None: ...


V = TypeVar("V", bound=View)


class Doors:
    """Makes the endpoints of a server's dashboard."""

    def __init__(self, server: Server, seal: Seal) -> None:
        self.server, self.seal = server, seal

    def page(self, kind: Callable[[Frame], V], fill: Callable[[Desk], V], render: Callable[[V], str]) -> Endpoint:
        """A page that is read.

        Args:
            kind: the empty view, for when the store is away or the question was no good.
        """

        def answer(desk: Desk) -> tuple[str, int]:
            try:
                return render(fill(desk)), 200
            except RequestError as error:
                return render(kind(desk.frame(Problem("This cannot be answered", f"{error.where}: {error.why}")))), 422
            except Unavailable:
                return render(kind(desk.frame(AWAY))), 503

        async def endpoint(request: Request) -> Response:
            session = self._session(request)
            if session is None:
                return self._to_login(request)
            several = parse_qs(request.url.query, keep_blank_values=True)
            notice = self._notice(request)
            text, status = await asyncio.to_thread(answer, self._desk(request, session, several, notice))
            response = HTMLResponse(text, status, HEADERS)
            if notice is not None:
                response.delete_cookie(NOTICE, ROOT)
            return response

        return endpoint

    def action(self, back: str, act: Callable[[Desk], Done | str]) -> Endpoint:
        """A form that changes something.

        Args:
            back: the page to say it on if it is refused.
            act: does it; a text is a page to show at once.
        """

        def answer(desk: Desk) -> Done | str:
            try:
                return act(desk)
            except (answering.Problem, RegistryError, BundleError, ExperimentError, RequestError, ValueError, FileNotFoundError) as error:
                return Done(back, Notice(f"Not done: {error}", "bad"))
            except Unavailable as error:
                return Done(back, Notice(f"Not done: {error}. Try again in a moment.", "bad"))

        async def endpoint(request: Request) -> Response:
            session = self._session(request)
            if session is None:
                return self._to_login(request, ROOT + back)
            several = await self._form(request)
            if several is None or not same(several.get("csrf", [""])[-1], self.seal.token(session.nonce)):
                return forbidden()
            done = await asyncio.to_thread(answer, self._desk(request, session, several))
            if isinstance(done, str):
                return HTMLResponse(done, 200, HEADERS)
            response = RedirectResponse(ROOT + done.to, 303, HEADERS)
            self._keep(request, response, NOTICE, self.seal.signed("notice", asdict(done.notice)), 60)
            return response

        return endpoint

    async def login_page(self, request: Request) -> Response:
        """Asks for a key."""
        return self._login(request, local(request.query_params.get("back", ROOT)))

    async def login(self, request: Request) -> Response:
        """A key for a session."""
        form = await self._form(request) or {}
        given = {name: values[-1] for name, values in form.items()}
        nonce, back = request.cookies.get(LOGIN, ""), local(given.get("back", ROOT))
        if not nonce or not same(given.get("csrf", ""), self.seal.token(f"login {nonce}")):
            return self._login(request, back, "This page was open for too long, or your browser keeps no cookies. Try again.", 403)
        try:
            project, key = self.server.known(f"Bearer {given.get('key', '').strip()}")
        except answering.Problem:
            return self._login(request, back, "No key of this server reads like that, or it was revoked.", 401)
        if not key.allows("admin"):
            return self._login(request, back, f"This key is good for {', '.join(key.scopes)}; the dashboard needs admin.", 403)
        request.scope["state"].update(project=project.name, key=key.key_id)
        response = RedirectResponse(back, 303, HEADERS)
        self._keep(request, response, SESSION, self.seal.cookie(Session.begin(project.name, key.key_id)), LENGTH)
        response.delete_cookie(LOGIN, ROOT)
        return response

    async def logout(self, request: Request) -> Response:
        """Forget the session. Needs its token, so that no other page can log somebody out."""
        session = self._session(request)
        form = await self._form(request)
        if session is not None and (form is None or not same(form.get("csrf", [""])[-1], self.seal.token(session.nonce))):
            return forbidden()
        response = RedirectResponse(f"{ROOT}/login", 303, HEADERS)
        response.delete_cookie(SESSION, ROOT)
        return response

    async def asset(self, request: Request) -> Response:
        """A static file; its address holds its hash, so it may be kept for ever."""
        found = assets().get(request.path_params["name"])
        if found is None:
            return missing()
        headers = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
        return Response(found.content, 200, headers, found.content_type)

    async def nowhere(self, request: Request) -> Response:
        """An address that there is not."""
        return missing() if self._session(request) is not None else self._to_login(request, ROOT)

    def _session(self, request: Request) -> Session | None:
        """Who is logged in, if their key is still good."""
        session = self.seal.session(request.cookies.get(SESSION))
        project = None if session is None else self.server.projects.get(session.project)
        key = None if session is None or project is None else project.keys.get(session.key_id)
        if session is None or key is None or not key.allows("admin"):
            return None
        request.scope["state"].update(project=session.project, key=session.key_id)
        return session

    def _desk(self, request: Request, session: Session, several: dict[str, list[str]], notice: Notice | None = None) -> Desk:
        asked = {name: values[-1] for name, values in several.items()}
        request_id = request.scope["state"]["request_id"]
        project = self.server.projects[session.project]
        return Desk(project, session.key_id, self.seal.token(session.nonce), request_id, asked, several, notice)

    def _notice(self, request: Request) -> Notice | None:
        kept = self.seal.opened("notice", request.cookies.get(NOTICE))
        return Notice(**kept) if isinstance(kept, dict) else None

    def _login(self, request: Request, back: str, refused: str = "", status: int = 200) -> Response:
        nonce = secrets.token_urlsafe(16)
        response = HTMLResponse(render_login(LoginView(self.seal.token(f"login {nonce}"), back, refused)), status, HEADERS)
        self._keep(request, response, LOGIN, nonce, 3600)
        return response

    def _to_login(self, request: Request, back: str | None = None) -> Response:
        """There, and back again; a part that htmx asked for would be put into the page, so the whole page goes."""
        back = back or request.url.path + (f"?{urlencode(parse_qsl(request.url.query))}" if request.url.query else "")
        if request.headers.get("hx-request"):
            return Response("", 200, {**HEADERS, "hx-redirect": f"{ROOT}/login"})
        return RedirectResponse(f"{ROOT}/login?{urlencode({'back': back})}", 303, HEADERS)

    async def _form(self, request: Request) -> dict[str, list[str]] | None:
        """The fields of a form; None if the body is none, or too large."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
            return None
        try:
            body = await read_bytes(request, self.server.limits)
            return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=100)
        except (answering.Problem, ValueError):
            return None

    def _keep(self, request: Request, response: Response, name: str, value: str, seconds: int) -> None:
        """A cookie that scripts cannot read and other sites cannot send."""
        secure = request.url.scheme == "https"
        response.set_cookie(name, value, seconds, path=ROOT, secure=secure, httponly=True, samesite="strict")


def forbidden() -> Response:
    """A form that did not come from a page of this session."""
    why = "The form did not come from a page of this session, or the session ended meanwhile. Open the page again and repeat it."
    return HTMLResponse(render_error(ErrorView(403, Problem("Nothing was changed", why))), 403, HEADERS)


def failed(request_id: str) -> Response:
    """A page that could not be made."""
    why = f"Something went wrong on our side. The server's log has it under {request_id}; try again, or say this id when you report it."
    return HTMLResponse(render_error(ErrorView(500, Problem("This did not work", why))), 500, HEADERS)


def missing() -> Response:
    """No such page."""
    why = "There is no page at this address. The navigation of the overview leads to all there are."
    return HTMLResponse(render_error(ErrorView(404, Problem("Nothing here", why))), 404, HEADERS)
