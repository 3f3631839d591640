"""Every built-in keeps the promises that `genre.testing` checks of strangers' components, too."""

from __future__ import annotations

from typing import Any

import pytest

from genre.component import build
from genre.encoders import Encoder
from genre.policies import Policy
from genre.rankers import Ranker
from genre.testing import check_encoder, check_policy, check_ranker

RANKER_SETTINGS: dict[str, dict[str, Any]] = {
    "content": {"content": ["any"]},
    "sequential": {"embedding_dim": 8, "epochs": 2, "max_history": 10},
    "blend": {"of": ["popularity", "transitions"]},
    "deep": {"of": ["popularity", "transitions"], "epochs": 2, "hidden": 8, "shortlist": 4},
}
ENCODER_SETTINGS: dict[str, dict[str, Any]] = {"tfidf": {"dim": 4}, "attributes": {}}
POLICY_SETTINGS: dict[str, dict[str, Any]] = {"chain": {"of": ["long_tail", "mmr", "plackett_luce"]}}
ENCODERS_OF_FILES = {"static", "language_model"}  # checked beside their own tests, where a table or a model is at hand


RANKERS_OF_FILES = {"llm_reranker"}


@pytest.mark.parametrize("name", sorted(Ranker.builtins.keys() - RANKERS_OF_FILES))
def test_ranker_conforms(name: str) -> None:
    check_ranker(build(Ranker, {"use": name, **RANKER_SETTINGS.get(name, {})}))


def test_ranker_that_reads_content_conforms() -> None:
    check_ranker(build(Ranker, {"use": "sequential", "content": ["any"], **RANKER_SETTINGS["sequential"]}))


@pytest.mark.parametrize("name", sorted(Policy.builtins))
def test_policy_conforms(name: str) -> None:
    check_policy(build(Policy, {"use": name, **POLICY_SETTINGS.get(name, {})}))


@pytest.mark.parametrize("drawing", ["epsilon", "plackett_luce"])
def test_chains_of_everything_conform(drawing: str) -> None:
    check_policy(build(Policy, {"use": "chain", "of": ["long_tail", "calibrated", "dpp", {"use": "caps", "most": {"brand": 2}}, drawing]}))


@pytest.mark.parametrize("name", sorted(Encoder.builtins.keys() - ENCODERS_OF_FILES))
def test_encoder_conforms(name: str) -> None:
    check_encoder(build(Encoder, {"use": name, **ENCODER_SETTINGS[name]}))
