"""A client for the API: typed, with retries that cannot count an event twice."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from genre.serving.admin_client import Admin
from genre.serving.contract import EventIn, ItemIn, RankRequest, RankResponse, RecommendRequest, RecommendResponse, UserIn

M = TypeVar("M", bound=BaseModel)
BATCH = 1000
AGAIN = (429, 502, 503, 504)


class ApiError(RuntimeError):
    """The server said no; `status` and `errors` say why."""

    def __init__(self, status: int, detail: str, errors: Sequence[Mapping[str, Any]] = (), request_id: str = "") -> None:
        super().__init__(f"{status}: {detail}" + (f" (request {request_id})" if request_id else ""))
        self.status, self.detail, self.errors, self.request_id = status, detail, list(errors), request_id


class Client:
    """Talks to one project of a server.

    Args:
        url: where the server is.
        key: a token of `genre keys create`; None where the server has no keys.
        timeout: seconds of one attempt.
        retries: attempts after the first, where the server was away, busy or too slow. Asking and telling twice are both harmless.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        key: str | None = None,
        *,
        timeout: float = 5.0,
        retries: int = 3,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, transport=transport)
        self._retries = retries
        self.admin = Admin(self._ask)
        """Models, experiments and the audit log, for a key that is good for admin."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def recommend(self, user_id: str | None = None, n: int = 20, **more: Any) -> RecommendResponse:
        """A list; `more` are the other fields of RecommendRequest: surface, session_id, anchors, filter, text, exclude, context, ..."""
        asked = RecommendRequest(user_id=user_id, n=n, **more)
        return RecommendResponse.model_validate(self._ask("POST", "/v1/recommend", asked))

    def rank(self, items: Sequence[str], user_id: str | None = None, **more: Any) -> RankResponse:
        """One's own items in order, with probabilities; `more` are the other fields of RankRequest."""
        return RankResponse.model_validate(self._ask("POST", "/v1/rank", RankRequest(items=list(items), user_id=user_id, **more)))

    def track(self, type: str, item_id: str | None = None, *, user_id: str | None = None, **more: Any) -> None:
        """Log one event now; `more` are the other fields of EventIn. An event_id is made up unless it is given."""
        self.send([EventIn(event_id=more.pop("event_id", None) or uuid.uuid4().hex, type=type, item_id=item_id, user_id=user_id, **more)])

    def send(self, events: Iterable[EventIn]) -> int:
        """Log events, a thousand at a time; how many were new. What this returns for is on the server's disk.

        Raises:
            ApiError: an event was refused, or the server stayed away.
        """
        new = 0
        for batch in _batches(events):
            reply = self._ask("POST", "/v1/events", [event.model_dump(mode="json", exclude_defaults=True) for event in batch])
            if reply["errors"]:
                raise ApiError(422, f"{reply['rejected']} events were refused, first: {reply['errors'][0]}", reply["errors"])
            new += reply["accepted"]
        return new

    def put_items(self, items: Iterable[ItemIn]) -> int:
        """Add items or replace them, a thousand at a time; how many.

        Raises:
            ApiError: an item was refused; those beside it were not.
        """
        return self._put("/v1/items:batch", "items", items)

    def put_users(self, users: Iterable[UserIn]) -> int:
        """Say what is known of users, a thousand at a time; how many."""
        return self._put("/v1/users:batch", "users", users)

    def item(self, item_id: str) -> ItemIn:
        """An item as it is now."""
        return ItemIn.model_validate(self._ask("GET", f"/v1/items/{quote(item_id, safe='')}"))

    def delete_item(self, item_id: str) -> None:
        """Never show it again."""
        self._ask("DELETE", f"/v1/items/{quote(item_id, safe='')}")

    def merge(self, into_user_id: str, *, from_session_id: str | None = None, from_user_id: str | None = None) -> int:
        """A session's user logged in, or two accounts are one; how many events moved."""
        body = {"into_user_id": into_user_id, "from_session_id": from_session_id, "from_user_id": from_user_id}
        moved: int = self._ask("POST", "/v1/users:merge", body)["events"]
        return moved

    def explain(self, request_id: str, item_id: str | None = None) -> dict[str, Any]:
        """Why a list looked as it did, and why an item was shown or not."""
        found: dict[str, Any] = self._ask(
            "GET", f"/v1/requests/{quote(request_id, safe='')}", params={"item_id": item_id} if item_id else None
        )
        return found

    def _put(self, path: str, name: str, rows: Iterable[ItemIn] | Iterable[UserIn]) -> int:
        done = 0
        for batch in _batches(rows):
            reply = self._ask("POST", path, {name: [row.model_dump(mode="json", exclude_defaults=True) for row in batch]})
            if reply["errors"]:
                raise ApiError(422, f"{len(reply['errors'])} {name} were refused, first: {reply['errors'][0]}", reply["errors"])
            done += reply["changed"]
        return done

    def _ask(self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None) -> Any:
        sent = body.model_dump(mode="json", exclude_defaults=True) if isinstance(body, BaseModel) else body
        for left in range(self._retries, -1, -1):
            try:
                reply = self._http.request(method, path, json=sent, params=params)
            except httpx.TransportError:
                if left == 0:
                    raise
                wait = 0.2 * 2 ** (self._retries - left)
            else:
                if reply.status_code not in AGAIN or left == 0:
                    return _read(reply)
                wait = min(float(reply.headers.get("retry-after", 1)), 10.0)
            time.sleep(wait)
        raise AssertionError("unreachable")


def _read(reply: httpx.Response) -> Any:
    if reply.status_code == 204:
        return None
    try:
        body = reply.json()
    except ValueError:
        raise ApiError(reply.status_code, "the answer is not JSON; is this a genre server?") from None
    if reply.is_success or (reply.status_code == 422 and "rejected" in body) or (reply.status_code == 422 and "changed" in body):
        return body
    raise ApiError(reply.status_code, body.get("detail", ""), body.get("errors", ()), reply.headers.get("x-request-id", ""))


def _batches(rows: Iterable[M]) -> Iterable[list[M]]:
    batch: list[M] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
