"""The text encoder: a language model as an ONNX file in the bundle, so that new items and free text get its vectors without torch."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import polars as pl

from genre.encoders.catalogue import CatalogueEncoder, as_read

log = logging.getLogger(__name__)

COMPARED = 64
"""Items whose vectors are compared with those of the model itself."""


def write_text_encoder(source: Path, folder: Path, items: pl.DataFrame) -> None:
    """Export what cannot be run while serving as it is; where that fails nothing is written, and a warning says what it means.

    Args:
        source: of an embed stage; folder: to be made.
    """
    if json.loads((source / "encoder" / "component.json").read_text())["use"].replace("-", "_") != "language_model":
        return
    from genre.encoders.language_model import LanguageModelEncoder

    try:
        encoder = CatalogueEncoder.load(source).encoder
        assert isinstance(encoder, LanguageModelEncoder)
        encoder.export(folder, as_read(items.head(COMPARED), encoder))
    except Exception as error:  # an exporter's own errors have no class in common, and a bundle without it serves, too
        shutil.rmtree(folder, ignore_errors=True)
        log.warning("items added while serving will have no vector of encoder %s: it cannot be exported: %s", source.name, error)
