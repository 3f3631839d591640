"""Choices: what validation decided in a run, kept with the settings it was decided under, for training on everything later."""

from __future__ import annotations

import json
from typing import Any

from genre.component import Settings
from genre.config import GenreConfig
from genre.runs import Run

CHOSEN_FINETUNE = "/finetune"
"""Its place in chosen.json, which no ranker's name can be."""
UNDER = "under"
"""Beside each choice in chosen.json: the settings that it was made under."""


def chosen(config: GenreConfig, run: Run, name: str) -> dict[str, Any]:
    """What validation decided in this run for a ranker (or stage), but for what was set by hand since.

    Raises:
        ValueError: it was decided under other settings than these.
    """
    found = read_chosen(run).get(name, {})
    now = _decides(config, name)
    was = found.pop(UNDER, now)
    path = {key: f"{_place(name)}.{key}" for key in found}
    kept = {key: value for key, value in found.items() if was.get(path[key]) == now.get(path[key])}
    changed = [each for each in now if each in was and was[each] != now[each] and each not in path.values()]
    if kept and changed:
        raise ValueError(
            f"{run.folder}: validation chose {' and '.join(path[key] for key in kept)} under other settings than now "
            f"({', '.join(changed)} changed). Run these with a split first, to choose anew, or set what was chosen yourself"
        )
    return kept


def read_chosen(run: Run) -> dict[str, Any]:
    """What validation decided in this run, by ranker (or stage), and under which settings."""
    file = run.folder / "chosen.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def write_chosen(config: GenreConfig, run: Run, name: str, settings: dict[str, Any]) -> None:
    """What validation decided, for training on everything later."""
    found = read_chosen(run) | {name: settings | {UNDER: _decides(config, name)}}
    (run.folder / "chosen.json").write_text(json.dumps(found, indent=2) + "\n")


def _place(name: str) -> str:
    return "finetune" if name == CHOSEN_FINETUNE else f"rankers.{name}"


def _decides(config: GenreConfig, name: str) -> dict[str, Any]:
    """Every setting that a choice of validation depends on, by its path."""
    sections: dict[str, Settings | None] = {}
    waiting = [_place(name)]
    while waiting:
        kind, _, which = (path := waiting.pop()).partition(".")
        section = getattr(config, kind)[which] if which else getattr(config, kind)
        sections[path] = section
        if kind == "rankers":
            waiting += [*(f"rankers.{member}" for member in section.members()), *(f"encoders.{encoder}" for encoder in section.encoders())]
        if kind == "encoders":
            waiting += section.stages()
        if kind == "finetune" and section.model == "pretrain":
            waiting.append("pretrain")
    return {
        f"{path}.{key}": value for path, section in sections.items() if section for key, value in section.model_dump(mode="json").items()
    }
