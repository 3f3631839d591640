"""Every answer that was paid for, kept by its question: a killed stage asks only what it had not asked, and so does a changed one."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from genre.llm.generation import Completion, Request

TABLE = """CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY, prompt TEXT NOT NULL, text TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    seconds REAL NOT NULL, money REAL NOT NULL, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID"""


class CallCache:
    """A file of answers; what `keep` has returned from survives a kill. Use it as a context manager."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file

    def __enter__(self) -> Self:
        try:
            self.connection = sqlite3.connect(self.file, isolation_level=None)
            self.connection.execute("PRAGMA journal_mode=WAL")
            self.connection.execute(TABLE)
        except sqlite3.DatabaseError as error:
            raise ValueError(
                f"{self.file} is not a cache of language-model calls ({error}); move it away, and calls are made anew"
            ) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.connection.close()

    def __len__(self) -> int:
        return int(self.connection.execute("SELECT count(*) FROM calls").fetchone()[0])

    def find(self, key: str) -> tuple[Completion, float] | None:
        """An answer and the money it cost, if it is there."""
        row = self.connection.execute(
            "SELECT text, prompt_tokens, completion_tokens, seconds, money FROM calls WHERE key = ?", (key,)
        ).fetchone()  # fmt: skip
        return None if row is None else (Completion(*row[:4]), row[4])

    def keep(self, key: str, prompt: str, completion: Completion, money: float) -> None:
        """Store an answer under its key; the first one stays."""
        row = (key, prompt, completion.text, completion.prompt_tokens, completion.completion_tokens, completion.seconds, money)
        self.connection.execute(
            "INSERT OR IGNORE INTO calls (key, prompt, text, prompt_tokens, completion_tokens, seconds, money) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            row,
        )


def key_of(identity: dict[str, Any], request: Request) -> str:
    """The address of an answer: a hash of the model and all that it was asked."""
    return hashlib.sha256(json.dumps([identity, request.as_dict()], sort_keys=True).encode()).hexdigest()
