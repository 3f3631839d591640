"""Out of memory, in words: which setting to lower."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

SIGNS = ("can't allocate memory", "not enough memory", "out of memory")


@contextlib.contextmanager
def advice(what: str, lower: str) -> Iterator[None]:
    """Turn a failed allocation into a sentence.

    Raises:
        RuntimeError: memory ran out; the message names the settings to lower.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not isinstance(error, torch.OutOfMemoryError) and not any(s in str(error) for s in SIGNS):
            raise
        raise RuntimeError(f"{what}: memory ran out ({str(error).splitlines()[0][:120]}). Lower {lower}") from error
