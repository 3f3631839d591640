"""What a trained sequence model is reduced to: item vectors, the tower that reads a history, and how content becomes a vector."""

# B queries, D embedding, N items, M new items, S items seen in training, F content dimensions

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from genre.rankers.transformer import NextItem, projection
from genre.tower import Tower, read_last
from genre.types import Histories, Ints

QUERIES_AT_ONCE = 512


class Scorer(nn.Module):
    """Dot products of item vectors with the tower's reading of a history, always in float32."""

    items_ND: Tensor
    known_N: Tensor

    def __init__(self, tower: Tower, project: nn.Sequential | None, items_ND: Tensor, known_N: Tensor) -> None:
        super().__init__()
        self.tower, self.project = tower, project
        self.register_buffer("items_ND", items_ND)
        self.register_buffer("known_N", known_N)

    @classmethod
    @torch.inference_mode()
    def after_training(cls, model: NextItem, seen_S: Ints, content_NF: npt.NDArray[np.float32] | None, n_items: int) -> Scorer:
        """The vectors of all items from a model in evaluation mode: items without a click by their content alone, else unknown."""
        device = model.tower.unknown_D.device
        items_ND = torch.zeros(n_items, len(model.tower.unknown_D), device=device)
        known_N = torch.full((n_items,), content_NF is not None, device=device)
        seen = torch.from_numpy(seen_S).to(device)
        items_ND[seen], known_N[seen] = model.items(), True
        project = model.items.read_content()
        if content_NF is not None and project is not None:
            fresh = np.setdiff1d(np.arange(n_items), seen_S)
            items_ND[torch.from_numpy(fresh).to(device)] = project(torch.from_numpy(content_NF[fresh]).to(device))
        return cls(model.tower, project, items_ND, known_N).eval()

    @classmethod
    def from_state(cls, tower: Tower, state: Mapping[str, npt.NDArray[np.generic]]) -> Scorer:
        """From what `state_dict` gave."""
        tensors = {name: torch.from_numpy(array) for name, array in state.items()}
        width = tensors["project.0.weight"].shape[1] if "project.0.weight" in tensors else None
        project = None if width is None else projection(width, tensors["items_ND"].shape[1])
        found = cls(tower, project, tensors["items_ND"].clone(), tensors["known_N"].clone())
        found.load_state_dict(tensors)
        return found.eval()

    @torch.no_grad()
    def begin(self, model: NextItem, earlier_S: Tensor) -> None:
        """Give a new model these weights: the opposite of `after_training`.

        Items of both catalogues keep their vectors to the last digits, whatever their content says today: their own part takes up the
        difference. New items stay as they are.

        Args:
            earlier_S: where the model's items stand in this catalogue; -1 where they do not.
        """
        model.tower.load_state_dict(self.tower.state_dict())
        items = model.items
        if self.project is not None and items.project is not None and self.project[0].weight.shape == items.project[0].weight.shape:
            items.project.load_state_dict(self.project.state_dict())
            first = items.project[0]
            assert isinstance(first, nn.Linear)
            first.weight.div_(items.scale)
        both = (earlier_S >= 0) & self.known_N[earlier_S]
        vectors_ED = self.items_ND[earlier_S[both]]
        if items.project is not None and items.content_NF is not None:
            vectors_ED = vectors_ED - items.project(items.content_NF[both])
        items.ids.weight[both] = vectors_ED

    @torch.inference_mode()
    def extend(self, content_MF: npt.NDArray[np.float32] | None, m: int) -> None:
        """Add items: by their content where the model reads content, else as items that nobody knows."""
        rows_MD = torch.zeros(m, self.items_ND.shape[1], device=self.items_ND.device)
        if self.project is not None:
            if content_MF is None or len(content_MF) != m:
                raise ValueError(f"{m} new items need as many rows of content, got {0 if content_MF is None else len(content_MF)}")
            rows_MD = self.project(torch.from_numpy(content_MF).to(rows_MD.device))
        self.items_ND = torch.cat([self.items_ND, rows_MD])
        self.known_N = torch.cat([self.known_N, torch.full((m,), self.project is not None, device=rows_MD.device)])

    @torch.inference_mode()
    def score(self, queries: Histories) -> npt.NDArray[np.float32]:
        """Scores (B, N), a few queries at a time. An empty history is read as one unknown entry; an unknown item comes below all others."""
        found_BN = np.empty((len(queries), len(self.items_ND)), np.float32)
        for rows, user_BD in self._read(queries):
            part_BN = user_BD @ self.items_ND.T
            if not bool(self.known_N.all()):
                lowest_B1 = part_BN[:, self.known_N].amin(1, keepdim=True) if bool(self.known_N.any()) else part_BN[:, :1]
                part_BN = torch.where(self.known_N, part_BN, lowest_B1 - 1)
            found_BN[rows] = part_BN.cpu().numpy()
        return found_BN

    @torch.inference_mode()
    def user_vectors(self, queries: Histories) -> npt.NDArray[np.float32]:
        """What the tower makes of each history, shape (B, D), a few at a time."""
        found_BD = np.empty((len(queries), self.items_ND.shape[1]), np.float32)
        for rows, user_BD in self._read(queries):
            found_BD[rows] = user_BD.cpu().numpy()
        return found_BD

    def _read(self, queries: Histories) -> Iterator[tuple[Ints, Tensor]]:
        """What the tower makes of a few histories at a time, and which they are: neighbours of like length hold little padding."""
        by_length = np.argsort(queries.lengths, kind="stable")
        for start in range(0, len(by_length), QUERIES_AT_ONCE):
            rows = by_length[start : start + QUERIES_AT_ONCE]
            yield rows, read_last(self.tower, self.items_ND, self.known_N, queries.take(rows))
