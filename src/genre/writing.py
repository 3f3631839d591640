"""Whole or not at all: a file or folder is written beside its place, and takes it when it is complete."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(target: Path, *, new: bool = False, durable: bool = False) -> Iterator[Path]:
    """A path to write to, which takes the target's place when the block ends; if the block fails, all is as it was.

    What a killed process left half written is overwritten by the next.

    Args:
        new: the target, a file, must not be there yet, though several processes try at once.
        durable: it is on the disk before it takes the target's place.

    Raises:
        FileExistsError: it was to be new, and is not.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial" if new else f".{target.name}.partial")
    _remove(partial)
    try:
        yield partial
        if durable:
            with partial.open("rb+") as handle:
                os.fsync(handle.fileno())
        if new:
            os.link(partial, target)
        else:
            partial.replace(target)
    finally:
        _remove(partial)


def _remove(partial: Path) -> None:
    if partial.is_dir() and not partial.is_symlink():
        shutil.rmtree(partial)
    else:
        partial.unlink(missing_ok=True)
