"""The short text form of an expression: `price < 20 and brand in ("A", "B") and not seen(30d)`, read into the JSON form."""

from __future__ import annotations

import re
from typing import Any

MAX_TEXT = 10_000
MAX_NESTING = 20
TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<duration>[1-9][0-9]*[smhdw]\b)
  | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])
  | (?P<op>==|!=|<=|>=|<|>|=|\(|\)|,)
  | (?P<quoted>`[^`]+`)
  | (?P<word>[^\W\d][\w.]*)
    )""",
    re.VERBOSE,
)
KEYWORDS = ("and", "or", "not", "in", "has", "missing", "seen", "true", "false")


def parse(text: str) -> dict[str, Any]:
    """The JSON form of an expression.

    `or` binds weaker than `and`, `and` weaker than `not`. A column whose name is no word stands in back quotes.

    Raises:
        ValueError: with the place where reading stopped and what was expected there.
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"a filter has at most {MAX_TEXT:,} characters, this one {len(text):,}")
    reader = _Reader(text)
    tree = _either(reader, 1)
    if reader.kind != "end":
        raise reader.expected("`and`, `or` or the end")
    return tree


class _Reader:
    """One token ahead."""

    def __init__(self, text: str) -> None:
        self.text, self.stop = text, 0
        self.advance()

    def advance(self) -> None:
        """Read the next token."""
        self.start = self.stop
        if not self.text[self.start :].strip():
            self.kind, self.token = "end", ""
            return
        match = TOKEN.match(self.text, self.start)
        if match is None or match.lastgroup is None:
            self.kind, self.token = "stray", self.text[self.start :].lstrip()[:1]
            raise self.expected("a column, a value or an operator")
        self.kind, self.token, self.stop = match.lastgroup, match[match.lastgroup], match.end()
        if self.kind == "word" and self.token.lower() in KEYWORDS:
            self.kind = self.token.lower()

    def take(self, *kinds: str) -> str | None:
        """The token if it is of one of these kinds (or is one of these operators), else None."""
        if self.kind in kinds or (self.kind == "op" and self.token in kinds):
            token = self.token
            self.advance()
            return token
        return None

    def need(self, *kinds: str) -> str:
        """The token, which must be of one of these kinds."""
        token = self.take(*kinds)
        if token is None:
            raise self.expected(" or ".join(f"`{kind}`" for kind in kinds))
        return token

    def expected(self, what: str) -> ValueError:
        """The complaint at this place."""
        got = repr(self.token) if self.token else "the end"
        return ValueError(f"filter {self.text!r}, character {len(self.text[: self.start]) + 1}: expected {what}, got {got}")


def _either(reader: _Reader, depth: int) -> dict[str, Any]:
    if depth > MAX_NESTING:
        raise ValueError(f"a filter is nested at most {MAX_NESTING} deep")
    parts = [_both(reader, depth)]
    while reader.take("or"):
        parts.append(_both(reader, depth))
    return parts[0] if len(parts) == 1 else {"or": parts}


def _both(reader: _Reader, depth: int) -> dict[str, Any]:
    parts = [_negated(reader, depth)]
    while reader.take("and"):
        parts.append(_negated(reader, depth))
    return parts[0] if len(parts) == 1 else {"and": parts}


def _negated(reader: _Reader, depth: int) -> dict[str, Any]:
    if depth > MAX_NESTING:
        raise ValueError(f"a filter is nested at most {MAX_NESTING} deep")
    if reader.take("not"):
        return {"not": _negated(reader, depth + 1)}
    if reader.take("("):
        inside = _either(reader, depth + 1)
        reader.need(")")
        return inside
    if reader.take("seen"):
        if not reader.take("("):
            return {"seen": True}
        within = reader.take("duration")
        reader.need(")")
        return {"seen": within or True}
    if reader.take("missing"):
        reader.need("(")
        field = _column(reader)
        reader.need(")")
        return {"missing": field}
    return _comparison(reader, _column(reader))


def _comparison(reader: _Reader, field: str) -> dict[str, Any]:
    if reader.take("has"):
        return {"field": field, "has": _value(reader)}
    negated = reader.take("not") is not None
    if negated or reader.kind == "in":
        reader.need("in")
        reader.need("(")
        values = [_value(reader)]
        while reader.take(","):
            values.append(_value(reader))
        reader.need(")")
        found = {"field": field, "in": values}
        return {"not": found} if negated else found
    op = reader.take("==", "!=", "<=", ">=", "<", ">", "=")
    if op is None:
        raise reader.expected("a comparison, `in` or `has`")
    return {"field": field, "op": "==" if op == "=" else op, "value": _value(reader)}


def _column(reader: _Reader) -> str:
    token = reader.take("word", "quoted")
    if token is None:
        raise reader.expected("a column")
    return token.strip("`")


def _value(reader: _Reader) -> bool | int | float | str:
    kind = reader.kind
    token = reader.take("string", "number", "true", "false")
    if token is None:
        raise reader.expected("a value: a number, true, false or a text in quotes")
    if kind == "string":
        return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)
    if kind == "number":
        try:
            return int(token)
        except ValueError:
            return float(token)
    return kind == "true"
