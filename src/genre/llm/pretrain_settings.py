"""The section `pretrain` of a configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationInfo, model_validator

from genre.data.readers.paths import DataPath
from genre.llm.model_files import STAGES, ModelName, check
from genre.llm.scratch import Scratch
from genre.training import Optimisation


class PretrainConfig(Optimisation):
    """A language model learns from text alone: the next token, or hidden ones, whichever it was made for."""

    model: ModelName | None = None
    """Where to go on from: a folder, a `.gguf` file, `package:NAME`, or a name on the Hugging Face hub."""
    scratch: Scratch | None = None
    """Or a new model of this shape, its vocabulary learnt from the text."""
    corpus: list[DataPath] = Field(default_factory=list)
    """More text beside the items': `.txt` (one document a line), or `.parquet`, `.csv`, `.jsonl` with a column `text`."""
    top: PositiveInt | None = None
    """How many blocks, from above, learn; None: everything."""
    max_tokens: PositiveInt = 256
    """Length of a row; documents are packed into rows, longer ones cut."""
    batch_size: PositiveInt = 8
    """Rows in one pass. Lower it, and raise `accumulate`, if memory runs out."""
    hidden_share: float = Field(0.15, gt=0, lt=1)
    """Of a masked model: share of the tokens to be guessed."""
    held_out: float = Field(0.05, gt=0, lt=1)
    """Share of the documents that measure, and are never learnt from."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: a third slower, much less memory."""
    epochs: PositiveInt = 1
    """Passes over the text at most."""
    patience: PositiveInt = 1
    """Stop after this many epochs without a lower held-out loss; the best weights are kept."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Of AdamW, after the warm-up. A model from scratch wants ten times as much."""
    warmup_steps: NonNegativeInt = 10
    """The learning rate rises from zero over this many steps."""
    checkpoint_seconds: PositiveFloat = 600.0
    """A checkpoint, as large as four models, is written after every epoch, and within one whenever this long has passed since the last."""

    @model_validator(mode="after")
    def _one_start(self, info: ValidationInfo) -> PretrainConfig:
        if (self.model is None) == (self.scratch is None):
            raise ValueError("name either `model`, to go on from, or `scratch`, the shape of a new one")
        if self.model in STAGES:
            raise ValueError(f"model: {self.model} comes after pretrain; name a model")
        if self.model is not None:
            check(self.model, info)
        return self
