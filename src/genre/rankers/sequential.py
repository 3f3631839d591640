"""Sequential: a causal transformer reads the history and predicts the next item (after SASRec, with losses that do it justice)."""

# B queries, L entries of a window, T real places of a batch, D embedding, N items, S items seen in training, F content dimensions

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from genre.component import Arrays
from genre.rankers import Ranker
from genre.successors import Successors, Target
from genre.training import Optimisation, choose_device, train
from genre.types import Bools, Histories, Ints, Training
from genre.validation import ndcg, sample
from genre.windows import Batch, Windows, cut

if TYPE_CHECKING:  # configs are read without torch
    from torch import Tensor

    from genre.rankers.scorer import Scorer
    from genre.rankers.transformer import NextItem
    from genre.tower import Tower

log = logging.getLogger(__name__)
FULL_UP_TO = 50_000
Share = Annotated[float, Field(ge=0, lt=1)]


class SequentialRanker(Ranker):
    """Scores an item by the dot product of its vector with what the transformer makes of the history."""

    class Config(Ranker.Config, Optimisation):
        use: str = "sequential"
        content: tuple[str, ...] = ()
        """Encoders whose vectors stand beside each item's learned one; none: ids only, and untouched items come last."""
        embedding_dim: PositiveInt = 128
        """Length of the item vectors."""
        layers: PositiveInt = 1
        """Transformer blocks."""
        heads: PositiveInt = 2
        """Attention heads; must divide embedding_dim."""
        max_history: PositiveInt = 50
        """How many of the newest entries are read."""
        batch_size: PositiveInt = 2048
        """History entries a step, so that a step costs the same whatever the lengths."""
        dropout: Share = 0.3
        """Within the blocks."""
        input_dropout: Share = 0.3
        """Of the vectors that enter the first block."""
        item_mask: Share = 0.2
        """Share of the entries hidden from the model while it trains."""
        id_dropout: Share = 0.1
        """With content: how often an item's learned vector is left out in training, so that content learns to stand alone."""
        target: Target = "entry"
        """What is predicted at each entry: the next entry, or an item of the next sitting, which is what lists are for where people
        buy whole baskets."""
        sitting_seconds: NonNegativeFloat | None = 0.0
        """Entries at most this far apart are one sitting, whose order is drawn anew each epoch (0: the same time stamp, a basket).
        None: each stands alone, in the order given."""
        half_life_days: PositiveFloat | None = None
        """An interaction this much older than the newest is asked for half as often in training; None asks for all alike."""
        loss: Literal["auto", "full", "sampled"] = "auto"
        """Softmax over the whole catalogue or over sampled negatives; auto: full up to 50,000 items."""
        negatives: PositiveInt = 2048
        """Draws of shared negatives a step, for the sampled loss."""
        popularity_share: Annotated[float, Field(ge=0, le=1)] = 0.5
        """How many of the negatives are drawn by popularity, the others uniformly."""
        adversarial: NonNegativeFloat = 0.0
        """For the sampled loss: weight of a second loss against negatives picked by a generator, which learns to find what the ranker takes
        for right (after IRGAN); `auto` then samples. 0 leaves it out."""
        adversarial_picks: PositiveInt = 8
        """Negatives that the generator picks for each entry, out of the step's shared ones."""
        validation_users: PositiveInt = 4000
        """Validation queries at most, drawn once by the seed."""

        @model_validator(mode="after")
        def _fits(self) -> SequentialRanker.Config:
            if self.embedding_dim % self.heads:
                raise ValueError(f"embedding_dim {self.embedding_dim} is not a multiple of heads {self.heads}")
            if self.adversarial and self.loss == "full":
                raise ValueError("adversarial picks among sampled negatives: set loss to sampled or auto")
            return self

        def encoders(self) -> tuple[str, ...]:
            """Names of the encoders whose vectors it reads."""
            return self.content

    config: Config
    begins = True
    _scorer: Scorer
    _epochs: int | None = None

    def fit(self, training: Training, folder: Path) -> None:
        """Train on every entry that has a successor; see Ranker.fit.

        Raises:
            ValueError: the config names encoders and there is no content, or the other way round.
        """
        import torch

        from genre.rankers.adversary import Adversary
        from genre.rankers.scorer import Scorer
        from genre.rankers.transformer import ItemVectors, NextItem

        config, content_NF = self.config, training.content_ND
        if bool(config.content) != (content_NF is not None):
            raise ValueError(f"content is {list(config.content)}, but the training comes {'without' if content_NF is None else 'with'} it")
        device = choose_device(config.device)
        count_N = training.counts_N()
        # Items nobody touched stay out of the softmax: as eternal negatives they would teach that what looks like them is bad.
        seen_S = np.flatnonzero(count_N)
        full = config.loss == "full" or (config.loss == "auto" and len(seen_S) <= FULL_UP_TO and not config.adversarial)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)
            content_SF = None if content_NF is None else torch.from_numpy(content_NF[seen_S])
            items = ItemVectors(config.embedding_dim, content_SF, len(seen_S), config.id_dropout, sparse=not full)
            adversary = Adversary(len(seen_S), config.embedding_dim, sparse=True) if config.adversarial else None
            model = NextItem(items, self._new_tower(), adversary)
            if training.start is not None:
                self._begin(model, training.start.ranker, torch.from_numpy(training.start.earlier_N[seen_S]))
            model = model.to(device)
        compact_N = np.zeros(training.n_items, np.int32)
        compact_N[seen_S] = np.arange(len(seen_S))
        item_E = compact_N[training.histories.item_idx_E]
        truth = training.validation
        if truth:
            truth = sample(truth, config.validation_users, np.random.default_rng(training.seed))

        successors = Successors(training.histories, item_E, config.sitting_seconds, config.target, training.repeats, config.half_life_days)

        def batches(epoch: int, rng: np.random.Generator) -> Windows:
            return Windows(successors.draw(rng), *cut(training.histories, config.max_history, rng), config.batch_size, rng)

        def loss(batch: Batch) -> Tensor:
            if full:
                return model.full_loss(batch)
            return model.sampled_loss(batch, chance_S, config.negatives, config.adversarial, config.adversarial_picks)

        def validate() -> float:
            assert truth is not None
            scorer = Scorer.after_training(model, seen_S, content_NF, training.n_items)
            return ndcg(scorer.score, truth, training.n_items, training.repeats)

        chance_S = torch.from_numpy(negative_chances(count_N[seen_S], config.popularity_share)).to(device)
        if len(batches(0, np.random.default_rng(training.seed))):  # else there is nothing to learn from
            progress = train(model, batches, loss, folder, config, validate if truth else None, training.seed, "sequential")
            if truth:
                self._epochs = progress.best_epoch + 1
        self._scorer = Scorer.after_training(model.eval(), seen_S, content_NF, training.n_items)

    def _begin(self, model: NextItem, earlier: Ranker, earlier_S: Tensor) -> None:
        """From an earlier one's weights, if they are of the same shape."""
        shape = ("embedding_dim", "layers", "heads", "max_history")
        if not isinstance(earlier, SequentialRanker) or any(getattr(earlier.config, name) != getattr(self.config, name) for name in shape):
            log.warning("what serves is of another shape (%s): beginning from chance", ", ".join(shape))
            return
        earlier._scorer.cpu().begin(model, earlier_S)

    def _new_tower(self) -> Tower:
        from genre.tower import Tower

        c = self.config
        return Tower(c.embedding_dim, c.layers, c.heads, c.max_history, c.dropout, c.input_dropout, c.item_mask)

    def chosen(self) -> dict[str, Any]:
        """How many epochs were best; known only where it was fitted with validation."""
        return {} if self._epochs is None else {"epochs": self._epochs}

    def score(self, queries: Histories) -> npt.NDArray[np.float32]:
        """Dot products; without content, items that nobody touched come below all others. See Ranker.score."""
        return self._scorer.score(queries)

    def user_vectors(self, queries: Histories) -> npt.NDArray[np.float32]:
        """What the tower makes of each history, shape (B, D): the user's state, whose dot products with `item_vectors` are the scores."""
        return self._scorer.user_vectors(queries)

    def item_vectors(self) -> npt.NDArray[np.float32]:
        """The finished item vectors, shape (N, D); zeros for items that nothing is known of."""
        return np.asarray(self._scorer.items_ND.cpu().numpy())

    def known(self) -> Bools:
        """All where content speaks for an item; else those that somebody touched."""
        found_N: Bools = self._scorer.known_N.cpu().numpy()
        return found_N

    def extend(self, content_MD: npt.NDArray[np.float32] | None, m: int) -> None:
        """New items by their content; without content they are items that nobody touched. See Ranker.extend."""
        self._scorer.extend(content_MD, m)

    def state(self) -> Arrays:
        """The tower, the projection of content, and the finished item vectors."""
        return {name: value.detach().cpu().numpy() for name, value in self._scorer.state_dict().items()}

    def restore(self, state: Arrays) -> None:
        """Take them back."""
        from genre.rankers.scorer import Scorer

        self._scorer = Scorer.from_state(self._new_tower(), state).to(choose_device(self.config.device))


def negative_chances(count_S: Ints, popularity_share: float) -> npt.NDArray[np.float64]:
    """The chance of each item in one draw: partly the same for all, partly by popularity."""
    uniform_S = np.full(len(count_S), (1 - popularity_share) / max(len(count_S), 1))
    chance_S: npt.NDArray[np.float64] = uniform_S + popularity_share * count_S / max(count_S.sum(), 1)
    return chance_S
