"""A form: JSON of which a model writes only the blanks, so that even a small one can neither break nor leave it."""

# V vocabulary

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from genre.llm.generation import Schema

if TYPE_CHECKING:
    from torch import Tensor

MOST_ENTRIES = 8
"""Of a list whose schema does not say."""
ENTRY_TOKENS = 12
"""The longest entry of a list."""
WORD = re.compile(r"\w")


@dataclass(frozen=True)
class Blank:
    """A text, or a list of texts of at most `entries` (None: no list)."""

    name: str
    entries: int | None = None


def blanks(schema: Schema) -> list[Blank] | None:
    """The blanks of a schema whose properties are texts and lists of texts; None for any other."""
    found = []
    for name, property_ in json.loads(schema.text)["properties"].items():
        if property_.get("type") == "string":
            found.append(Blank(name))
        elif property_.get("type") == "array" and property_.get("items", {}).get("type") == "string":
            found.append(Blank(name, property_.get("maxItems", MOST_ENTRIES)))
        else:
            return None
    return found


class Letters:
    """What a tokenizer's tokens look like: which may stand in a text, which end it, and which go on with or end a list."""

    def __init__(self, tokenizer: Any, size: int) -> None:
        self.tokenizer, self.size = tokenizer, size

    def ids(self, text: str) -> list[int]:
        """The tokens of a piece of the form."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    @cached_property
    def texts(self) -> list[str]:
        """Each token alone; empty for control tokens and beyond the vocabulary."""
        known = self.tokenizer.batch_decode([[token] for token in range(len(self.tokenizer))], skip_special_tokens=True)
        return [*known, *[""] * (self.size - len(known))][: self.size]

    @cached_property
    def plain_V(self) -> Tensor:
        """Tokens that can stand in a text without an escape."""
        return self._which(lambda text: text != "" and not any(letter in '"\\' or ord(letter) < 32 for letter in text))

    @cached_property
    def closing_V(self) -> Tensor:
        """Tokens that begin with a quotation mark."""
        return self._which(lambda text: text.startswith('"'))

    @cached_property
    def after_V(self) -> Tensor:
        """Tokens that begin with what may follow an entry: a comma or the end of the list."""
        return self._which(lambda text: text.startswith((",", "]")))

    def _which(self, wanted: Callable[[str], bool]) -> Tensor:
        import torch

        return torch.tensor([wanted(text) for text in self.texts])


class Form:
    """One answer being filled in: `choose` is given a mask of the tokens that make sense, and picks one of them."""

    def __init__(self, fields: list[Blank], letters: Letters, max_tokens: int) -> None:
        self.fields, self.letters = fields, letters
        self.values: dict[str, Any] = {}
        self.done = False
        self._place = 0
        self._text: list[int] = []
        self._entries: list[str] = []
        self._after_entry = False
        self._waiting: deque[int] = deque()
        # Half of the room for the texts, the other half for what is between them.
        self._text_tokens = max(8, max_tokens // 2 // max(1, sum(field.entries is None for field in fields)))

    @property
    def text(self) -> str:
        """The answer as JSON."""
        return json.dumps(self.values, ensure_ascii=False)

    def write(self, choose: Callable[[Tensor], int]) -> int:
        """The next token of the form: one that is given, or one that is chosen."""
        if self._waiting:
            return self._waiting.popleft()
        if self._after_entry:
            self._after_entry = False
            chosen = self.letters.texts[choose(self.letters.after_V)]
            self._next_entry(chosen.startswith(","), "")
        else:
            token = self._within(choose)
            if token is not None:
                return token
        return self._waiting.popleft() if self._waiting else 0

    def _within(self, choose: Callable[[Tensor], int]) -> int | None:
        """A token of the text that is being written; None where it ends."""
        letters, field = self.letters, self.fields[self._place]
        written = str(letters.tokenizer.decode(self._text)) if self._text else ""
        longest = self._text_tokens if field.entries is None else ENTRY_TOKENS
        said = WORD.search(written) is not None
        end = '"'
        if len(self._text) < longest or not said:
            token = choose(letters.plain_V | letters.closing_V if said else letters.plain_V)
            if not letters.closing_V[token]:
                self._text.append(token)
                return token
            end = letters.texts[token]
        self._text = []
        self._close(written.strip(), end)
        return None

    def _close(self, written: str, end: str) -> None:
        """A text is complete; how its last token looks says whether a list goes on."""
        field = self.fields[self._place]
        if field.entries is None:
            self.values[field.name] = written
            self._next_field('"')
            return
        again = written in self._entries
        self._entries.append(written)
        if again or len(self._entries) >= field.entries or end.startswith('"]'):
            self._next_entry(False, '"')
        elif end.startswith('",'):
            self._next_entry(True, '"')
        else:
            self._waiting.extend(self.letters.ids('"'))
            self._after_entry = True

    def _next_entry(self, more: bool, end: str) -> None:
        if more:
            self._waiting.extend(self.letters.ids(f'{end}, "'))
            return
        self.values[self.fields[self._place].name] = list(dict.fromkeys(self._entries))
        self._entries = []
        self._next_field(f"{end}]")

    def _next_field(self, end: str) -> None:
        self._place += 1
        if self._place == len(self.fields):
            self.done = True
            return
        following = self.fields[self._place]
        self._waiting.extend(self.letters.ids(f'{end}, "{following.name}": {"" if following.entries is None else "["}"'))
