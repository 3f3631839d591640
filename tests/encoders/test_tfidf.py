import numpy as np
import polars as pl
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from genre.component import build
from genre.encoders.tfidf import TfidfEncoder, terms_of, weigh, with_residual
from genre.testing import check_encoder, small_items
from genre.types import Floats


def tfidf(**settings: int) -> TfidfEncoder:
    return build(TfidfEncoder, {"use": "tfidf", **settings})


def frame(*texts: str | None) -> pl.DataFrame:
    return pl.DataFrame({"text": list(texts)}, schema={"text": pl.String})


def cosine(vectors: Floats) -> Floats:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T)


@pytest.mark.parametrize("settings", [{}, {"components": 3, "residual": 0}, {"ngrams": 1, "min_items": 2}])
def test_it_conforms(settings: dict[str, int]) -> None:
    check_encoder(tfidf(**settings))


def test_terms_are_words_without_case_and_accents_and_pairs_of_them() -> None:
    assert terms_of("Amélie, the MOVIE", 2) == ["amelie", "the", "movie", "amelie the", "the movie"]


def test_scripts_without_spaces_are_cut_into_characters_and_pairs() -> None:
    assert terms_of("红裙子 XL", 2) == ["红", "裙", "子", "xl", "红 裙", "裙 子", "子 xl"]


def test_vowel_signs_stay_inside_their_word() -> None:
    assert terms_of("हिन्दी फ़िल्म", 1) == ["हिन्दी", "फ़िल्म"]


def test_weights_agree_with_scikit_learn() -> None:
    texts = ["red lipstick", "red red nail polish", "polish remover remover", ""]
    theirs = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+")
    expected = theirs.fit_transform(texts).toarray()
    encoder = tfidf(ngrams=1)
    encoder.fit(frame(*texts))
    assert encoder.terms == theirs.get_feature_names_out().tolist()
    assert encoder.idf_V == pytest.approx(theirs.idf_, abs=1e-6)
    counts = encoder._vectorizer(vocabulary=encoder.terms).transform(texts)
    assert weigh(counts, encoder.idf_V).toarray() == pytest.approx(expected, abs=1e-6)


def test_all_directions_together_keep_the_cosines_of_the_full_vectors() -> None:
    texts = [text or "x" for text in small_items()["text"]]
    full = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+", ngram_range=(1, 2)).fit_transform(texts).toarray()
    encoder = tfidf(residual=0)
    encoder.fit(frame(*texts))
    vectors = encoder.encode(frame(*texts))
    assert vectors.shape == (12, 12)
    assert cosine(vectors) == pytest.approx(full @ full.T, abs=1e-4)


def test_residual_directions_are_orthogonal_to_the_axes_and_keep_dot_products() -> None:
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(2000, 5)))[0].astype(np.float32)
    directions = with_residual(axes, 1000, rng)
    assert directions.shape == (2000, 1005)
    assert axes.T @ directions[:, 5:] == pytest.approx(np.zeros((5, 1000)), abs=1e-5)
    points = rng.normal(size=(20, 2000)).astype(np.float32) / np.sqrt(2000)
    assert (points @ directions) @ (points @ directions).T == pytest.approx(points @ points.T, abs=0.15)


def test_the_order_of_the_catalogue_makes_no_difference() -> None:
    forwards, backwards = tfidf(components=4), tfidf(components=4)
    forwards.fit(small_items())
    backwards.fit(small_items().reverse())
    assert np.array_equal(forwards.encode(small_items()), backwards.encode(small_items()))


def test_similar_texts_are_nearer_than_others() -> None:
    encoder = tfidf()
    encoder.fit(frame("red nail polish", "blue nail polish", "hair dryer", "hair brush"))
    near = cosine(encoder.encode(frame("nail polish remover", "blue nail polish", "hair dryer")))[0]
    assert near[1] > 0.5 > near[2]


def test_null_empty_and_unknown_texts_get_the_zero_vector() -> None:
    encoder = tfidf()
    encoder.fit(small_items())
    assert not encoder.encode(frame(None, "", "  ", "🎬", "xyzzy")).any()


@pytest.mark.parametrize("texts", [(), ("", None), ("🎬", "!!!")])
def test_a_catalogue_without_a_word_still_has_vectors(texts: tuple[str | None, ...]) -> None:
    encoder = tfidf()
    encoder.fit(frame(*texts))
    assert encoder.encode(frame("hello", "")).tolist() == [[0.0], [0.0]]


def test_rare_terms_can_be_left_out_but_not_all_of_them() -> None:
    texts = frame("red polish", "blue polish", "red dryer")
    encoder = tfidf(min_items=2, ngrams=1)
    encoder.fit(texts)
    assert encoder.terms == ["polish", "red"]
    encoder = tfidf(max_terms=1, ngrams=1)
    encoder.fit(texts)
    assert encoder.terms == ["polish"]
    with pytest.raises(ValueError, match="min_items 3 leaves none of the 4 terms of 3 items; lower it"):
        tfidf(min_items=3, ngrams=1).fit(texts)


def test_a_frame_without_text_names_the_columns_there_are() -> None:
    with pytest.raises(ValueError, match=r"no `text` column \(they have: item_id, title"):
        tfidf().fit(pl.DataFrame({"item_id": ["1"], "title": ["x"]}))


def test_a_large_catalogue_whose_items_share_no_word_keeps_its_words() -> None:
    texts = frame(*[f"w{i}" for i in range(10_001)])
    encoder = tfidf(components=2, residual=0)
    encoder.fit(texts)
    assert len(encoder.terms) == 10_001
    assert encoder.encode(texts.head(3)).shape == (3, 2)
