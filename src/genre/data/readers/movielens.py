"""MovieLens-100K: 100,000 ratings of 1,682 films by 943 people, from a folder, an installed wheel or GroupLens."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import os
import re
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from pydantic import Field

from genre.data.readers import Reader, Tables
from genre.data.readers.delimited import delimited
from genre.data.readers.paths import DataPath, NewPath
from genre.data.readers.rejection import ReadError, Rejections
from genre.data.readers.roles import Roles, events
from genre.data.readers.storing import Store
from genre.writing import whole

WHEEL = "recbole==1.2.1"
ADDRESS = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
RATINGS_SHA256 = "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490"
"""Of the 100,000 lines of ratings, without a header: the same in every copy."""
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Film-Noir",
    "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
RATING_COLUMNS = ("user", "item", "rating", "time")
USER_COLUMNS = ("user_id", "age", "gender", "occupation", "zip_code")


class MovieLens100KReader(Reader):
    """Ratings 1 to 5 as events `rate`; items with `title` ("Toy Story (1995)"), `year`, `genres`; users with age, gender, occupation."""

    class Config(Reader.Config):
        use: str = "movielens_100k"
        folder: DataPath | None = None
        """Your copy, with u.data, u.item, u.user or with ml-100k.inter, .item, .user. None: the installed wheel's, else a download."""
        cache: NewPath | None = None
        """Where a download is kept; None: ~/.cache/genre."""
        address: str = Field(ADDRESS, pattern=r"^(https|file)://")
        """Where it is downloaded from, if there is no other copy."""

    config: Config

    def read(self, folder: Path) -> Tables:
        """Read everything; nothing is ever rejected, since the ratings' checksum is known.

        Raises:
            ReadError: no copy is to be had, or the ratings are not the published ones.
        """
        ratings, items, users = self._files()
        _check(ratings)
        rejections = Rejections()
        roles = Roles("user", "item", "time", None, "rating", event_type="rate", time_format="unix")
        with Store(folder / "events.parquet") as store:
            for rows in delimited(_headless(ratings, folder), rejections, separator="\t", quotes=False, names=RATING_COLUMNS):
                store.add(events(ratings, rows, roles, rejections))
        return Tables(store.scan(), _items(items).lazy(), _users(users).lazy(), rejected=rejections.frame())

    def sources(self) -> Iterator[Path]:
        """Ratings, items, users, wherever they were found; looking for them may download them."""
        yield from self._files()

    def _files(self) -> tuple[Path, Path, Path]:
        folder = self.config.folder
        if folder is not None:
            found = _copy_in(folder)
            if found is None:
                raise ReadError(f"{folder}: neither u.data, u.item, u.user nor ml-100k.inter, ml-100k.item, ml-100k.user are all in there")
            return found
        cache = (self.config.cache or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "genre").expanduser() / "ml-100k"
        return _copy_in(installed_folder()) or _copy_in(cache) or download(self.config.address, cache)


def installed_folder() -> Path | None:
    """The copy inside the recbole wheel, found without importing it; None if it is not installed."""
    try:
        files = importlib.metadata.files("recbole") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())).parent for file in files if file.name == "ml-100k.inter"), None)


def _copy_in(folder: Path | None) -> tuple[Path, Path, Path] | None:
    if folder is not None:
        for names in (("u.data", "u.item", "u.user"), ("ml-100k.inter", "ml-100k.item", "ml-100k.user")):
            files = (folder / names[0], folder / names[1], folder / names[2])
            if all(file.is_file() for file in files):
                return files
    return None


def download(address: str, cache: Path) -> tuple[Path, Path, Path]:
    """Fetch GroupLens' archive and keep what is needed of it in the cache: ratings, items, users.

    Raises:
        ReadError: it cannot be had; the message tells three ways to have the data.
    """
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            archive = zipfile.ZipFile(io.BytesIO(answer.read()))
        contents = {name: archive.read(f"ml-100k/{name}") for name in ("u.item", "u.user", "u.data")}
    except (urllib.error.URLError, OSError, zipfile.BadZipFile, KeyError) as error:
        raise ReadError(
            f"MovieLens-100K is not here and {address} does not give it ({error}). Three ways to have it: "
            f"(1) pip install --no-deps {WHEEL}, which holds a copy; (2) unpack ml-100k.zip and set data.reader.folder to its folder; "
            "(3) run again with a network, or set data.reader.address to a mirror"
        ) from error
    for name, content in contents.items():  # u.data last: a copy that was cut off is not taken for one
        with whole(cache / name) as partial:
            partial.write_bytes(content)
    return cache / "u.data", cache / "u.item", cache / "u.user"


def _lines(ratings: Path) -> bytes:
    content = ratings.read_bytes()
    return content.partition(b"\n")[2] if ratings.suffix == ".inter" else content


def _check(ratings: Path) -> None:
    found = hashlib.sha256(_lines(ratings).replace(b"\r\n", b"\n")).hexdigest()
    if found != RATINGS_SHA256:
        raise ReadError(
            f"{ratings}: these are not the ratings of MovieLens-100K (sha256 {found[:12]}..., not {RATINGS_SHA256[:12]}...); delete the "
            f"file and take a fresh copy, for example with pip install --no-deps {WHEEL}. For ratings of your own take `use: files`"
        )


def _headless(ratings: Path, folder: Path) -> Path:
    if ratings.suffix != ".inter":
        return ratings
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "u.data").write_bytes(_lines(ratings))
    return folder / "u.data"


def _items(file: Path) -> pl.DataFrame:
    original = file.name == "u.item"
    rows = [line.split("|" if original else "\t") for line in _text(file)]
    if original:
        parsed = [
            _film(fields[0], fields[1], [genre for genre, flag in zip(GENRES, fields[5:], strict=True) if flag == "1"]) for fields in rows
        ]
    else:
        # The wheel's copy keeps the year apart; one film has none, and of one "V" (video) was taken for it.
        parsed = [
            _film(number, f"{title} ({year})" if year.isdigit() else title, genres.split()) for number, title, year, genres in rows[1:]
        ]
    schema = pl.Schema({"item_id": pl.String(), "title": pl.String(), "year": pl.Int64(), "genres": pl.List(pl.String)})
    return pl.DataFrame(parsed, schema=schema, orient="row")


def _film(number: str, title: str, genres: list[str]) -> tuple[str, str, int | None, list[str]]:
    year = re.search(r"\((\d{4})\)", title)
    title = "unknown" if title == "unkonwn" else title
    return number, title, int(year[1]) if year else None, [genre for genre in genres if genre != "unknown"]


def _users(file: Path) -> pl.DataFrame:
    lines = _text(file)
    rows = [line.split("|") for line in lines] if file.name == "u.user" else [line.split("\t") for line in lines[1:]]
    return pl.DataFrame(rows, schema=list(USER_COLUMNS), orient="row").with_columns(pl.col("age").cast(pl.Int64))


def _text(file: Path) -> list[str]:
    # GroupLens wrote Latin-1; the wheel's copy is UTF-8.
    return file.read_text(encoding="latin-1" if file.name.startswith("u.") else "utf-8").splitlines()
