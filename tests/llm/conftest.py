"""Language models of every kind, so small that they are made in a second."""

from __future__ import annotations

from pathlib import Path

import pytest

from genre.llm.scratch import Scratch, make
from genre.testing import small_items

TEXTS = [*small_items()["text"].to_list(), "七人の侍 黑泽明", "Девять дней одного года", "a knight plays chess with death"]


@pytest.fixture(scope="session")
def tiny_causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of four blocks; its tokenizer puts nothing around a text."""
    return make(TEXTS, Scratch(vocabulary=320, dim=16, layers=4, heads=2, max_tokens=64), 0, tmp_path_factory.mktemp("tiny") / "causal")


@pytest.fixture(scope="session")
def tiny_masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of four blocks, with tokens before and after each text."""
    shape = Scratch(kind="masked", vocabulary=320, dim=16, layers=4, heads=2, max_tokens=64)
    return make(TEXTS, shape, 0, tmp_path_factory.mktemp("tiny") / "masked")
