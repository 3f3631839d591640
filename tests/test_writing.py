"""Files appear complete or not at all, and folders too."""

from __future__ import annotations

from pathlib import Path

import pytest

from genre.writing import whole


def test_a_file_takes_its_place_when_it_is_complete(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "file"
    for text in ("one", "two"):
        with whole(file, durable=True) as partial:
            partial.write_text(text)
            assert not file.exists() or file.read_text() == "one"
        assert file.read_text() == text
    assert list(file.parent.iterdir()) == [file]


def test_what_fails_leaves_all_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    (tmp_path / ".file.partial").write_text("what a killed process left")
    with pytest.raises(KeyError), whole(file) as partial:
        assert not partial.exists()
        partial.write_text("half")
        raise KeyError
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_a_new_file_replaces_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with whole(file, new=True) as partial:
        partial.write_text("first")
    with pytest.raises(FileExistsError), whole(file, new=True) as partial:
        partial.write_text("second")
    assert file.read_text() == "first"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_is_put_in_place_whole(tmp_path: Path) -> None:
    (tmp_path / ".folder.partial" / "old").mkdir(parents=True)
    with whole(tmp_path / "folder") as partial:
        (partial / "new").mkdir(parents=True)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
