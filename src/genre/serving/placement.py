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


def varied(placement: Placement, changes: Mapping[str, Any]) -> Placement:
    """A placement with some settings of its surface changed; sources and a policy that stay are shared.

    Raises:
        RequestError: a setting that there is not, or code of one's own, which comes with a bundle and not over the API.
    """
    foreign = _own_code(changes)
    if foreign is not None:
        raise RequestError(foreign, "classes of your own are named in the configuration, not over the API")
    try:
        settings = Surface.model_validate({**placement.settings.model_dump(exclude_unset=True), **changes})
        policy = build(Policy, settings.policy) if settings.policy is not None and "policy" in changes else placement.policy
    except ValidationError as error:
        raise RequestError(".".join(map(str, error.errors()[0]["loc"])), error.errors()[0]["msg"]) from error
    sources = {source: placement.sources.get(source) or load_source(source) for source in settings.sources}
    repeats = placement.repeats if settings.repeats is None else settings.repeats
    return Placement(placement.name, settings, sources, policy, repeats)


def _own_code(changes: Any, where: str = "") -> str | None:
    """Where a tree of settings names a class of somebody's own."""
    if isinstance(changes, Mapping):
        if isinstance(use := changes.get("use"), str) and ":" in use:
            return f"{where}use"
        return next((found for key, value in changes.items() if (found := _own_code(value, f"{where}{key}."))), None)
    if isinstance(changes, list | tuple):
        return next((found for at, value in enumerate(changes) if (found := _own_code(value, f"{where}{at}."))), None)
    return where.rstrip(".") if where.startswith("sources.") and isinstance(changes, str) and ":" in changes else None


def _placement(name: str, settings: Surface, facts: Mapping[str, Any]) -> Placement:
    sources = {source: load_source(source) for source in settings.sources}
    policy = build(Policy, settings.policy if settings.policy is not None else facts["policy"])
    return Placement(name, settings, sources, policy, facts["repeats"] if settings.repeats is None else settings.repeats)
