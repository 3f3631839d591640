"""Sessions: who is logged in, as a signed cookie, and the token without which no form is believed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import asdict, dataclass

LENGTH = 12 * 3600
"""Seconds after which one logs in again."""
LONGEST = 4096
"""Of a cookie; what is longer was not made here."""


@dataclass(frozen=True)
class Session:
    """Somebody who showed an admin key. That the key is still good is asked with every request.

    Attributes:
        nonce: drawn at login; the forms' token is made from it.
        expires: unix seconds.
    """

    project: str
    key_id: str
    nonce: str
    expires: float

    @classmethod
    def begin(cls, project: str, key_id: str) -> Session:
        """From now on."""
        return cls(project, key_id, secrets.token_urlsafe(16), time.time() + LENGTH)


class Seal:
    """Signs what a browser keeps for us. What was signed for one purpose is nothing for another."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 32:
            raise ValueError("the secret that cookies are signed with has at least 32 bytes")
        self._secret = secret

    def signed(self, purpose: str, value: object) -> str:
        """A JSON-like value for a cookie."""
        body = base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
        return f"{body}.{self._mark(purpose, body)}"

    def opened(self, purpose: str, cookie: str | None) -> object | None:
        """The value that was signed; None if it was not, or for something else."""
        body, _, mark = (cookie or "")[:LONGEST].rpartition(".")
        if not same(mark, self._mark(purpose, body)):
            return None
        try:
            value: object = json.loads(base64.urlsafe_b64decode(body))
        except (ValueError, binascii.Error):
            return None
        return value

    def session(self, cookie: str | None) -> Session | None:
        """Who a cookie says it is; None if it is none of ours, or over."""
        value = self.opened("session", cookie)
        session = Session(**value) if isinstance(value, dict) else None
        return session if session is not None and session.expires > time.time() else None

    def cookie(self, session: Session) -> str:
        """A session as a cookie."""
        return self.signed("session", asdict(session))

    def token(self, nonce: str) -> str:
        """What every form of a session carries."""
        return self._mark("form", nonce)

    def _mark(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()


def same(given: str, expected: str) -> bool:
    """Whether two texts are equal, in time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode(), expected.encode())
