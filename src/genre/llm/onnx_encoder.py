"""A language model as an encoder without torch: an ONNX file, a tokenizer, and onnxruntime."""

# N texts, B texts of a batch, T tokens, K vector size

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

MODEL, TOKENIZER, SETTINGS = "encoder.onnx", "tokenizer.json", "encoder.json"
EXPORTED = "exported"
"""The folder of the three, beside an encoder of a bundle."""
CHARACTERS_A_TOKEN = 64


class OnnxEncoder:
    """Reads what `onnx_export.export` wrote."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        """Open a folder.

        Raises:
            FileNotFoundError: one of its files is missing.
        """
        import onnxruntime
        from tokenizers import Tokenizer

        for name in (MODEL, TOKENIZER, SETTINGS):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder} holds no exported encoder: {name} is missing")
        said = json.loads((folder / SETTINGS).read_text())
        self.dim, self._prefix, self._longest, self._pad = said["dim"], said["prefix"], said["max_tokens"], said["pad"]
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._longest)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(folder / MODEL, options, providers=["CPUExecutionProvider"])

    def encode(self, texts: Sequence[str], batch_size: int = 32) -> npt.NDArray[np.float32]:
        """Vectors (N, K); zero for a text that says nothing. Raw ones, before the catalogue's mean is subtracted."""
        start = len(self._prefix)
        cut = [text[: self._longest * CHARACTERS_A_TOKEN].strip() for text in texts]
        found = self._tokenizer.encode_batch([f"{self._prefix} {text}".rstrip() if start else text for text in cut])
        own = [np.array(one.special_tokens_mask) == 0 for one in found]
        if start:
            counted = [mine & (np.array(one.offsets).reshape(-1, 2)[:, 1] > start) for mine, one in zip(own, found, strict=True)]
        else:
            counted = [np.full(len(mine), mine.any()) for mine in own]
        vectors_NK = np.zeros((len(texts), self.dim), np.float32)
        order = sorted((row for row in range(len(texts)) if counted[row].any()), key=lambda row: len(own[row]))
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            longest = max(len(own[row]) for row in rows)
            ids_BT = np.full((len(rows), longest), self._pad, np.int64)
            mask_BT, counted_BT = np.zeros_like(ids_BT), np.zeros_like(ids_BT)
            for b, row in enumerate(rows):
                n = len(own[row])
                ids_BT[b, :n], mask_BT[b, :n], counted_BT[b, :n] = found[row].ids, 1, counted[row]
            vectors_NK[rows] = self._session.run(None, {"ids": ids_BT, "mask": mask_BT, "counted": counted_BT})[0]
        return vectors_NK
