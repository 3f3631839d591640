"""Prompts: versioned template files, in which whatever comes from data is quoted, so that it stays data."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BeforeValidator, ValidationInfo

from genre.data.readers.paths import placed

USER = "=== user ==="
"""The line between what is said once (the system message) and what is asked (the user's)."""
LONGEST = 2000
"""Characters kept of one piece of data; the rest is cut off with an ellipsis."""
CONTROL = re.compile(r"[\x00-\x1f\x7f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
FILE = re.compile(r"(?P<name>[a-z_]+)\.(?P<version>\d+)\.j2")


def _named(name: Any, info: ValidationInfo) -> Any:
    return str(placed(name, info)) if isinstance(name, str) and name.endswith(".j2") else name


PromptName = Annotated[str, BeforeValidator(_named)]
"""A prompt in a configuration: see `PromptTemplate.load`. A file is relative to the YAML that names it, and stored absolute."""


@dataclass(frozen=True)
class Prompt:
    """What a model is told. `name` is for people: `item_summary@1`."""

    name: str
    system: str
    user: str


class PromptTemplate:
    """A template file: a system part, the line `=== user ===`, and a user part.

    Everything that a template inserts passes `quoted`, whether its author thinks of it or not.
    """

    def __init__(self, name: str, source: str, files: tuple[Path, ...] = ()) -> None:
        system, mark, user = source.partition(f"\n{USER}\n")
        if not mark or not user.strip():
            raise ValueError(f"prompt {name}: needs a line '{USER}' with the question below it")
        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, finalize=quoted, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=False
        )
        self.name, self.source, self.files = name, source, files
        try:
            self._system, self._user = environment.from_string(system.strip()), environment.from_string(user.strip())
        except TemplateError as error:
            raise ValueError(f"prompt {name}: {error}") from error

    @classmethod
    def load(cls, name: str) -> PromptTemplate:
        """A built-in by name and version (`item_summary@1`), the newest by name alone, or a file of your own by its path.

        Raises:
            ValueError: there is none (the message lists what there is), or it cannot be read as a template.
        """
        path = Path(name).expanduser()
        if path.suffix == ".j2":
            if not path.is_file():
                raise ValueError(f"prompt {name!r}: there is no such file")
            return cls(path.name, path.read_text(encoding="utf-8"), (path,))
        wanted, _, version = name.partition("@")
        there = built_in()
        versions = there.get(wanted, [])
        if not versions or (version and version not in map(str, versions)):
            known = ", ".join(f"{prompt}@{number}" for prompt, numbers in there.items() for number in numbers)
            raise ValueError(f"no prompt called {name!r}; built in: {known}. Your own: a path that ends in .j2")
        number = version or str(max(versions))
        return cls(f"{wanted}@{number}", (files("genre.llm") / "templates" / f"{wanted}.{number}.j2").read_text(encoding="utf-8"))

    def render(self, **data: Any) -> Prompt:
        """Fill in; strings, numbers and lists of them.

        Raises:
            ValueError: the template names something that is not given.
        """
        try:
            return Prompt(self.name, self._system.render(data), self._user.render(data))
        except TemplateError as error:
            raise ValueError(f"prompt {self.name}: {error}; given: {', '.join(data)}") from error


def built_in() -> dict[str, list[int]]:
    """Names of the prompts in the package and their versions."""
    there: dict[str, list[int]] = {}
    for file in files("genre.llm").joinpath("templates").iterdir():
        if found := FILE.fullmatch(file.name):
            there.setdefault(found["name"], []).append(int(found["version"]))
    return {name: sorted(versions) for name, versions in sorted(there.items())}


def quoted(value: Any) -> str:
    """A piece of data as a JSON string on one line: no quote ends it, no line break leaves it, no chat format finds its tokens in it."""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    # Chat formats mark turns by tokens like <|im_end|>, </s> and [INST]: without the bracket they are letters among others.
    return json.dumps(one_line(str(value)), ensure_ascii=False).replace("<", "\\u003c").replace("[", "\\u005b")


def one_line(text: str, longest: int = LONGEST) -> str:
    """A text without line breaks, control characters and what reorders letters on screen; cut where it is too long."""
    text = re.sub(r"\s+", " ", CONTROL.sub(" ", text)).strip()
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"
