"""A component is one class with one nested Config, chosen in YAML by `use:` a short name or `module:Class`."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

Arrays = dict[str, npt.NDArray[Any]]


class Settings(BaseModel):
    """A strict, immutable piece of configuration: unknown keys are errors, docstrings are the documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)


class Component:
    """Something that can be chosen, configured, saved and loaded. A *kind* (Ranker, Encoder, ...) sets `kind` and `builtins`."""

    kind: ClassVar[str]
    builtins: ClassVar[dict[str, str]]

    class Config(Settings):
        use: str = Field(description="Which one: a built-in's short name, or `module:Class` of your own.")

    def __init__(self, config: Any) -> None:
        self.config = config

    def state(self) -> Arrays:
        """What was learnt, as named arrays; empty if nothing is."""
        return {}

    def restore(self, state: Arrays) -> None:
        """Take back what `state` gave."""

    def save(self, folder: Path) -> None:
        """Write `component.json` and, where something was learnt, `state.safetensors` into an existing or new folder."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: np.ascontiguousarray(array) for name, array in self.state().items()}
        if state:
            save_file(state, folder / "state.safetensors")
        (folder / "component.json").write_text(json.dumps(self.config.model_dump(mode="json"), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: the folder holds no component.
        """
        file = folder / "component.json"
        if not file.is_file():
            raise FileNotFoundError(f"{folder} holds no saved {cls.kind}: component.json is missing")
        component = build(cls, json.loads(file.read_text()))
        component.load_state(folder)
        return component

    def load_state(self, folder: Path) -> None:
        """Restore from a folder; a component that contains others overrides this beside `save`."""
        file = folder / "state.safetensors"
        if file.is_file():
            self.restore(load_arrays(file))


def load_arrays(file: Path) -> Arrays:
    """The arrays of a safetensors file.

    Raises:
        ValueError: it is not whole.
    """
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged ({error}); delete {file.parent} and make it again") from error


C = TypeVar("C", bound=Component)


def known(kind: type[Component]) -> dict[str, str]:
    """Short names and where they live: built-ins, then what other packages publish as `genre.KIND` entry points."""
    published = importlib.metadata.entry_points(group=f"genre.{kind.kind}")
    return {**{point.name: point.value for point in published}, **kind.builtins}


