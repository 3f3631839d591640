"""A placement: a surface's settings with its sources and its policy made."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from genre.component import build
from genre.policies import Policy
from genre.policies.learner import FOLDER
from genre.serving.contract import Noted, RequestError
from genre.serving.head import Head
from genre.serving.sources import Source, load_source
from genre.surfaces import DEFAULT, Cap, Surface
from genre.types import Candidates, Slate


@dataclass(frozen=True)
class Placement:
    """What answers for one surface.

    Attributes:
        repeats: whether items of the history may be shown.
        head: the policy as one that learns; None where it does not.
    """

    name: str
    settings: Surface
    sources: Mapping[str, Source]
    policy: Policy
    repeats: bool
    head: Head | None = None

    def choose(self, candidates: Candidates, n: int, rng: np.random.Generator) -> Slate:
        """See Policy.select."""
        return self.policy.select(candidates, n, rng) if self.head is None else self.head.choose(candidates, n, rng)

    def noted(self, slate: Slate | None, item_idx_S: Sequence[int]) -> Noted | None:
        """What the items of a list were chosen by, where that is learnt from."""
        return None if self.head is None or slate is None else self.head.noted(slate, item_idx_S)

    def picks(self, n: int) -> int:
        """How many items to ask the policy for."""
        return 2 * n if any(isinstance(rule, Cap) for rule in self.settings.rules) else n + 5

    def candidates(self, n: int) -> int:
        """How many candidates the policy chooses from."""
        return max(self.settings.candidates, 2 * self.picks(n))


def placements_of(facts: Mapping[str, Any], folder: Path | None = None, index: Mapping[str, int] | None = None) -> dict[str, Placement]:
    """Every surface of a bundle, and `default`.

    Args:
        folder: of the bundle, for what its policies have learnt; index: where each item is in the catalogue.
    """
    written = {DEFAULT: {}, **facts["surfaces"]}
    found = {name: _placement(name, Surface.model_validate(settings), facts, index or {}) for name, settings in written.items()}
    for name, placement in found.items():
        if placement.head is not None and folder is not None and (folder / FOLDER / name).is_dir():
            placement.head.load(folder / FOLDER / name)
    return found


def chosen(placements: Mapping[str, Placement], name: str) -> Placement:
    """A surface by its name.

    Raises:
        RequestError: there is none.
    """
    found = placements.get(name)
    if found is None:
        near = difflib.get_close_matches(name, placements, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(placements)}"
        raise RequestError("surface", f"there is no surface {name!r}; {hint}")
    return found


def changed(placement: Placement, changes: Mapping[str, Any], content: str, index: Mapping[str, int]) -> Placement:
    """A surface with other settings in the place of some of its own; another policy begins by knowing nothing.

    Args:
        content, index: see Head.

    Raises:
        RequestError: a setting that there is not, or a value that it cannot have.
    """
    try:
        new = Surface.model_validate(dict(changes))
        sources = {source: load_source(source) for source in new.sources} if "sources" in changes else placement.sources
        policy = placement.policy if new.policy is None else build(Policy, new.policy)
    except ValidationError as error:
        first = error.errors()[0]
        raise RequestError(".".join(map(str, first["loc"])) or placement.name, first["msg"].removeprefix("Value error, ")) from error
    except (ValueError, ImportError, AttributeError) as error:
        raise RequestError(placement.name, str(error)) from error
    settings = placement.settings.model_copy(update={name: getattr(new, name) for name in changes})
    head = placement.head if policy is placement.policy else Head.of(placement.name, policy, content, index, arm=True)
    return Placement(placement.name, settings, sources, policy, placement.repeats if new.repeats is None else new.repeats, head)


def _placement(name: str, settings: Surface, facts: Mapping[str, Any], index: Mapping[str, int]) -> Placement:
    sources = {source: load_source(source) for source in settings.sources}
    policy = build(Policy, settings.policy if settings.policy is not None else facts["policy"])
    head = Head.of(name, policy, facts.get("space", ""), index)
    return Placement(name, settings, sources, policy, facts["repeats"] if settings.repeats is None else settings.repeats, head)
