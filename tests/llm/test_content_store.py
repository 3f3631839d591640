from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genre.llm.content_store import ContentStore, key_of

RECIPE = {"model": "abc", "layer": 3}


def filled(root: Path, dtype: str = "float16") -> ContentStore:
    store = ContentStore(root, RECIPE, 4, dtype)
    with store.segment() as writer:
        writer.add("a", np.arange(8.0).reshape(2, 4))
        writer.add("nothing", np.empty((0, 4)))
        writer.add("b", np.ones((1, 4)))
    return store


def test_what_was_written_is_found_by_this_and_by_the_next_process(tmp_path: Path) -> None:
    filled(tmp_path)
    store = ContentStore(tmp_path, RECIPE, 4, "float16")
    assert len(store) == 3 and "a" in store and "c" not in store
    assert store.get("a").tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert store.get("nothing").shape == (0, 4)
    with store.segment() as writer:
        writer.add("c", np.zeros((3, 4)))
        writer.add("a", np.full((2, 4), 9.0))
    again = ContentStore(tmp_path, RECIPE, 4, "float16")
    assert again.get("c").shape == (3, 4)
    assert again.get("a")[0, 1] == 1, "the first of a key stays"
    assert again.bytes == 6 * 4 * 2


def test_a_segment_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    store = ContentStore(tmp_path, RECIPE, 4, "float32")
    with pytest.raises(KeyboardInterrupt), store.segment() as writer:
        writer.add("a", np.ones((1, 4)))
        raise KeyboardInterrupt
    assert "a" not in ContentStore(tmp_path, RECIPE, 4, "float32")
    assert [file.name for file in store.folder.iterdir()] == ["recipe.json"]


def test_another_recipe_is_another_store(tmp_path: Path) -> None:
    filled(tmp_path)
    assert len(ContentStore(tmp_path, RECIPE | {"layer": 4}, 4, "float16")) == 0
    assert len(ContentStore(tmp_path, RECIPE, 4, "float32")) == 0


def test_a_damaged_byte_is_refused_when_it_is_read(tmp_path: Path) -> None:
    store = filled(tmp_path)
    data = bytearray((store.folder / "000000.bin").read_bytes())
    data[3] ^= 1
    (store.folder / "000000.bin").write_bytes(data)
    store = ContentStore(tmp_path, RECIPE, 4, "float16")
    assert store.get("b").tolist() == [[1, 1, 1, 1]]
    with pytest.raises(ValueError, match=r"is refused: segment 0 is damaged.*Delete the folder"):
        store.get("a")


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("000000.bin", b"short", "has not the 24 bytes that its index names"),
        ("000000.json", b"{", r"000000\.json is not readable"),
        ("recipe.json", b'{"model": "xyz"}', "made by another model or with other settings"),
    ],
)
def test_a_stale_or_cut_folder_is_refused(tmp_path: Path, file: str, content: bytes, why: str) -> None:
    folder = filled(tmp_path).folder
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=why):
        ContentStore(tmp_path, RECIPE, 4, "float16")
    assert (folder / file).read_bytes() == content, "nothing is repaired without a word"


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    store = ContentStore(tmp_path, RECIPE, 4, "float16")
    with pytest.raises(ValueError, match=r"shape \(any, 4\), not \(2, 3\)"), store.segment() as writer:
        writer.add("a", np.ones((2, 3)))
    with pytest.raises(ValueError, match="not finite in float16"), np.errstate(over="ignore"), store.segment() as writer:
        writer.add("a", np.full((1, 4), 1e6))


def test_keys_tell_where_one_part_ends() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of("ab") == key_of(b"ab")