def resolve(name: str, kind: type[C]) -> type[C]:
    """The class behind a short name or a `module:Class` path.

    Raises:
        ValueError: nothing has this name (the message lists what there is), or it is not of this kind.
    """
    names = known(kind)
    target = names.get(name.replace("-", "_"), names.get(name, name))
    if ":" not in target:
        close = difflib.get_close_matches(name, names, 1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise ValueError(f"no {kind.kind} called {name!r}{hint} Built in: {', '.join(sorted(names))}. Your own: module:Class")
    module, _, attribute = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name and module.split(".")[0] == error.name.split(".")[0]:
            raise ValueError(f"{name!r}: there is no module {module!r}; put its file beside the YAML or install it") from error
        raise ValueError(f"{name!r} needs {error.name!r}, which is not installed: {install_hint(error.name)}") from error
    except AttributeError as error:
        raise ValueError(f"{name!r}: module {module!r} has no class {attribute!r}") from error
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise ValueError(f"{name!r} is not a {kind.kind}: it must subclass genre's {kind.__name__}")
    return found


def own_files(settings: Any) -> tuple[Path, ...]:
    """The files of all components of a section of a configuration that are not genre's: when they change, its stage is stale."""
    if isinstance(settings, BaseModel):
        below = [value for _, value in settings]
    elif isinstance(settings, dict):
        below = list(settings.values())
    else:
        below = list(settings) if isinstance(settings, list | tuple) else []
    found = dict.fromkeys(file for value in below for file in own_files(value))
    if isinstance(settings, Component.Config):
        named = [known(kind).get(settings.use.replace("-", "_"), settings.use) for kind in Component.__subclasses__()]
        for module, _, attribute in (target.partition(":") for target in named if ":" in target and not target.startswith("genre.")):
            for ancestor in getattr(importlib.import_module(module), attribute).__mro__:
                file = getattr(sys.modules[ancestor.__module__], "__file__", None)
                if file and ancestor.__module__.split(".")[0] not in sys.stdlib_module_names | {"genre"}:
                    found[Path(file)] = None
    return tuple(found)


EXTRAS = {
    "torch": "train", "tensorboard": "train", "scipy": "train", "sklearn": "train", "transformers": "llm", "tokenizers": "text",
    "fastapi": "serve", "uvicorn": "serve", "orjson": "serve", "sqlalchemy": "serve", "alembic": "serve", "structlog": "serve",
    "prometheus_client": "serve", "httpx": "serve", "psycopg": "postgres",
    "gymnasium": "simulate",
    "onnx": "publish", "onnxruntime": "serve", "faiss": "ann",
}  # fmt: skip


def install_hint(module: str | None) -> str:
    """How to get a missing package."""
    extra = EXTRAS.get((module or "").split(".")[0])
    return f"pip install 'genre-rec[{extra}]'" if extra else f"pip install {module}"


def build(kind: type[C], settings: dict[str, Any] | Component.Config) -> C:
    """A component from its settings; `use` says which."""
    if isinstance(settings, Component.Config):
        cls = resolve(settings.use, kind)
        return cls(settings if isinstance(settings, cls.Config) else cls.Config.model_validate(settings.model_dump()))
    cls = resolve(str(settings.get("use")), kind)
    return cls(cls.Config.model_validate(settings))


class Chosen(Generic[C]):
    """Marks a config field as "the Config of whichever component `use` names".

    Write `Annotated[SerializeAsAny[Ranker.Config], Chosen(Ranker)]`.
    """

    def __init__(self, kind: type[C], default: str | None = None, series: str | None = None, without: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self.default = default
        self.series = series  # the component that a list stands for: its `of` is that list
        self.without = without  # short names that may not be chosen here: a component of this kind that holds others of it

    def validate(self, value: Any, info: ValidationInfo) -> Component.Config:
        """The chosen component's Config; errors inside it keep their path."""
        if isinstance(value, Component.Config):
            return value
        if isinstance(value, str):
            value = {"use": value}
        if isinstance(value, list) and self.series:
            value = {"use": self.series, "of": value}
        if isinstance(value, dict) and "use" not in value and self.default:
            value = {"use": self.default, **value}
        if not isinstance(value, dict) or not isinstance(value.get("use"), str):
            raise PydanticCustomError("use", "needs `use:`, one of {known}", {"known": ", ".join(sorted(known(self.kind)))})
        if value["use"].replace("-", "_") in self.without:
            raise PydanticCustomError("use", "a {name} cannot be inside another", {"name": value["use"]})
        try:
            cls = resolve(value["use"], self.kind)
        except ValueError as error:
            raise PydanticCustomError("use", "{reason}", {"reason": str(error)}) from error
        return cls.Config.model_validate(value, context=info.context)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler(source)
        return core_schema.with_info_plain_validator_function(
            self.validate,
            serialization=core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True),
            metadata={"inner": inner},
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # By `use`, not one of many: a mistake is then told of the component that was meant.
        names = sorted(self.kind.builtins.keys() - set(self.without))
        spelt = sorted({spelling for name in names for spelling in (name, name.replace("_", "-"))})
        use = {"anyOf": [{"enum": spelt}, {"type": "string", "pattern": ":"}]}
        cases: list[dict[str, Any]] = [
            {"if": {"type": "string"}, "then": use},
            {"if": {"type": "object"}, "then": {"properties": {"use": use}}},
        ]
        for name in names:
            choice = resolve(name, self.kind).Config.model_json_schema()
            choice = _inlined(choice, choice.pop("$defs", {}))
            spellings = {"enum": sorted({name, name.replace("_", "-")})}
            choice["properties"]["use"] = {**spellings, "title": "Use"}
            choice["title"] = name
            cases.append({"if": {"type": "object", "properties": {"use": spellings}, "required": ["use"]}, "then": choice})
            if name == self.series:
                cases.append({"if": {"type": "array"}, "then": choice["properties"]["of"]})
        return {"type": ["object", "string", *(["array"] if self.series else [])], "allOf": cases}


def _inlined(schema: Any, definitions: dict[str, Any], within: tuple[str, ...] = ()) -> Any:
    # Definitions of a choice would be looked for at the root of the whole tree, where they are not. One that
    # contains itself is anything there.
    if isinstance(schema, list):
        return [_inlined(entry, definitions, within) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    inlined = {key: _inlined(value, definitions, within) for key, value in schema.items() if key != "$ref"}
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        found = {} if name in within else _inlined(definitions[name], definitions, (*within, name))
        inlined = {**found, **inlined}
    return inlined


def _dump(value: Component.Config, info: Any) -> dict[str, Any]:
    # By the chosen class, not the declared one, or its own fields would be lost without a word.
    return value.model_dump(mode=info.mode)
