"""The configuration: one strict tree, from YAML with `extends` and `a.b=c`, to a resolved file that reproduces the run."""

from __future__ import annotations

import copy
import difflib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import Field, SerializeAsAny, ValidationError, model_validator

from genre.component import Chosen, Component, Settings, resolve
from genre.data.enriched import names_summaries
from genre.data.readers import Reader
from genre.data.splitting import LeaveLastOut, Split
from genre.data.text import Template
from genre.encoders import Encoder
from genre.evaluation.evaluator import EvaluationConfig
from genre.llm.enrichment import EnrichConfig
from genre.llm.finetune_settings import FinetuneConfig
from genre.llm.generation import Generator
from genre.llm.objectives import Objective
from genre.llm.pretrain_settings import PretrainConfig
from genre.policies import Policy
from genre.policies.greedy import GreedyPolicy
from genre.rankers import Ranker
from genre.surfaces import Surface

POLICY_RUNG = "policy"
"""The name of the ladder's last rung: the policy on top of the ranker that is served."""
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
Name = Annotated[str, Field(pattern=NAME)]


class ConfigError(ValueError):
    """A mistake in a configuration; the message names the file, the path in it, and the fix."""


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
    """Interactions with a smaller value (rating, dwell, ...) are left out; None takes all."""
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


def load_config(file: str | Path, overrides: Iterable[str] = ()) -> GenreConfig:
    """Read a YAML file, what it extends, and `a.b=c` changes on top.

    Raises:
        ConfigError: with every mistake, each with its path.
    """
    file = Path(file)
    tree = _read(file, ())
    tree.setdefault("name", file.stem)
    for override in overrides:
        tree = merge(tree, _parse_override(override))
    _look_beside(file)
    return parse_config(tree, file)


def parse_config(tree: dict[str, Any], file: Path = Path("config.yaml"), check_files: bool = True) -> GenreConfig:
    """A checked configuration from a plain tree; relative paths in it are relative to the file's folder.

    A finished run is read with `check_files=False`: it needs its sources no more.
    """
    try:
        return GenreConfig.model_validate(tree, context={"folder": file.resolve().parent, "check_files": check_files})
    except ValidationError as error:
        lines = [f"{file}: {_explain(problem, tree)}" for problem in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def load_run_config(folder: Path) -> GenreConfig:
    """The resolved configuration that a run was made from.

    Raises:
        FileNotFoundError: the folder is not a run.
    """
    file = folder / "config.yaml"
    if not file.is_file():
        raise FileNotFoundError(f"{folder} is not a run: it has no config.yaml. Make one with: genre run NAME.yaml")
    tree = _read(file, ())
    _look_beside(file)
    return parse_config(tree, file, check_files=False)


def dump_config(config: GenreConfig) -> str:
    """The resolved configuration as YAML, with every default written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def config_schema() -> dict[str, Any]:
    """JSON Schema of the configuration, for editors."""
    schema = GenreConfig.model_json_schema(mode="validation")
    schema["required"] = [name for name in schema["required"] if name != "name"]
    schema["properties"]["extends"] = {"type": "string", "description": "A YAML file that this one changes."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def merge(base: Any, change: Any) -> Any:
    """A tree with changes laid over it: mappings merge, everything else replaces, null removes a key.

    A section whose `use` changes is replaced as a whole, since the keys of one component mean nothing to another.
    """
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return copy.deepcopy(change)
    if "use" in change and _canonical(change["use"]) != _canonical(base.get("use")):
        base = {}
    merged = copy.deepcopy(base)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def _look_beside(file: Path) -> None:
    """A user's own components live beside the YAML."""
    beside = str(file.resolve().parent)
    if beside not in sys.path:
        sys.path.insert(0, beside)


def _canonical(use: Any) -> str:
    return str(use).replace("-", "_")


def _read(file: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if file.resolve() in seen:
        raise ConfigError(f"{file}: extends itself, by way of {' -> '.join(map(str, seen))}")
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        near = difflib.get_close_matches(file.name, [path.name for path in file.parent.glob("*.y*ml")], 1)
        raise ConfigError(f"{file}: no such file{f'; is it {near[0]}?' if near else ''}") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{file} is a folder; name a YAML file") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: must be a mapping with `data:` and `rankers:`, not {type(tree).__name__}")
    base = tree.pop("extends", None)
    if base is None:
        return tree
    below = _anchor(_read(file.parent / str(base), (*seen, file.resolve())), (file.parent / str(base)).parent, file.parent)
    merged: dict[str, Any] = merge(below, tree)
    return merged


def _anchor(tree: Any, origin: Path, here: Path) -> Any:
    """Paths of an extended file stay relative to that file: its folder travels with the reader's section."""
    if origin.resolve() == here.resolve() or not isinstance(tree, dict):
        return tree
    reader = tree.get("data", {}).get("reader") if isinstance(tree.get("data"), dict) else None
    if isinstance(reader, dict):
        for key, value in reader.items():
            if key != "use" and isinstance(value, str) and (origin / value).exists():
                reader[key] = str((origin / value).resolve())
    return tree


def _parse_override(override: str) -> dict[str, Any]:
    path, equals, value = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"{override!r} is not a change; write path.to.key=value, for example data.split.use=none")
    try:
        tree: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"{override!r}: the value is not YAML: {error}") from error
    for key in reversed(keys):
        tree = {key: tree}
    assert isinstance(tree, dict)
    return tree


def _explain(problem: Any, tree: dict[str, Any]) -> str:
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
