"""Chain: policies one after another, each adjusting what the next one sees, and at most one of them drawing."""

# K candidates, F features

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import Field, SerializeAsAny, model_validator

from genre.component import Chosen, build
from genre.policies import Policy
from genre.policies.placewise import PlacewisePolicy, Turn
from genre.types import Candidates, Floats, Slate


class ChainPolicy(PlacewisePolicy):
    """At each place every policy adjusts the scores in turn; the one that explores draws, or the best is taken.

    In YAML a list of policies is a chain: `policy: [{use: long_tail}, {use: mmr}, {use: plackett_luce}]`.
    """

    class Config(PlacewisePolicy.Config):
        use: str = "chain"
        of: tuple[Annotated[SerializeAsAny[Policy.Config], Chosen(Policy, without=("chain",))], ...] = Field(min_length=1)
        """The policies, in order. All read scores in the chain's units."""

        @model_validator(mode="after")
        def _members_fit(self) -> Self:
            members = [(config.use, build(Policy, config)) for config in self.of]
            for use, member in members:
                if not isinstance(member, PlacewisePolicy):
                    raise ValueError(f"{use} cannot be one of several: it does not choose place by place")
                if member.config.scores != self.scores:
                    raise ValueError(f"{use} reads {member.config.scores} scores, the chain {self.scores}; give both the same `scores`")
            drawing = [use for use, member in members if getattr(member, "explores", False)]
            if len(drawing) > 1:
                raise ValueError(f"only one policy of a chain can draw; {', '.join(drawing)} do")
            learning = [use for use, member in members if getattr(member, "learns", False)]
            if len(learning) > 1:
                raise ValueError(f"only one policy of a chain can learn; {', '.join(learning)} do")
            return self

        def attributes(self) -> tuple[str, ...]:
            """See Policy.Config.attributes."""
            return tuple(dict.fromkeys(attribute for config in self.of for attribute in config.attributes()))

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        built = [build(Policy, settings) for settings in config.of]
        self.members = [member for member in built if isinstance(member, PlacewisePolicy)]

    def open(self, candidates: Candidates, score_K: Floats, rng: np.random.Generator) -> Turn:
        """See PlacewisePolicy.open."""
        turns = [member.open(candidates, score_K, rng) for member in self.members]
        drawing = [turn for member, turn in zip(self.members, turns, strict=True) if member.explores]
        return ChainTurn(turns, drawing[0] if drawing else Turn())

    def update(self, slate: Slate, reward_n: Floats) -> None:
        """See Policy.update; goes to the member that learns."""
        for member in self.members:
            member.update(slate, reward_n)

    def save(self, folder: Path) -> None:
        """The members go into `members/PLACE`."""
        super().save(folder)
        for place, member in enumerate(self.members):
            member.save(folder / "members" / str(place))

    def load_state(self, folder: Path) -> None:
        """Load the members, too."""
        for place, member in enumerate(self.members):
            member.load_state(folder / "members" / str(place))


class ChainTurn(Turn):
    """The turns of all, and of the one that draws."""

    def __init__(self, turns: list[Turn], drawing: Turn) -> None:
        self.turns = turns
        self.drawing = drawing
        self.features_KF = next((turn.features_KF for turn in turns if turn.features_KF is not None), None)

    def adjust(self, score_K: Floats) -> Floats:
        """See Turn.adjust."""
        for turn in self.turns:
            score_K = turn.adjust(score_K)
        return score_K

    def choose(self, score_K: Floats) -> Floats:
        """See Turn.choose."""
        return self.drawing.choose(score_K)

    def take(self, k: int) -> None:
        """See Turn.take."""
        for turn in self.turns:
            turn.take(k)
