"""Static word vectors: the mean of a table's rows, thousands of texts a second on a CPU."""

# N items, E tokens of all of them one after another, V rows of the table, D dimensions

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BeforeValidator, PositiveInt, ValidationInfo

from genre.component import load_arrays
from genre.data.readers.paths import placed
from genre.encoders import Encoder
from genre.encoders.text import texts_of
from genre.progress import track

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHUNK = 8_192
"""Texts tokenized at once."""

TENSORS = ("embeddings", "embedding.weight")
"""What the table is called by model2vec, and by wordllama and sentence-transformers."""


def _named(model: Any, info: ValidationInfo) -> Any:
    """A folder as the YAML means it; while a configuration is read, one that is not there is a mistake in it."""
    if not isinstance(model, str) or model == "wordllama":
        return model
    model = str(placed(model, info))
    if (info.context or {}).get("check_files"):
        try:
            locate(model)
        except FileNotFoundError as error:
            raise ValueError(str(error)) from error
    return model


class StaticEncoder(Encoder):
    """Looks every token up in a table and takes the mean: a model2vec folder, a sentence-transformers StaticEmbedding, or wordllama."""

    class Config(Encoder.Config):
        model: Annotated[str, BeforeValidator(_named)]
        """A folder with `tokenizer.json` and `model.safetensors` (model2vec's layout), or `wordllama` for the table in that package.

        wordllama's table was distilled from Llama 2: read its licence before you publish what you make of it."""
        max_tokens: PositiveInt = 512
        """Of longer texts the beginning is read."""

        def files(self) -> tuple[Path, ...]:
            """See Encoder.Config.files."""
            return locate(self.model)

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._tokenizer_file, self._table_file = locate(config.model)
        self._loaded: tuple[Tokenizer, Table] | None = None

    def fit(self, items: pl.DataFrame) -> None:
        """Nothing is learnt."""

    def encode(self, items: pl.DataFrame) -> npt.NDArray[np.float32]:
        """Vectors of shape (N, D): the weighted mean of the tokens' rows; zero for a text without tokens."""
        texts = [text.strip() for text in texts_of(items)]  # some tokenizers have a token for blanks alone
        tokenizer, table = self._load()
        vectors_ND = np.zeros((len(texts), table.rows_VD.shape[1]), np.float32)
        for start in track(range(0, len(texts), CHUNK), "encoding text"):
            encoded = tokenizer.encode_batch(texts[start : start + CHUNK], add_special_tokens=False)
            vectors_ND[start : start + CHUNK] = table.means([one.ids[: self.config.max_tokens] for one in encoded])
        return vectors_ND

    def _load(self) -> tuple[Tokenizer, Table]:
        if self._loaded is None:
            from tokenizers import Tokenizer

            tokenizer = Tokenizer.from_file(str(self._tokenizer_file))
            tokenizer.no_truncation()
            tokenizer.no_padding()
            unknown = tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or "[UNK]")
            self._loaded = tokenizer, read_table(self._table_file, unknown)
        return self._loaded


@dataclass(frozen=True)
class Table:
    """Rows of vectors, and how tokens find them.

    Attributes:
        rows_VD: the vectors.
        weights: how much each token counts; None if all count the same.
        row_of: the row of each token, where several share one; None if token and row are the same.
        unknown: the token that stands for everything unknown and is left out; None if there is none.
    """

    rows_VD: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32] | None = None
    row_of: npt.NDArray[np.int64] | None = None
    unknown: int | None = None

    def means(self, token_ids: list[list[int]]) -> npt.NDArray[np.float32]:
        """The weighted mean of the tokens' rows, shape (N, D); zero where there are no tokens."""
        from scipy.sparse import csr_matrix

        owner_E = np.repeat(np.arange(len(token_ids)), [len(ids) for ids in token_ids])
        token_E = np.array([token for ids in token_ids for token in ids], np.int64)
        if self.unknown is not None:
            owner_E, token_E = owner_E[token_E != self.unknown], token_E[token_E != self.unknown]
        weight_E = np.ones(len(token_E), np.float32) if self.weights is None else self.weights[token_E]
        row_E = token_E if self.row_of is None else self.row_of[token_E]
        counts_N = np.bincount(owner_E, minlength=len(token_ids))
        picks = csr_matrix((weight_E, (owner_E, row_E)), shape=(len(token_ids), len(self.rows_VD)))
        return np.asarray(picks @ self.rows_VD / np.maximum(counts_N, 1)[:, None], np.float32)


def locate(model: str) -> tuple[Path, Path]:
    """The tokenizer's and the table's file.

    Raises:
        FileNotFoundError: one of them, or the folder, is not there.
    """
    if model == "wordllama":
        # Found without importing: the package's own import is slow and looks elsewhere for its weights.
        spec = importlib.util.find_spec("wordllama")
        if spec is None or spec.origin is None:
            raise FileNotFoundError("encoder static: model wordllama is not installed: pip install --no-deps wordllama")
        package = Path(spec.origin).parent
        files = package / "tokenizers" / "l2_supercat_tokenizer_config.json", package / "weights" / "l2_supercat_256.safetensors"
    else:
        folder = Path(model).expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(f"encoder static: model {model!r} is not a folder. Name a model2vec folder, or `wordllama`")
        inner = folder / "0_StaticEmbedding"
        folder = inner if inner.is_dir() else folder
        files = folder / "tokenizer.json", folder / "model.safetensors"
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"encoder static: model {model!r} lacks {file}")
    return files


def read_table(file: Path, unknown: int | None) -> Table:
    """The table in a safetensors file, with model2vec's token weights and shared rows where it has them."""
    tensors: dict[str, npt.NDArray[Any]] = load_arrays(file)
    name = next((name for name in TENSORS if name in tensors), None)
    if name is None:
        raise ValueError(f"encoder static: {file} has no table called {' or '.join(TENSORS)}, only {', '.join(sorted(tensors))}")
    weights, row_of = tensors.get("weights"), tensors.get("mapping")
    return Table(
        tensors[name].astype(np.float32),
        None if weights is None else weights.astype(np.float32),
        None if row_of is None else row_of.astype(np.int64),
        unknown,
    )
