"""A mistake in a configuration, in words: where, what, and what would be right."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from genre.component import Component, resolve
from genre.config.tree import GenreConfig
from genre.data.readers import Reader
from genre.data.splitting import Split
from genre.encoders import Encoder
from genre.llm.generation import Generator
from genre.llm.objectives import Objective
from genre.policies import Policy
from genre.rankers import Ranker

KINDS: dict[str, type[Component]] = {
    "data.reader": Reader,
    "data.split": Split,
    "encoders": Encoder,
    "rankers": Ranker,
    "policy": Policy,
    "policy.of": Policy,
    "enrich.generator": Generator,
    "finetune.objective": Objective,
}


def explain(problem: Any, tree: dict[str, Any]) -> str:
    """One mistake in words: where, what, and what would be right."""
    loc = [str(part) for part in problem["loc"]]
    path = ".".join(loc) or "the file"
    kind, message, shown = problem["type"], problem["msg"].removeprefix("Value error, "), problem["input"]
    if kind == "extra_forbidden":
        keys = _keys_at(loc[:-1], tree)
        near = difflib.get_close_matches(loc[-1], keys, 1)
        return f"{path}: unknown key; " + (f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(keys)}")
    if kind == "missing":
        return f"{path}: is missing"
    if kind in ("use", "value_error"):
        return f"{path}: {message}" if loc else message
    got = f", not {shown!r}" if isinstance(shown, str | int | float | list) else ""
    return f"{path}: {message[0].lower()}{message[1:]}{got}"


def _keys_at(loc: list[str], tree: Any) -> list[str]:
    """The keys that a mapping of the configuration may have."""
    model: Any = GenreConfig
    for depth, part in enumerate(loc):
        if isinstance(tree, list):  # a list may stand for a component that holds it
            tree = tree[int(part)] if part.isdigit() else tree
        else:
            tree = tree.get(part) if isinstance(tree, dict) else None
        kind = KINDS.get(".".join(loc[: depth + 1])) or KINDS.get(".".join(loc[:depth]))
        if kind is not None and isinstance(tree, dict) and "use" in tree:
            model = resolve(tree["use"], kind).Config
        else:
            field = model.model_fields.get(part)
            choices = [] if field is None else [field.annotation, *get_args(field.annotation)]
            model = next((choice for choice in choices if hasattr(choice, "model_fields")), model)
    return sorted(getattr(model, "model_fields", ()))
