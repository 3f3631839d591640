"""A head: a policy that learns while it serves, how far it has learnt, and what it is saved as."""

# K candidates, S places of a list, E places of any lists, F features

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from genre.policies import Policy
from genre.policies.bandit import PLAIN, BanditPolicy
from genre.policies.learner import LEARNT, learner_of, space_of
from genre.serving.contract import Noted
from genre.types import Bools, Candidates, Floats, Ints, Slate


@dataclass(frozen=True)
class Learnt:
    """How far a head has followed the logs.

    Attributes:
        exposures, events: the last line of each log that it has seen.
        waiting: lines before that, of events whose list is not in the log yet.
    """

    exposures: int = 0
    events: int = 0
    waiting: tuple[int, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """Places of one list.

    Attributes:
        features_EF: what they were chosen by; `space` says what these mean.
        reward_E: what they earned; `shown`: that is 0, since they were only shown. Else it is added to what was shown before.
    """

    item_ids: Sequence[str]
    features_EF: Floats
    space: str
    reward_E: Floats
    shown: bool


class Head:
    """The policy of a surface, or of an experiment's arm; requests choose by it while another thread teaches it.

    Attributes:
        name: the surface and a hash of the policy's settings: whose choices are whose.
        space: what its features mean. Of lists chosen in another space (with another encoder) only what means the same in all is learnt.
        learnt: None until it was told where to begin.
        content: what the vectors of candidates mean: the same for the same encoder.
        index: where each item is in the catalogue.
        begins: where the state that it was loaded with ends.
        news: places learnt since it was last saved, at the moment `saved`.
    """

    def __init__(
        self, surface: str, policy: Policy, learner: BanditPolicy, content: str, index: Mapping[str, int], arm: bool = False
    ) -> None:
        settings = json.dumps(policy.config.model_dump(mode="json"), sort_keys=True)
        self.name = f"{surface}/{hashlib.blake2b(settings.encode(), digest_size=4).hexdigest()}"
        self.surface, self.policy, self.learner, self.content, self.index, self.arm = surface, policy, learner, content, index, arm
        self.space = space_of(learner, content)
        self.learnt: Learnt | None = None
        self.begins = Learnt()
        self.news, self.saved = 0, 0.0
        self._turn = threading.Lock()

    @classmethod
    def of(cls, surface: str, policy: Policy, content: str, index: Mapping[str, int], arm: bool = False) -> Head | None:
        """None for a policy that does not learn from single events."""
        learner = learner_of(policy)
        return None if learner is None else cls(surface, policy, learner, content, index, arm)

    def choose(self, candidates: Candidates, n: int, rng: np.random.Generator) -> Slate:
        """See Policy.select: by one state, whole."""
        with self._turn:
            return self.policy.select(candidates, n, rng)

    def noted(self, slate: Slate, item_idx_S: Sequence[int]) -> Noted | None:
        """What the items of a list were chosen by, for the log; NaN where the policy did not choose. None if it chose nothing."""
        if slate.features_nF is None:
            return None
        features_SF = np.full((len(item_idx_S), slate.features_nF.shape[1]), np.nan, "<f4")
        row = {item: at for at, item in enumerate(slate.item_idx.tolist())}
        for s, item in enumerate(item_idx_S):
            if item in row:
                features_SF[s] = slate.features_nF[row[item]]
        return Noted(self.name, self.space, features_SF.tobytes())

    def concerns(self, head: str, variant: str | None) -> bool:
        """Whether a list of this surface is to learn from: its own, and those of earlier models, but not those of other arms."""
        return head == self.name or (not self.arm and variant is None)

    def learn(self, lessons: Sequence[Lesson], learnt: Learnt) -> int:
        """Learn, and have learnt so far from then on; returns from how many places."""
        ids = [item_id for lesson in lessons for item_id in lesson.item_ids]
        item_idx_E = np.array([self.index.get(item_id, -1) for item_id in ids], np.int64)
        features_EF = np.concatenate([np.zeros((0, self._size)), *(self._read(lesson) for lesson in lessons)])
        reward_E = np.concatenate([np.zeros(0), *(lesson.reward_E for lesson in lessons)])
        shown_E: Bools = np.repeat(
            np.array([lesson.shown for lesson in lessons], bool), np.array([len(lesson.item_ids) for lesson in lessons], np.int64)
        )
        if self.learner.config.per_item:  # an item that nobody knows has no weights of its own
            known_E = item_idx_E >= 0
            item_idx_E, features_EF, reward_E, shown_E = item_idx_E[known_E], features_EF[known_E], reward_E[known_E], shown_E[known_E]
        with self._turn:
            self.learner.learn(item_idx_E, features_EF, reward_E, shown_E)
            self.learnt = learnt
        self.news += len(item_idx_E)
        return len(item_idx_E)

    def packed(self) -> tuple[Learnt, list[str], bytes]:
        """How far it is, the items that have weights of their own, and its state with those items in the place of indices."""
        with self._turn:
            state = self.learner.state()
            items, state["head_N"] = self._named()
            return self.learnt or self.begins, items, save({name: np.ascontiguousarray(array) for name, array in state.items()})

    def unpack(self, learnt: Learnt, items: Sequence[str], state: bytes) -> None:
        """Go on from there."""
        with self._turn:
            self.learner.restore(load(state))
            self._place(items)
            self.learnt = learnt

    def save(self, folder: Path) -> None:
        """As a bundle holds it: component.json and state.safetensors, and how far it has learnt."""
        with self._turn:
            whole = self.learner.head_N
            items, named = self._named()
            self.learner.head_N = np.array(named, np.int64)
            self.learner.save(folder)
            self.learner.head_N = whole
            told = asdict(self.learnt or self.begins) | {"items": items, "space": self.space}
        (folder / LEARNT).write_text(json.dumps(told) + "\n")

    def load(self, folder: Path) -> None:
        """What `save` wrote, unless that has another meaning here, or there is nothing."""
        told = json.loads((folder / LEARNT).read_text()) if (folder / LEARNT).is_file() else None
        if told is not None and told["space"] == self.space:
            self.learner.load_state(folder)
            self._place(told["items"])
            self.begins = Learnt(told["exposures"], told["events"], tuple(told["waiting"]))

    @property
    def _size(self) -> int:
        return len(self.learner.posterior.prior_F)

    def _read(self, lesson: Lesson) -> Floats:
        features_EF = np.asarray(lesson.features_EF, np.float64)
        if lesson.space == self.space:
            return features_EF
        plain_EF = np.zeros((len(features_EF), self._size))
        plain_EF[:, :PLAIN] = features_EF[:, :PLAIN]
        return plain_EF

    def _named(self) -> tuple[list[str], Ints]:
        """The items that have weights of their own, and which those are."""
        items = self.learner.items().tolist()
        id_of = {i: item_id for item_id, i in dict(self.index).items()} if items else {}
        known = [i for i in items if i in id_of]
        return [id_of[i] for i in known], self.learner.head_N[known]

    def _place(self, items: Sequence[str]) -> None:
        """Items in the place of indices."""
        heads, self.learner.head_N = self.learner.head_N, np.zeros(0, np.int64)
        item_idx = np.array([self.index.get(item_id, -1) for item_id in items], np.int64)
        head_N = np.zeros(int(item_idx.max(initial=-1)) + 1, np.int64)
        head_N[item_idx[item_idx >= 0]] = heads[item_idx >= 0]
        self.learner.head_N = head_N
