from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer, T5Config, T5Model

from genre.llm.backbone import Backbone, load_backbone
from genre.llm.blocks import Blocks, cut
from genre.llm.tokens import padded, tokenize

KINDS = ["tiny_causal", "tiny_masked"]
TEXTS = ["Rashomon (1950) crime", "Psycho", "七人の侍"]


def model_of(kind: str, request: pytest.FixtureRequest) -> Backbone:
    return load_backbone(str(request.getfixturevalue(kind)))


def batch_of(backbone: Backbone, prefix: str = "") -> tuple[torch.Tensor, ...]:
    tokens = tokenize(backbone, TEXTS, prefix, 64)
    return padded(tokens.ids, tokens.counted, backbone.tokenizer.pad_token_id)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("normed", [True, False])
def test_two_halves_are_the_whole(kind: str, n: int, normed: bool, request: pytest.FixtureRequest) -> None:
    backbone = model_of(kind, request)
    blocks = Blocks(backbone, normed)
    ids, mask, _ = batch_of(backbone)
    with torch.inference_mode():
        whole, expected = blocks(ids, mask), backbone.model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        states = blocks.lower(n, ids, mask)
        halves = blocks.upper(n, states, torch.zeros_like(ids), mask)
    real = mask.bool()
    assert torch.equal(states[real], expected.hidden_states[n][real])
    assert torch.equal(halves[real], whole[real]), "the token ids no longer matter to the upper half"
    if normed:
        assert torch.equal(whole[real], expected.last_hidden_state[real])
    with torch.inference_mode():
        assert torch.equal(blocks(ids, mask), whole), "nothing is left behind"


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_upper_half_are_those_of_the_whole(kind: str, request: pytest.FixtureRequest) -> None:
    found = []
    for halved in (False, True):
        backbone = model_of(kind, request)
        blocks = Blocks(backbone, normed=False)
        backbone.model.requires_grad_(False)
        blocks.list[2:].requires_grad_(True)
        ids, mask, _ = batch_of(backbone)
        with torch.no_grad():
            states = blocks.lower(2, ids, mask)
        hidden = blocks.upper(2, states, ids, mask) if halved else blocks(ids, mask)
        hidden[mask.bool()].square().sum().backward()  # type: ignore[no-untyped-call]
        found.append({name: parameter.grad for name, parameter in blocks.list.named_parameters() if parameter.grad is not None})
    whole, half = found
    assert whole.keys() == half.keys() and len(whole) > 10
    assert all(torch.allclose(whole[name], half[name], atol=1e-5) for name in whole)


def test_layers_of_mixed_attention_keep_their_places(tmp_path: Path, tiny_causal: Path) -> None:
    """Of some architectures each block looks its kind of attention up by its place in the list."""
    config = AutoConfig.for_model(
        "qwen3", vocab_size=320, hidden_size=16, intermediate_size=32, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1,
        head_dim=8, use_sliding_window=True, sliding_window=3, max_window_layers=2,
    )  # fmt: skip
    assert len(set(config.layer_types)) == 2
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_causal).save_pretrained(tmp_path)
    backbone = load_backbone(str(tmp_path))
    blocks = Blocks(backbone, normed=True)
    ids, mask, _ = batch_of(backbone)
    with torch.inference_mode():
        whole = blocks(ids, mask)
        assert torch.allclose(blocks.upper(3, blocks.lower(3, ids, mask), ids, mask)[mask.bool()], whole[mask.bool()], atol=1e-6)


def test_a_model_whose_blocks_need_more_than_states_is_refused(tmp_path: Path, tiny_causal: Path, tiny_masked: Path) -> None:
    shape = T5Config(vocab_size=320, d_model=16, d_kv=8, d_ff=32, num_layers=3, num_heads=2, decoder_start_token_id=0)
    T5Model(shape).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_causal).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="cannot be run in two halves"):
        Blocks(load_backbone(str(tmp_path)), normed=True).check_halves(2)
    for folder in (tiny_causal, tiny_masked):
        Blocks(load_backbone(str(folder)), normed=True).check_halves(2)


def test_cut_drops_what_is_above_for_good(tiny_causal: Path, tmp_path: Path) -> None:
    backbone = load_backbone(str(tiny_causal))
    assert cut(backbone, 0.5) == 2 == backbone.depth
    backbone.model.save_pretrained(tmp_path)
    backbone.tokenizer.save_pretrained(tmp_path)
    assert load_backbone(str(tmp_path)).depth == 2
    with pytest.raises(ValueError, match="has layers 1 to 2"):
        cut(backbone, 3)


def test_a_prefix_is_not_counted_and_blank_texts_say_nothing(tiny_causal: Path, tiny_masked: Path) -> None:
    for folder in (tiny_causal, tiny_masked):
        backbone = load_backbone(str(folder))
        tokens = tokenize(backbone, ["Psycho", "", "   "], "Item: ", 64)
        assert tokens.counted[0].sum() == len(backbone.tokenizer(" Psycho", add_special_tokens=False)["input_ids"])
        assert tokens.lengths[1:] == [0, 0]
        assert tokens.batches([2, 0, 1], 8, 1000) == [[0]]


def test_batches_hold_like_lengths_and_bounded_places(tiny_causal: Path) -> None:
    backbone = load_backbone(str(tiny_causal))
    tokens = tokenize(backbone, ["x" * n for n in (1, 60, 2, 30, 3, 29)], "", 64)
    batches = tokens.batches(range(6), size=4, places=64)
    assert sorted(row for rows in batches for row in rows) == list(range(6))
    assert all(len(rows) * max(tokens.lengths[row] for row in rows) <= 64 for rows in batches)
    assert batches[0][0] == 1, "longest first"
