"""An encoder as one ONNX file with eight-bit weights, to be run without torch; refused where it is not close to the float model."""

# B texts, T tokens, K vector size

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from genre.llm.onnx_encoder import MODEL, SETTINGS, TOKENIZER, OnnxEncoder
from genre.llm.vectoriser import Vectoriser

CLOSE = 0.99
"""The lowest cosine to the float model that is put up with."""
BLOCK = 32
"""Weights that share a scale."""


class _Whole(nn.Module):
    """From tokens to vectors as one network."""

    def __init__(self, vectoriser: Vectoriser) -> None:
        super().__init__()
        self.model = vectoriser.blocks.backbone.model
        self._vectoriser = [vectoriser]

    def forward(self, ids_BT: Tensor, mask_BT: Tensor, counted_BT: Tensor) -> Tensor:
        return self._vectoriser[0].vectors(ids_BT, mask_BT, counted_BT > 0)


def export(vectoriser: Vectoriser, folder: Path, texts: Sequence[str], int8: bool = True) -> dict[str, float]:
    """Write `encoder.onnx`, `tokenizer.json` and `encoder.json`, and compare with the float model on some texts.

    Args:
        vectoriser: on the CPU, in float32.
        texts: of the catalogue; what is compared and what nothing is learnt from.

    Returns:
        `cosine`, the lowest of any text, `mean_cosine`, and `mb`, the file's size.

    Raises:
        ValueError: the exported model's vectors are not those of the float model (cosine below 0.99), or its tokenizer cannot be saved.
    """
    backbone = vectoriser.blocks.backbone
    if not backbone.tokenizer.is_fast:
        raise ValueError(f"{backbone.name} has no tokenizer.json, which serving without torch needs")
    folder.mkdir(parents=True, exist_ok=True)
    backbone.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER))
    limit = min(vectoriser.max_tokens, backbone.limit)
    said = {
        "prefix": vectoriser.prefix.rstrip(), "max_tokens": limit, "pad": backbone.tokenizer.pad_token_id, "dim": vectoriser.dim,
    }  # fmt: skip
    (folder / SETTINGS).write_text(json.dumps(said, indent=2) + "\n")
    whole = folder / "float.onnx"
    _to_onnx(vectoriser, whole)
    if int8:
        _quantize(whole, folder / MODEL)
        whole.unlink()
    else:
        whole.replace(folder / MODEL)
    return compare(vectoriser, OnnxEncoder(folder), texts) | {"mb": round((folder / MODEL).stat().st_size / 1e6, 1)}


def compare(vectoriser: Vectoriser, exported: OnnxEncoder, texts: Sequence[str]) -> dict[str, float]:
    """The lowest and the mean cosine between vectors of the float model and of the exported one.

    Raises:
        ValueError: the lowest is below 0.99.
    """
    expected_ND = np.zeros((len(texts), vectoriser.dim), np.float32)
    for rows, vectors_BD in vectoriser.batches(list(texts), 32):
        expected_ND[rows] = vectors_BD
    found_ND = exported.encode(list(texts))
    says = expected_ND.any(axis=1)
    if not (says == found_ND.any(axis=1)).all():
        raise ValueError("the exported encoder and the float model disagree on which texts say nothing")
    cosine = _cosine(expected_ND[says], found_ND[says])
    if len(cosine) and cosine.min() < CLOSE:
        raise ValueError(
            f"the exported encoder is not close to the float model: cosine {cosine.min():.3f} at worst, {cosine.mean():.4f} on average, "
            f"{CLOSE} is asked for; export it with int8=False"
        )
    return {"cosine": float(cosine.min(initial=1.0)), "mean_cosine": float(cosine.mean()) if len(cosine) else 1.0}


def _to_onnx(vectoriser: Vectoriser, file: Path) -> None:
    batch, length = torch.export.Dim("texts"), torch.export.Dim("tokens")
    shape = {0: batch, 1: length}
    ids_BT = torch.full((2, 7), 5)
    counted_BT = torch.ones_like(ids_BT)
    level = logging.getLogger("torch.onnx").level
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter speaks of its own insides
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            _Whole(vectoriser).eval(), (ids_BT, torch.ones_like(ids_BT), counted_BT), dynamo=True, verbose=False,
            input_names=["ids", "mask", "counted"], output_names=["vectors"], dynamic_shapes=(shape, shape, shape),
        )  # fmt: skip
        logging.getLogger("torch.onnx").setLevel(level)
        assert program is not None
        program.save(str(file))


def _quantize(whole: Path, file: Path) -> None:
    """Weights in eight bits, a scale for every 32 of them; products are made in eight bits where the processor can."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer").setLevel(logging.WARNING)  # a line for every node
    # Activations rounded as a whole (quantize_dynamic) left MiniLM at a cosine of 0.98995 at worst.
    quantizer = MatMulNBitsQuantizer(onnx.load(whole), bits=8, block_size=BLOCK, is_symmetric=True, accuracy_level=4)
    quantizer.process()
    quantizer.model.save_model_to_file(str(file))


def _cosine(a_ND: np.ndarray, b_ND: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(a_ND, axis=1) * np.linalg.norm(b_ND, axis=1)
    found: np.ndarray = (a_ND * b_ND).sum(axis=1) / np.maximum(norms, 1e-12)
    return found
