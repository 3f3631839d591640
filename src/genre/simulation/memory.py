"""Memory: the newest rounds that were served, in files, so that a killed run goes on with what it had tried."""

# B visitors, H slates of a visit, S places, F features of a state, E slates that were shown

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import load_file, save_file
from torch import Tensor


class Remembered(NamedTuple):
    """A round: the states slate after slate, who was there, what was shown and what was clicked."""

    state_EF: Tensor
    there_BH: Tensor
    item_BHS: Tensor
    clicked_BHS: Tensor


class Memory:
    """Rounds by their number. One that is served again after a kill takes its own place."""

    def __init__(self, folder: Path, rounds: int) -> None:
        self.folder, self.rounds = folder, rounds

    def joined_by(self, number: int, latest: Remembered) -> list[Remembered]:
        """The newest rounds, this one last."""
        if self.rounds == 1:
            return [latest]
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / "round.new"
        save_file(latest._asdict(), temporary)
        temporary.replace(self._file(number))
        there = sorted(self.folder.glob("*.safetensors"))
        kept = [file for file in there if number - self.rounds < int(file.stem) < number]
        for file in set(there) - {*kept, self._file(number)}:
            file.unlink()
        return [*(Remembered(**load_file(file)) for file in kept), latest]

    def clear(self) -> None:
        """Forget all: what was learnt is in the weights."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.safetensors"
