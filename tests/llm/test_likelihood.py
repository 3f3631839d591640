from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from genre.llm.backbone import Backbone, load_backbone
from genre.llm.likelihood import log_likelihoods

PREFIX = [5, 9, 300, 12]
CONTINUATIONS = [[7], [8, 9, 10], [7, 7], [301, 44, 2, 19, 23], [8, 9, 11]]


def one_by_one(model: Any, prefix: list[int], ids: list[int]) -> float:
    """By definition: the log probability of each token after all before it, from one plain pass."""
    with torch.inference_mode():
        chance_TV = torch.log_softmax(model(input_ids=torch.tensor([prefix + ids])).logits[0], dim=1)
    return float(sum(chance_TV[len(prefix) + place - 1, token] for place, token in enumerate(ids)))


@pytest.mark.parametrize("at_once", [1000, 4, 1])
def test_all_at_once_is_as_one_by_one(tiny_causal: Path, at_once: int) -> None:
    backbone = load_backbone(str(tiny_causal), head=True)
    expected = [one_by_one(backbone.model, PREFIX, ids) for ids in CONTINUATIONS]
    assert log_likelihoods(backbone, PREFIX, CONTINUATIONS, at_once) == pytest.approx(expected, abs=1e-4)


def test_a_model_with_learnt_positions_too(tiny_causal: Path) -> None:
    torch.manual_seed(0)
    like = load_backbone(str(tiny_causal))
    model = GPT2LMHeadModel(GPT2Config(vocab_size=320, n_positions=32, n_embd=16, n_layer=2, n_head=2)).eval()
    backbone = Backbone("gpt2", "causal", like.tokenizer, model, torch.device("cpu"))
    expected = [one_by_one(model, PREFIX, ids) for ids in CONTINUATIONS]
    assert log_likelihoods(backbone, PREFIX, CONTINUATIONS) == pytest.approx(expected, abs=1e-4)


def test_probabilities_of_all_next_tokens_add_up_to_one(tiny_causal: Path) -> None:
    backbone = load_backbone(str(tiny_causal), head=True)
    assert np.exp(log_likelihoods(backbone, PREFIX, [[token] for token in range(320)])).sum() == pytest.approx(1, abs=1e-5)


def test_nothing_to_read_and_too_much_to_read_are_errors(tiny_causal: Path) -> None:
    backbone = load_backbone(str(tiny_causal), head=True)
    assert log_likelihoods(backbone, PREFIX, []).shape == (0,)
    with pytest.raises(ValueError, match="at least one token"):
        log_likelihoods(backbone, PREFIX, [[7], []])
    with pytest.raises(ValueError, match="at least one token"):
        log_likelihoods(backbone, [], [[7]])
    with pytest.raises(ValueError, match=r"61 tokens before 5 more are over what .* can read \(64\)"):
        log_likelihoods(backbone, [5] * 61, CONTINUATIONS)
