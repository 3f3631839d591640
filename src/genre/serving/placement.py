"""A placement: a surface's settings with its sources and its policy made."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from genre.component import build
from genre.policies import Policy
from genre.serving.contract import RequestError
from genre.serving.sources import Source, load_source
from genre.surfaces import DEFAULT, Cap, Surface


@dataclass(frozen=True)
class Placement:
    """What answers for one surface.

    Attributes:
        repeats: whether items of the history may be shown.
        spare: picks that the policy is asked for beyond the list, because late rules may drop some.
    """

    name: str
    settings: Surface
    sources: Mapping[str, Source]
    policy: Policy
    repeats: bool

    def picks(self, n: int) -> int:
        """How many items to ask the policy for."""
        return 2 * n if any(isinstance(rule, Cap) for rule in self.settings.rules) else n + 5

    def candidates(self, n: int) -> int:
        """How many candidates the policy chooses from."""
        return max(self.settings.candidates, 2 * self.picks(n))


def placements_of(facts: Mapping[str, Any]) -> dict[str, Placement]:
    """Every surface of a bundle, and `default`."""
    written = {DEFAULT: {}, **facts["surfaces"]}
    return {name: _placement(name, Surface.model_validate(settings), facts) for name, settings in written.items()}


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


def changed(placement: Placement, changes: Mapping[str, Any]) -> Placement:
    """A surface with other settings in the place of some of its own.

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
    return Placement(placement.name, settings, sources, policy, placement.repeats if new.repeats is None else new.repeats)


def _placement(name: str, settings: Surface, facts: Mapping[str, Any]) -> Placement:
    sources = {source: load_source(source) for source in settings.sources}
    policy = build(Policy, settings.policy if settings.policy is not None else facts["policy"])
    return Placement(name, settings, sources, policy, facts["repeats"] if settings.repeats is None else settings.repeats)
