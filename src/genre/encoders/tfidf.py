"""TF-IDF reduced by a singular value decomposition: no language model, and a baseline that every table carries."""

# N items, V terms, D dimensions

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import NonNegativeInt, PositiveInt

from genre.component import Arrays
from genre.encoders import Encoder
from genre.encoders.text import texts_of
from genre.progress import track

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CHUNK = 16_384
"""Texts encoded at once."""

SVD_ITEMS = 200_000
"""The directions are learnt from at most this many items, so that memory and time stay bounded."""

ITERATIONS = 5
"""Power iterations of the randomised decomposition: text has a flat spectrum, fewer leave noise in the last directions."""

# Scripts written without spaces (Han, kana, Hangul, Thai, Lao, Myanmar, Khmer): every character is a word, every pair a bigram.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u30ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
# Vowel signs and other marks inside words, which `\w` does not match.
MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff"
WORD = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])[\w{MARKS}])+")
ACCENTS = re.compile("[\u0300-\u036f]")


class TfidfEncoder(Encoder):
    """Words and pairs of neighbouring words, weighted by how rare they are, folded into a few hundred directions."""

    class Config(Encoder.Config):
        components: PositiveInt = 128
        """Directions kept by the decomposition; a smaller catalogue has fewer."""
        residual: NonNegativeInt = 128
        """Random directions that keep, approximately, what the decomposition leaves out: rare words, hence most of what is specific."""
        ngrams: PositiveInt = 2
        """Longest run of neighbouring words that counts as a term."""
        min_items: PositiveInt | None = None
        """Terms of fewer items are left out; None chooses by the catalogue: 1 below 10 thousand items, then 2, from a million on 5."""
        max_terms: PositiveInt = 200_000
        """Of more terms the most widespread are kept."""
        seed: int = 0
        """Of the randomised decomposition and the random directions."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.terms: list[str] = []
        self.idf_V: npt.NDArray[np.float32] = np.empty(0, np.float32)
        self.directions_VD: npt.NDArray[np.float32] = np.zeros((0, 1), np.float32)

    def fit(self, items: pl.DataFrame) -> None:
        """Learn terms, their weights and the directions. The order of the items makes no difference."""
        from sklearn.utils.extmath import randomized_svd

        texts = sorted(texts_of(items))
        terms, counts_NV = self._count_all(texts)
        spread_V = np.bincount(counts_NV.indices, minlength=len(terms))
        kept = self._choose(terms, spread_V, len(texts))
        self.terms = [terms[column] for column in kept]
        self.idf_V = (np.log((1 + len(texts)) / (1 + spread_V[kept])) + 1).astype(np.float32)
        rng = np.random.default_rng(self.config.seed)
        if len(texts) > SVD_ITEMS:
            counts_NV = counts_NV[np.sort(rng.choice(len(texts), SVD_ITEMS, replace=False))]
        tfidf_NV = weigh(counts_NV[:, kept], self.idf_V)
        tfidf_NV = tfidf_NV[np.diff(tfidf_NV.indptr) > 0]
        d = min(self.config.components, *tfidf_NV.shape)
        self.directions_VD = np.zeros((len(self.terms), 1), np.float32)
        if d:
            _, _, axes_DV = randomized_svd(tfidf_NV, d, n_iter=ITERATIONS, random_state=self.config.seed)
            self.directions_VD = with_residual(np.ascontiguousarray(axes_DV.T, np.float32), self.config.residual, rng)

    def encode(self, items: pl.DataFrame) -> npt.NDArray[np.float32]:
        """Vectors of shape (N, D); zero for a text without a known term."""
        texts = texts_of(items)
        vectors_ND = np.zeros((len(texts), self.directions_VD.shape[1]), np.float32)
        if not self.terms:
            return vectors_ND
        vectorizer = self._vectorizer(vocabulary=self.terms)
        for start in track(range(0, len(texts), CHUNK), "encoding text"):
            counts_CV = vectorizer.transform(texts[start : start + CHUNK])
            vectors_ND[start : start + CHUNK] = weigh(counts_CV, self.idf_V) @ self.directions_VD
        return vectors_ND

    def state(self) -> Arrays:
        """Terms as JSON bytes, their weights, and the directions."""
        terms = np.frombuffer(json.dumps(self.terms, ensure_ascii=False).encode(), np.uint8)
        return {"terms": terms, "idf": self.idf_V, "directions": self.directions_VD}

    def restore(self, state: Arrays) -> None:
        """Take back what `state` gave."""
        self.terms = json.loads(state["terms"].tobytes())
        self.idf_V = state["idf"]
        self.directions_VD = state["directions"]

    def _vectorizer(self, **settings: Any) -> Any:
        from sklearn.feature_extraction.text import CountVectorizer

        longest = self.config.ngrams
        return CountVectorizer(analyzer=lambda text: terms_of(text, longest), dtype=np.float32, **settings)

    def _count_all(self, texts: list[str]) -> tuple[list[str], csr_matrix]:
        from scipy.sparse import csr_matrix

        if not any(WORD.search(text) for text in texts):
            return [], csr_matrix((len(texts), 0), dtype=np.float32)
        vectorizer = self._vectorizer()
        counts_NV = vectorizer.fit_transform(texts)
        return vectorizer.get_feature_names_out().tolist(), counts_NV

    def _choose(self, terms: list[str], spread_V: npt.NDArray[np.intp], n: int) -> npt.NDArray[np.intp]:
        least = self.config.min_items or (1 if n < 10_000 else 2 if n < 1_000_000 else 5)
        kept = np.flatnonzero(spread_V >= least)
        if self.config.min_items is None and not len(kept):
            kept = np.arange(len(terms))
        if terms and not len(kept):
            raise ValueError(f"encoder tfidf: min_items {least} leaves none of the {len(terms)} terms of {n} items; lower it")
        # A stable sort, so that among equally widespread terms the alphabet decides.
        most = np.argsort(-spread_V[kept], kind="stable")[: self.config.max_terms]
        return np.sort(kept[most])


def terms_of(text: str, longest: int) -> list[str]:
    """Lower-case words without accents, and runs of up to `longest` neighbouring words joined by a space."""
    plain = ACCENTS.sub("", unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).lower()))
    words = WORD.findall(unicodedata.normalize("NFC", plain))
    runs = [" ".join(words[i : i + length]) for length in range(2, longest + 1) for i in range(len(words) - length + 1)]
    return words + runs


def weigh(counts_NV: csr_matrix, idf_V: npt.NDArray[np.float32]) -> csr_matrix:
    """(1 + ln count) times idf, each row scaled to length 1; a row without terms stays empty."""
    if counts_NV.shape[1] != len(idf_V):
        raise ValueError(f"counts of {counts_NV.shape[1]} terms, weights of {len(idf_V)}")
    weighted = counts_NV.copy()
    weighted.data = (1.0 + np.log(weighted.data)) * idf_V[weighted.indices]
    lengths = np.sqrt(np.bincount(np.repeat(np.arange(weighted.shape[0]), np.diff(weighted.indptr)), weighted.data**2, weighted.shape[0]))
    weighted.data = (weighted.data / np.repeat(lengths, np.diff(weighted.indptr))).astype(np.float32)
    return weighted


def with_residual(axes_VD: npt.NDArray[np.float32], r: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """The axes and beside them r random directions orthogonal to them, scaled to keep dot products of what the axes miss.

    A truncated decomposition keeps what many items share and forgets rare words. Random projection keeps dot products within about
    1 / sqrt(r) (Johnson and Lindenstrauss, 1984), so a cosine of the result is close to the cosine of the full TF-IDF vectors.
    """
    if axes_VD.shape[0] <= axes_VD.shape[1] or not r:
        return axes_VD
    random_VR = rng.standard_normal((axes_VD.shape[0], r), np.float32) / np.float32(np.sqrt(r))
    return np.hstack([axes_VD, random_VR - axes_VD @ (axes_VD.T @ random_VR)])
