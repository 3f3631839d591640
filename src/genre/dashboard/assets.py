"""Assets: the vendored scripts and stylesheets by name, and the policy that lets a browser run nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

ROOT = "/dashboard"
"""Where the pages live; every link begins with it."""
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
"""To send with every page."""
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".txt": "text/plain; charset=utf-8"}


@dataclass(frozen=True)
class Asset:
    """A static file: its bytes never change under its address, so it may be cached for ever."""

    name: str
    content: bytes
    content_type: str

    @property
    def address(self) -> str:
        """With the beginning of its hash, so that a new version is fetched at once."""
        return f"{ROOT}/static/{self.name}?v={hashlib.sha256(self.content).hexdigest()[:12]}"


@cache
def assets() -> dict[str, Asset]:
    """All static files by name; nothing outside this table is served."""
    found = {}
    for file in sorted(resources.files("genre.dashboard").joinpath("static").iterdir(), key=lambda file: file.name):
        content_type = TYPES.get(f".{file.name.rpartition('.')[2]}")
        if content_type is not None:
            found[file.name] = Asset(file.name, file.read_bytes(), content_type)
    return found
