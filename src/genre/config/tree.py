"""The strict tree that a configuration is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, SerializeAsAny, model_validator

from genre.component import Chosen, Settings
from genre.data.enriched import names_summaries
from genre.data.readers import Reader
from genre.data.splitting import LeaveLastOut, Split
from genre.data.text import Template
from genre.encoders import Encoder
from genre.evaluation.evaluator import EvaluationConfig
from genre.llm.enrichment import EnrichConfig
from genre.llm.finetune_settings import FinetuneConfig
from genre.llm.pretrain_settings import PretrainConfig
from genre.policies import Policy
from genre.policies.greedy import GreedyPolicy
from genre.rankers import Ranker
from genre.surfaces import Surface

POLICY_RUNG = "policy"
"""The name of the ladder's last rung: the policy on top of the ranker that is served."""
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
Name = Annotated[str, Field(pattern=NAME)]


class DataConfig(Settings):
    """Where interactions and items come from, and what is held back."""

    reader: Annotated[SerializeAsAny[Reader.Config], Chosen(Reader)]
    """Who reads the files."""
    text: Template = ""
    """An item's text, as a template over its columns: "{title} {genres}". Empty: items have no text."""
    title: str | None = None
    """The column shown to people; None takes `title`, `name` or the text."""
    events: list[str] | None = None
    """Event types that count as interactions; None takes all."""
    min_value: float | None = None
    """Interactions with a smaller value (rating, dwell, ...) are not learnt from; None takes all. Their items count as seen and are not
    recommended, unless the value is 0 or missing: nothing happened."""
    repeats: bool = False
    """Whether an item of the history may be recommended again."""
    ties: Literal["shuffle", "file"] = "shuffle"
    """Order of a user's interactions that share a time stamp: at random (seeded), or as in the file if that order means something."""
    split: Annotated[SerializeAsAny[Split.Config], Chosen(Split, "leave_last_out")] = Field(
        default_factory=lambda: LeaveLastOut.Config(use="leave_last_out")
    )
    """What is learnt from, what chooses, what judges."""
    seed: int = Field(0, ge=0)
    """Of ties, held-out items and drawn users: runs with another `seed` above keep the same split."""


class EvaluateConfig(EvaluationConfig):
    """How lists are judged. Full ranking over the whole catalogue, always."""

    main: str = "ndcg@10"
    """The metric that rungs are compared by; its cut-off must be one of `cutoffs`."""
    users: int | None = Field(None, ge=1)
    """At most so many test users, drawn with the seed; None takes all."""
    category: str | None = None
    """The item column whose mix is compared between history and list (calibration)."""

    @model_validator(mode="after")
    def _main_is_measured(self) -> EvaluateConfig:
        measured = [f"{name}@{k}" for name in ("ndcg", "hit_rate", "recall", "precision", "mrr", "map") for k in self.cutoffs]
        if self.main not in measured:
            raise ValueError(f"main is {self.main!r}, which is not measured; one of {', '.join(measured)}")
        return self


class GenreConfig(Settings):
    """Everything that decides a run."""

    name: Name
    """The run's folder is runs/NAME."""
    seed: int = Field(0, ge=0)
    """Of every random choice in learning."""
    data: DataConfig
    enrich: EnrichConfig | None = None
    """What a language model writes about items and users before anything is learnt; None leaves the stage out."""
    pretrain: PretrainConfig | None = None
    """A language model learns from the items' text alone; None leaves the stage out."""
    finetune: FinetuneConfig | None = None
    """A language model's top learns from interactions; None leaves the stage out."""
    encoders: dict[Name, Annotated[SerializeAsAny[Encoder.Config], Chosen(Encoder)]] = Field(default_factory=dict)
    """Item vectors, by a name that rankers refer to."""
    rankers: dict[Name, Annotated[SerializeAsAny[Ranker.Config], Chosen(Ranker)]] = Field(min_length=1)
    """The rungs of the ladder, in order; later ones may combine earlier ones."""
    policy: Annotated[SerializeAsAny[Policy.Config], Chosen(Policy, "greedy", series="chain")] = Field(default_factory=GreedyPolicy.Config)
    """From scores to the slate: one policy, or a list of them, each adjusting what the next one sees."""
    serve: Name | None = None
    """The ranker that recommends; None takes the last."""
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    surfaces: dict[Name, Surface] = Field(default_factory=dict)
    """Placements of the published recommender, by the name that its callers send; without any there is `default`, and no publishing."""

    @model_validator(mode="after")
    def _what_is_enriched_is_asked_for(self) -> GenreConfig:
        for name, encoder in self.encoders.items():
            if names_summaries(encoder.text) and not (self.enrich and self.enrich.items):
                raise ValueError(f"encoders.{name}.text names what the enrich stage writes about items; add the section `enrich.items`")
        for name, ranker in self.rankers.items():
            if ranker.synthetic and not (self.enrich and self.enrich.synthetic):
                raise ValueError(f"rankers.{name}.synthetic needs what the enrich stage imagines; add the section `enrich.synthetic`")
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> GenreConfig:
        earlier: list[str] = []
        for name, ranker in self.rankers.items():
            for encoder in ranker.encoders():
                if encoder not in self.encoders:
                    raise ValueError(_unknown(f"rankers.{name}", "encoder", encoder, self.encoders))
            for member in ranker.members():
                if member not in earlier:
                    raise ValueError(_unknown(f"rankers.{name}", "ranker above it", member, earlier))
            earlier.append(name)
        if POLICY_RUNG in self.rankers:
            raise ValueError(f"rankers: {POLICY_RUNG!r} is the name of the policy's rung; call the ranker something else")
        if self.serve is not None and self.serve not in self.rankers:
            raise ValueError(_unknown("serve", "ranker", self.serve, self.rankers))
        return self

    @model_validator(mode="after")
    def _stages_exist(self) -> GenreConfig:
        sections = {"pretrain": self.pretrain, "finetune": self.finetune}
        asked = {f"encoders.{name}": encoder.stages() for name, encoder in self.encoders.items()}
        if self.finetune is not None:
            asked["finetune"] = ("pretrain",) if self.finetune.model == "pretrain" else ()
        for where, stages in asked.items():
            for stage in stages:
                if sections[stage] is None:
                    raise ValueError(f"{where}.model is {stage}, and there is no section `{stage}`")
        return self

    @property
    def served(self) -> str:
        """The ranker that recommends."""
        return self.serve or list(self.rankers)[-1]

    @property
    def rungs(self) -> list[str]:
        """The ladder: every ranker and, unless it only takes the best, the policy."""
        return [*self.rankers, *([POLICY_RUNG] if self.policy.use != "greedy" else [])]


def _unknown(path: str, what: str, name: str, there: Iterable[str]) -> str:
    return f"{path} names the {what} {name!r}, but there is {', '.join(there) or 'none'}"
