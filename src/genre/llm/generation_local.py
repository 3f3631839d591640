"""Generation in this process: a causal model of transformers, several requests in one batch, cached keys and values, a token trie."""

# B requests of a batch, T tokens

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PositiveInt

from genre.llm.decoding import Row, decode
from genre.llm.form import Form, Letters, blanks
from genre.llm.generation import Choices, Completion, Failure, Generator, Request
from genre.llm.model_files import files_of
from genre.llm.reading_settings import ReadsModel
from genre.llm.trie import TokenTrie

if TYPE_CHECKING:
    from genre.llm.backbone import Backbone


class LocalGenerator(Generator):
    """Any causal model that `genre.llm.backbone` reads. With `choices` it can answer nothing else; a schema of texts is a form."""

    class Config(ReadsModel, Generator.Config):  # in this order: it says more of `model`
        use: str = "local"
        max_prompt_tokens: PositiveInt = 1024
        """Of a longer question the middle is left out."""

        def files(self) -> tuple[Path, ...]:
            """See Generator.Config.files."""
            return files_of(self.model)

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._kept: tuple[str, TokenTrie] | None = None

    def identity(self) -> dict[str, Any]:
        """The model by name, and how much of a question it reads."""
        return super().identity() | {"max_prompt_tokens": self.config.max_prompt_tokens}

    @cached_property
    def backbone(self) -> Backbone:
        """The model, loaded when it is first needed.

        Raises:
            ValueError: it does not write text.
        """
        from genre.llm.backbone import load_backbone

        backbone = load_backbone(self.config.model, head=True, device=self.config.device, precision=self.config.precision)
        if backbone.kind != "causal":
            raise ValueError(f"generator local: {self.config.model} is a masked model, which cannot write; take a causal one")
        return backbone

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion | Failure]]:
        """See Generator.generate; requests of similar length share a batch, and what one is answered does not depend on the others."""
        tokens = [self.tokens(request) for request in requests]
        order = sorted(range(len(requests)), key=lambda place: len(tokens[place]))
        for start in range(0, len(order), self.config.batch_size):
            batch = order[start : start + self.config.batch_size]
            yield from zip(batch, self._write([requests[place] for place in batch], [tokens[place] for place in batch]), strict=True)

    def tokens(self, request: Request) -> list[int]:
        """A question as tokens, in the model's own chat format where it has one, up to where the answer begins."""
        tokenizer, prompt = self.backbone.tokenizer, request.prompt
        system, user = (self._inert(text) for text in (prompt.system, prompt.user))
        if tokenizer.chat_template:
            ids = tokenizer(self._chat(system, user) + request.opening, add_special_tokens=False)["input_ids"]
        else:
            ids = tokenizer(f"{system}\n\n{user}\n{request.opening}", add_special_tokens=True)["input_ids"]
        most = min(self.config.max_prompt_tokens, self.backbone.limit - request.max_tokens)
        if most < 2:
            raise ValueError(
                f"generator local: {self.config.model} reads {self.backbone.limit} tokens, an answer alone may have {request.max_tokens}"
            )
        return list(ids) if len(ids) <= most else [*ids[: most // 2], *ids[len(ids) - (most - most // 2) :]]

    def _chat(self, system: str, user: str) -> str:
        """Both parts in the model's chat format."""
        from jinja2 import TemplateError

        chat = self.backbone.tokenizer.apply_chat_template
        messages = [{"role": role, "content": text} for role, text in (("system", system), ("user", user)) if text]
        try:
            return str(chat(messages, tokenize=False, add_generation_prompt=True))
        except TemplateError:  # some formats know no system message
            return str(chat([{"role": "user", "content": f"{system}\n\n{user}"}], tokenize=False, add_generation_prompt=True))

    def _inert(self, text: str) -> str:
        """A text in which nothing reads as one of the tokenizer's control tokens: none of them may come from data."""
        controls = [token.content for token in self.backbone.tokenizer.added_tokens_decoder.values() if token.special]
        while any(token in text for token in controls):
            for token in controls:
                text = text.replace(token, " ")
        return text

    def _write(self, requests: Sequence[Request], tokens: Sequence[list[int]]) -> Iterator[Completion]:
        """Answers to one batch."""
        from genre.llm.memory import advice

        began, ends = time.perf_counter(), self._ends()
        tokenizer = self.backbone.tokenizer
        rows = [Row(request, ends, tokenizer, self._trie(request.choices, min(ends)), self._form(request)) for request in requests]
        with advice("generator local", "batch_size or max_prompt_tokens"):
            decode(self.backbone, tokens, rows)
        seconds = (time.perf_counter() - began) / len(requests)
        for row, prompt in zip(rows, tokens, strict=True):
            yield Completion(row.text, len(prompt), len(row.written), seconds)

    def _ends(self) -> set[int]:
        """Tokens that end an answer.

        Raises:
            ValueError: the model has none.
        """
        said = self.backbone.model.generation_config.eos_token_id
        found = {self.backbone.tokenizer.eos_token_id, *(said if isinstance(said, list) else [said])} - {None}
        if not found:
            raise ValueError(f"generator local: {self.config.model} has no token that ends a text (eos_token), so it would never stop")
        return {int(token) for token in found}

    def _form(self, request: Request) -> Form | None:
        """What there is to be filled in, if the schema is of texts and lists of texts; any other is checked when it is written."""
        fields = blanks(request.schema) if request.schema else None
        return Form(fields, self._letters, request.max_tokens) if fields else None

    @cached_property
    def _letters(self) -> Letters:
        return Letters(self.backbone.tokenizer, int(self.backbone.model.config.vocab_size))

    def _trie(self, choices: Choices | None, end: int) -> TokenTrie | None:
        """The trie of some choices, each of them with the token that ends it; the last one is kept."""
        if choices is None:
            return None
        if self._kept is None or self._kept[0] != choices.digest:
            rows = self.backbone.tokenizer(list(choices.texts), add_special_tokens=False)["input_ids"]
            self._kept = choices.digest, TokenTrie([*row, end] for row in rows if row)
        return self._kept[1]
