"""The network behind `sequential`: item vectors beside the tower that reads a history, and the loss of both."""

# B rows, L entries of a row, T real places of all rows, D embedding, N items, U some items, K negatives, F content dimensions

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from genre.losses import draw_negatives, full_softmax, sampled_softmax
from genre.rankers.adversary import Adversary, adversarial_losses
from genre.tower import Tower
from genre.windows import Batch


class ItemVectors(nn.Module):
    """What an item is to the model: a learned vector of its own beside what a small network makes of its content."""

    content_NF: Tensor | None

    def __init__(self, dim: int, content_NF: Tensor | None, n_items: int, id_dropout: float = 0.0, sparse: bool = False) -> None:
        super().__init__()
        self.id_dropout = id_dropout
        self.ids = nn.Embedding(n_items, dim, sparse=sparse)
        nn.init.normal_(self.ids.weight, std=0.02)
        self.project = None if content_NF is None else projection(content_NF.shape[1], dim)
        # Whatever an encoder's units, each dimension enters with a variance near one: shorter vectors learn far more slowly.
        scale = 1.0 if content_NF is None else unit_variance(content_NF)
        self.scale = scale
        self.register_buffer("content_NF", None if content_NF is None else content_NF * scale, persistent=False)

    def forward(self, item_U: Tensor | None = None) -> Tensor:
        """Vectors (U, D) of some of the items; of all where none are named.

        In training an item's own vector is left out now and then, so that the content learns to stand alone: that is how an item without
        clicks is scored.
        """
        vectors_UD: Tensor = self.ids.weight if item_U is None else self.ids(item_U)
        if self.project is None or self.content_NF is None:
            return vectors_UD
        if self.training and self.id_dropout:
            vectors_UD = vectors_UD * (torch.rand(len(vectors_UD), 1, device=vectors_UD.device) >= self.id_dropout)
        projected_UD: Tensor = self.project(self.content_NF if item_U is None else self.content_NF[item_U])
        return vectors_UD + projected_UD

    def read_content(self) -> nn.Sequential | None:
        """The network from content in the encoder's own units to item vectors; None without content."""
        if self.project is None:
            return None
        found = copy.deepcopy(self.project)
        first = found[0]
        assert isinstance(first, nn.Linear)
        first.weight.data.mul_(self.scale)
        return found


def unit_variance(content_NF: Tensor) -> float:
    """What makes the mean square of all entries 1; 1 where all are 0."""
    mean_square = float(content_NF.double().square().mean())
    return 1 / mean_square**0.5 if mean_square else 1.0


def projection(content_dim: int, dim: int) -> nn.Sequential:
    """From content to item vectors."""
    out = nn.Linear(2 * dim, dim)
    nn.init.normal_(out.weight, std=0.08 / (2 * dim) ** 0.5)  # about as long as a fresh learned vector
    nn.init.zeros_(out.bias)
    return nn.Sequential(nn.Linear(content_dim, 2 * dim), nn.GELU(), out)


class NextItem(nn.Module):
    """Item vectors and tower together, with the loss of a batch of windows; indices count the items seen in training."""

    def __init__(self, items: ItemVectors, tower: Tower, adversary: Adversary | None = None) -> None:
        super().__init__()
        self.items, self.tower, self.adversary = items, tower, adversary

    def full_loss(self, batch: Batch) -> Tensor:
        """Against every item."""
        input_BL, target_T, real_BL = self._to_device(batch)
        items_ND = self.items()
        return full_softmax(self._hidden(items_ND, input_BL, real_BL), items_ND, target_T)

    def sampled_loss(self, batch: Batch, chance_N: Tensor, draws: int, adversarial: float = 0.0, picks: int = 0) -> Tensor:
        """Against shared negatives; only the vectors of items that occur are made.

        Args:
            adversarial: weight of the loss against those `picks` of them that the adversary chooses for each position.
        """
        input_BL, target_T, real_BL = self._to_device(batch)
        negative_K, hit_T, inclusion_K = draw_negatives(target_T, chance_N, draws)
        item_U, place = torch.unique(torch.cat([input_BL.flatten(), target_T, negative_K]), return_inverse=True)
        items_UD = self.items(item_U)
        input_P, positive_T, place_K = place.split([input_BL.numel(), len(target_T), len(negative_K)])
        hidden_TD = self._hidden(items_UD, input_P.view(input_BL.shape), real_BL)
        positive_TD, negative_KD = items_UD.index_select(0, positive_T), items_UD.index_select(0, place_K)
        loss = sampled_softmax(hidden_TD, positive_TD, negative_KD, hit_T, inclusion_K)
        if self.adversary is None or not adversarial:
            return loss
        logit_TK = self.adversary(hidden_TD, negative_K)
        ranking, generating = adversarial_losses(logit_TK, hidden_TD, positive_TD, negative_KD, hit_T, picks)
        return loss + adversarial * ranking + generating

    def _to_device(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        device = self.tower.unknown_D.device
        target_T = batch.target_BL[batch.real_BL]
        return (
            torch.from_numpy(batch.input_BL).to(device), torch.from_numpy(target_T).to(device), torch.from_numpy(batch.real_BL).to(device),
        )  # fmt: skip

    def _hidden(self, items_UD: Tensor, input_BL: Tensor, real_BL: Tensor) -> Tensor:
        vectors_BLD = items_UD.index_select(0, input_BL.flatten()).view(*input_BL.shape, -1)
        hidden_BLD: Tensor = self.tower(vectors_BLD, torch.ones_like(real_BL))
        return hidden_BLD.flatten(0, 1) if bool(real_BL.all()) else hidden_BLD[real_BL]
