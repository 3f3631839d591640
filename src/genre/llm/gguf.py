"""GGUF: a model file made for llama.cpp, turned once into safetensors that are read many times faster, and can be trained."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from genre.llm.model_files import cache_folder
from genre.llm.quiet import quiet

log = logging.getLogger(__name__)


def converted(file: Path) -> Path:
    """The folder with a GGUF file's weights (dequantised), configuration and tokenizer, made where it is not in the cache yet.

    The cache is keyed by the file's sha256, so another file under the same name is another model.

    Raises:
        ValueError: it is no GGUF file, or of an architecture that transformers cannot read.
    """
    with file.open("rb") as handle:
        folder = cache_folder("gguf", hashlib.file_digest(handle, "sha256").hexdigest()[:24])
    if (folder / "model.safetensors").is_file():
        return folder
    log.info("%s: converting to safetensors, once, in %s", file.name, folder)
    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
            model = AutoModelForCausalLM.from_pretrained(
                file.parent, gguf_file=file.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
            )
        except (ValueError, KeyError, NotImplementedError, UnicodeDecodeError) as error:
            raise ValueError(f"{file} cannot be read as GGUF: {error}") from error
        _write(model, tokenizer, folder)
    return folder


def _write(model: Any, tokenizer: Any, folder: Path) -> None:
    """Complete or absent, also where two processes convert the same file at once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        model.save_pretrained(scratch, max_shard_size="1000GB")
        tokenizer.save_pretrained(scratch)
        with contextlib.suppress(OSError):  # another process was faster, and wrote the same
            scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
