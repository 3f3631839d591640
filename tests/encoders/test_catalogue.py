from pathlib import Path

import numpy as np
import pytest

from genre.component import build
from genre.encoders import Encoder
from genre.encoders.catalogue import CatalogueEncoder, fit_catalogue, load_vectors
from genre.testing import small_items


@pytest.mark.parametrize(("settings", "width"), [({}, 11), ({"whiten": True}, 11), ({"dim": 4}, 4), ({"whiten": True, "dim": 4}, 4)])
def test_a_stored_encoder_puts_items_and_their_texts_where_the_catalogue_has_them(
    tmp_path: Path, settings: dict[str, int], width: int
) -> None:
    encoder = build(Encoder, {"use": "tfidf", "residual": 0, **settings})
    vectors, transform = fit_catalogue(encoder, small_items())
    assert vectors.shape == (12, width) and vectors.dtype == np.float32
    assert vectors[:11].mean(0) == pytest.approx(np.zeros(width), abs=1e-5)
    assert not vectors[11].any(), "the film without a title says nothing"

    CatalogueEncoder(encoder, transform).save(tmp_path, vectors)
    loaded = CatalogueEncoder.load(tmp_path)
    assert np.array_equal(load_vectors(tmp_path), vectors)
    assert np.array_equal(loaded.encode(small_items()), vectors)
    assert loaded.encode_texts(small_items()["text"].to_list()) == pytest.approx(vectors, abs=1e-6)
    assert loaded.encode_texts([]).shape == (0, width)


def test_a_folder_without_vectors_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"item_vectors\.safetensors is missing"):
        load_vectors(tmp_path)
