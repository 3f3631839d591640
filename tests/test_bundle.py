"""A bundle is believed only if every file is what was published."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from genre.bundle import FORMAT, Bundle, BundleError, mapped, seal, user_keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "000001"
    (folder / "ranker").mkdir(parents=True)
    save_file({"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([True, False])}, folder / "ranker" / "state.safetensors")
    (folder / "notes.txt").write_text("hello")
    seal(folder, {"name": "shop"})
    (folder / "manifest.json").write_text("{}")  # what the run says of the stage is not part of it
    return folder


def test_what_was_sealed_opens(folder: Path) -> None:
    bundle = Bundle.open(folder)
    assert (bundle.version, bundle.facts) == ("000001", {"name": "shop"})
    assert bundle.path("notes.txt").read_text() == "hello"
    moved = shutil.copytree(folder, folder.parent / "000002")
    assert Bundle.open(moved).version == "000002"


def test_any_damage_is_refused(folder: Path) -> None:
    state = folder / "ranker" / "state.safetensors"
    whole = state.read_bytes()
    for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), whole + b"x", b""):
        state.write_bytes(damaged)
        with pytest.raises(BundleError, match=r"state.safetensors' is not what was published"):
            Bundle.open(folder)
    state.unlink()
    with pytest.raises(BundleError, match=r"state.safetensors' is missing"):
        Bundle.open(folder)


def test_what_was_added_later_is_refused(folder: Path) -> None:
    (folder / "extra.txt").write_text("x")
    with pytest.raises(BundleError, match=r"'extra.txt' is not in the bundle's list"):
        Bundle.open(folder)


def test_a_link_out_of_the_bundle_is_refused(folder: Path) -> None:
    outside = folder.parent / "outside.txt"
    outside.write_text("hello")
    (folder / "notes.txt").unlink()
    (folder / "notes.txt").symlink_to(outside)
    with pytest.raises(BundleError, match="not what was published"):
        Bundle.open(folder)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "is no bundle"),
        ("not json", "is not a bundle's list"),
        ("[]", "is not a bundle's list"),
        ('{"genre_bundle": 99, "files": {}, "facts": {}}', f"format 99; this version of genre reads format {FORMAT}"),
        (f'{{"genre_bundle": {FORMAT}, "files": {{"../../etc/passwd": {{}}}}, "facts": {{}}}}', "outside the bundle"),
        (f'{{"genre_bundle": {FORMAT}, "files": {{"/etc/passwd": {{}}}}, "facts": {{}}}}', "outside the bundle"),
    ],
)
def test_what_is_foreign_is_refused(content: str | None, complaint: str, folder: Path) -> None:
    (folder / "bundle.json").unlink()
    if content is not None:
        (folder / "bundle.json").write_text(content)
    with pytest.raises(BundleError, match=complaint):
        Bundle.open(folder)


def test_mapped_arrays_are_the_file_s_and_never_write_to_it(folder: Path) -> None:
    file = folder / "ranker" / "state.safetensors"
    arrays = mapped(file)
    for name, array in load_file(file).items():
        np.testing.assert_array_equal(arrays[name], array)
    arrays["a"][0, 0] = 99
    assert load_file(file)["a"][0, 0] == 0
    Bundle.open(folder)


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"\xff" * 30, b"\x02\x00\x00\x00\x00\x00\x00\x00[]", b"nonsense, and more of it"])
def test_what_is_no_safetensors_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(BundleError, match="is not a safetensors file"):
        mapped(tmp_path / "x.safetensors")


def test_keys_do_not_depend_on_the_process() -> None:
    assert user_keys(["42", "ü"]).tolist() == user_keys(["42", "ü"]).tolist()
    assert user_keys(["42"])[0] != user_keys(["43"])[0]
    assert user_keys(["42"]).tolist() == [8820412187630416983]  # or no user of a bundle published before would be found
