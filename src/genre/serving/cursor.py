"""Cursors: a page's answer carries what was shown so far, so that any server can give the next page without repeating an item."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import orjson

from genre.serving.contract import RequestError

MOST = 2000
"""Items over all pages; after so many there is no further page."""
LONGEST = 65_536


def write_cursor(shown: Sequence[str]) -> str | None:
    """What was shown on all pages so far, opaque to the caller; None when there were enough pages."""
    packed = base64.urlsafe_b64encode(orjson.dumps(list(shown))).decode()
    return packed if len(shown) < MOST and len(packed) <= LONGEST else None


def read_cursor(cursor: str | None) -> list[str]:
    """The ids in it.

    Raises:
        RequestError: this was never an answer's cursor.
    """
    if cursor is None:
        return []
    try:
        shown = orjson.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise RequestError("cursor", "is not the cursor of an answer") from error
    if not isinstance(shown, list) or len(shown) > MOST or not all(isinstance(item_id, str) for item_id in shown):
        raise RequestError("cursor", "is not the cursor of an answer")
    return shown
