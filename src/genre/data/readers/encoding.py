"""The bytes of a text file: unzipped, refused if binary, invalid UTF-8 marked so that the row can be named."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from genre.data.readers.rejection import ReadError

MARK = "\U0010ffff"
"""Stands where bytes were that are not UTF-8: a code point that no text may contain."""
SNIFFED = 1 << 16
MAGIC = {
    b"PAR1": "a Parquet file: let its name end in .parquet",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook: save the sheet as CSV (UTF-8)",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save the sheet as CSV (UTF-8)",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF document",
    b"SQLite format 3": "an SQLite database: export the table as CSV",
    b"\x1f\x8b": "gzipped: let its name end in .gz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: unpack it",
    b"BZh": "compressed with bzip2: unpack it",
    b"\xff\xfe": "text in UTF-16: save it as UTF-8",
    b"\xfe\xff": "text in UTF-16: save it as UTF-8",
}

codecs.register_error("genre.mark", lambda error: (MARK, error.end if isinstance(error, UnicodeDecodeError) else 0))


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The raw bytes, unzipped where the name ends in .gz.

    Raises:
        ReadError: empty, binary, another encoding, or a broken archive; the message says what it is and what to do.
    """
    opened: IO[bytes] = gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[assignment]  # noqa: SIM115
    try:
        with opened as file:
            _refuse_binary(path, file.read(SNIFFED))
            file.seek(0)
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ReadError(f"{path}: the gzip archive is broken ({error}); copy or download it again") from error


def _refuse_binary(path: Path, start: bytes) -> None:
    if not start.strip():
        raise ReadError(f"{path}: the file is empty")
    for magic, what in MAGIC.items():
        if start.startswith(magic):
            raise ReadError(f"{path}: this is {what}")
    zeros = start.count(0)
    if zeros > len(start) // 4:
        raise ReadError(f"{path}: this is binary, or text in UTF-16: save it as UTF-8")
    if zeros > len(start) // 1000:
        raise ReadError(f"{path}: this is a binary file, not text")


class Utf8Stream(io.RawIOBase):
    """Valid UTF-8 whatever the file holds; `marked` tells whether anything had to be replaced by MARK."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")("genre.mark")
        self._rest = b""
        self.marked = False
        self.quotes = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer as far as there is something."""
        while not self._rest:
            chunk = self._file.read(len(buffer))
            text = self._decoder.decode(chunk, final=not chunk)
            self.marked = self.marked or MARK in text
            self._rest = text.encode()
            self.quotes += self._rest.count(b'"')
            if not chunk:
                break
        given, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(given)] = given
        return len(given)
