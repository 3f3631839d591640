"""The deep ranker's settings."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from genre.rankers import Ranker
from genre.training import Optimisation

Share = Annotated[float, Field(ge=0, lt=1)]


class DeepSettings(Ranker.Config, Optimisation):
    """See DeepRanker."""

    use: str = "deep"
    of: tuple[str, ...] = Field(min_length=1)
    """Names of the rankers whose best items are candidates, and whose scores and ranks are features."""
    content: tuple[str, ...] = ()
    """Encoders whose vectors are features, and one more source of candidates (what is near the history)."""
    tasks: tuple[str, ...] = Field(("click",), min_length=1)
    """What is predicted of every candidate: names of the impressions' labels; replayed history knows one, that it came next."""
    ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """The lowest and the highest value of tasks that are no chances ({rating: [1, 5], dwell: [0, 300], sentiment: [-1, 1]}): what is
    predicted of them is a share of the way, and what lies beyond counts as the end."""
    value: dict[str, float] = Field(default_factory=dict)
    """What one of each is worth ({click: 1, purchase: 10, hide: -5}), of a task with a range its highest value; candidates are ordered
    by the sum of chance times worth. Empty: every task counts 1."""
    words: str | None = None
    """Name of the impressions' context that is what was asked for in words (a search); how near an item's content is to it is a
    feature. Needs `content` of one encoder that reads text."""
    shortlist: PositiveInt = 100
    """Best items of each source that become candidates."""
    replay: Literal["refit", "validation"] = "refit"
    """Lists replayed from history: each user's last training steps, with members fitted anew without them, or the validation
    queries, which costs no fit but has only as many lists."""
    replay_steps: PositiveInt = 5
    """Steps a user that are replayed; at most half of the history."""
    replay_lists: PositiveInt = 20_000
    """Lists at most, drawn at random."""
    impression_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The newest share of the impressions is learnt from; members are fitted anew on what happened before it."""
    held_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    """Lists kept for calibration, and to choose the epoch by: the newest impressions; of replayed lists, where there is no
    validation, a random share."""
    sitting_seconds: NonNegativeFloat | None = None
    """Events at most this far apart are replayed as one step (0: the same time stamp, a basket). None: each is a step."""
    half_life_days: tuple[PositiveFloat, ...] = (1.0, 7.0, 30.0)
    """After how long an event counts half in the popularity counters, one counter for each."""
    content_dims: PositiveInt = 16
    """Principal components of the content that are features."""
    hidden: PositiveInt = 64
    """Units of each expert's layers."""
    shared_experts: PositiveInt = 2
    own_experts: PositiveInt = 1
    """Experts all tasks may ask, and experts of each task's own."""
    dropout: Share = 0.2
    """Within the experts."""
    listwise: NonNegativeFloat = 1.0
    """Weight of the order within lists beside the probability of each entry; of tasks that are chances."""
    places: PositiveInt = 100
    """Places of a list whose examination is learnt; further ones count as the last."""
    context_dropout: Share = 0.2
    """How often the request's context is hidden in training, so that a request without any can be served."""
    batch_size: PositiveInt = 32
    """Lists a step."""
    list_entries: PositiveInt = 50
    """Entries of a list that are learnt from in one epoch: all that something came of, and a sample of the others."""
    k: PositiveInt = 10
    """Cut-off of the NDCG that the epoch is chosen by."""

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        for field, names in (("of", self.of), ("tasks", self.tasks)):
            if len(set(names)) < len(names):
                raise ValueError(f"{field}: a name is there twice in {list(names)}")
        for field, told in (("value", set(self.value)), ("ranges", set(self.ranges))):
            if unknown := told - set(self.tasks):
                raise ValueError(f"{field}: {sorted(unknown)} are no tasks; tasks: {list(self.tasks)}")
        if wrong := [task for task, (low, high) in self.ranges.items() if not low < high]:
            raise ValueError(f"ranges.{wrong[0]}: the lowest value must be below the highest, not {list(self.ranges[wrong[0]])}")
        if self.words is not None and len(self.content) != 1:
            raise ValueError(f"words: needs `content` of one encoder, to compare words with; there are {len(self.content)}")
        if self.value and not any(self.value.values()):
            raise ValueError("value: at least one task must be worth something")
        return self

    def encoders(self) -> tuple[str, ...]:
        """See Ranker.Config.encoders."""
        return self.content

    def members(self) -> tuple[str, ...]:
        """See Ranker.Config.members."""
        return self.of

    def asked_in(self) -> str | None:
        """See Ranker.Config.asked_in."""
        return self.words

    def reads_impressions(self) -> bool:
        """It does."""
        return True
