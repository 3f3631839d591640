"""The section `finetune` of a configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, SerializeAsAny, ValidationInfo, model_validator

from genre.component import Chosen
from genre.llm.model_files import ModelName, check
from genre.llm.objectives import Objective
from genre.training import Optimisation


class FinetuneConfig(Optimisation):
    """A pretrained model's top blocks learn from interactions; everything below them is frozen, and run once a text."""

    model: ModelName
    """`pretrain`, the run's own; or a folder, a `.gguf` file, `package:NAME`, or a name on the Hugging Face hub."""
    layer: int | float | None = 0.4
    """The model is cut here first: 1 is the lowest layer, -1 the last, 0.4 two fifths up; None keeps all. Of decoders the middle is better
    than the top, and cheaper."""
    top: PositiveInt = 2
    """How many of the kept blocks, from above, learn."""
    method: Literal["blocks", "lora"] = "blocks"
    """blocks: all weights of the top blocks; lora: low-rank additions to them."""
    lora_rank: PositiveInt = 8
    """Of those additions."""
    pooling: Literal["mean", "last", "cls", "attention"] = "mean"
    """Over the tokens of a text; attention learns which to weigh."""
    dim: PositiveInt | None = 128
    """Vectors are projected to this size, at first by whitening, then as is learnt; None keeps the hidden size, unprojected."""
    prefix: str = "Item:"
    """Put before each text, its own tokens left out of the pooling. Encoder models (BERT) need none."""
    max_tokens: PositiveInt = 64
    """Of longer texts the beginning is read."""
    objective: Annotated[SerializeAsAny[Objective.Config], Chosen(Objective, "next_item")] = Field(default_factory=lambda: _next_item())
    """What the vectors shall be good for."""
    warm_up_epochs: NonNegativeInt = 10
    """Passes in which what stands on the vectors learns alone, on the frozen ones, before the language model does."""
    warm_up_rate: NonNegativeFloat = 1e-3
    """Learning rate of these."""
    places: PositiveInt = 4096
    """Padded tokens in one pass through the blocks that learn; lower it if memory runs out."""
    cache_gb: NonNegativeFloat = 4.0
    """The most that hidden states of the frozen blocks may take on disk (below GENRE_CACHE or ~/.cache/genre); texts beyond it, the rarest,
    run through the frozen blocks at every step. 0 keeps none."""
    cache_precision: Literal["float16", "float32"] = "float16"
    """Of what is kept."""
    epochs: NonNegativeInt = 3
    """Passes over the data at most; without validation, exactly. 0 leaves the model frozen, its vectors whitened."""
    patience: PositiveInt = 1
    """Stop after this many epochs without a better validation figure; the best weights are kept."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    """Of AdamW, after the warm-up."""
    warmup_steps: NonNegativeInt = 20
    """The learning rate rises from zero over this many steps."""

    @model_validator(mode="after")
    def _can_be(self, info: ValidationInfo) -> FinetuneConfig:
        if self.layer == 0 or (isinstance(self.layer, float) and not 0 < self.layer <= 1):
            raise ValueError("layer: a layer's number (1 is the lowest, -1 the last) or a fraction above 0, at most 1")
        if self.model == "finetune":
            raise ValueError("model: finetune cannot start from itself; name a model, or pretrain")
        check(self.model, info)
        return self


def _next_item() -> Objective.Config:
    from genre.llm.next_item import NextItemObjective

    return NextItemObjective.Config()
