"""An experiment's course: defined, running, stopped; one plain JSON document that a file or a table row can hold."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from genre.component import Settings
from genre.experiments.definition import ExperimentConfig, ExperimentError
from genre.writing import whole

Status = Literal["planned", "running", "stopped"]


class Experiment(Settings):
    """A definition and where it stands; never changed, only replaced. `model_dump(mode="json")` is what to store."""

    config: ExperimentConfig
    status: Status = "planned"
    started: float | None = Field(None, allow_inf_nan=False)
    """Unix seconds."""
    stopped: float | None = Field(None, allow_inf_nan=False)
    """Unix seconds."""
    reason: str = ""
    """Why it was stopped."""

    def start(self, now: float) -> Experiment:
        """It runs from now on.

        Raises:
            ExperimentError: it was started before.
        """
        if self.status != "planned":
            raise ExperimentError(
                f"experiment {self.config.name!r} is {self.status}: an experiment starts once. Give a new one another name, so that its "
                "units are drawn afresh"
            )
        return self.model_copy(update={"status": "running", "started": now})

    def stop(self, now: float, reason: str) -> Experiment:
        """Nobody is assigned any more.

        Raises:
            ExperimentError: it does not run, or no reason is given.
        """
        if self.status != "running":
            raise ExperimentError(f"experiment {self.config.name!r} is {self.status}, so there is nothing to stop")
        if not reason.strip():
            raise ExperimentError("say why it is stopped; the next reader will ask")
        return self.model_copy(update={"status": "stopped", "stopped": now, "reason": reason.strip()})

    def save(self, file: Path, new: bool = False) -> None:
        """Write it whole or not at all; `new` refuses to replace what is there."""
        try:
            with whole(file, new=new) as partial:
                partial.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        except FileExistsError as error:
            held = Experiment.load(file)
            raise ExperimentError(f"{file}: experiment {held.config.name!r} was started before; it is {held.status}") from error

    @classmethod
    def load(cls, file: Path) -> Experiment:
        """Read what `save` wrote.

        Raises:
            ExperimentError: there is none, or the file is no experiment.
        """
        if not file.is_file():
            there = sorted(other.stem for other in file.parent.glob("*.json"))
            raise ExperimentError(
                f"{file}: no such experiment; started here: {', '.join(there) or 'none'}. One that a server runs is read "
                "with --server URL, or on its dashboard"
            )
        try:
            return cls.model_validate_json(file.read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            raise ExperimentError(f"{file}: this is no experiment as `start` writes it: {error}") from error
