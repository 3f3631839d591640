"""A gymnasium environment: one visitor at a time; an action is a slate, the reward its clicks, the end when the visitor leaves."""

# S places of a slate, L entries of a history

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from genre.simulation.users import PAD, Users, Visit

Observation = npt.NDArray[np.int64]


class RecommenderEnv(gymnasium.Env[Observation, npt.NDArray[np.int64]]):
    """What is observed are the newest entries of the visitor's history, oldest first, with -1 before the first.

    Registered agents of any library can be trained in it; `rollout.play` serves many visitors at once, and is faster.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012 (gymnasium reads it so)

    def __init__(self, users: Users, slate: int = 5, history: int = 20, horizon: int = 30, render_mode: str | None = None) -> None:
        """An environment over a population.

        Args:
            slate: places of an action.
            history: entries of an observation.
            horizon: slates after which an episode is cut off, if the visitor has not left.
        """
        if slate < 1 or history < 1 or horizon < 1:
            raise ValueError(f"slate, history and horizon must be at least 1, got {slate}, {history} and {horizon}")
        self.users, self.horizon, self.render_mode = users, horizon, render_mode
        self.action_space = spaces.MultiDiscrete(np.full(slate, users.n_items))
        self.observation_space = spaces.Box(PAD, users.n_items - 1, (history,), np.int64)
        self._visit: Visit | None = None
        self._shown = 0
        self._last = ""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """A new visitor."""
        super().reset(seed=seed)
        self._visit, self._shown, self._last = self.users.arrive(1, self.np_random), 0, "a visitor arrives"
        return self._observation(), {}

    def step(self, action: npt.NDArray[np.int64]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Show a slate; `info` says which places were clicked.

        Raises:
            RuntimeError: nobody is there: call reset first.
        """
        if self._visit is None:
            raise RuntimeError("nobody is there: call reset() before step()")
        answer = self._visit.answer(np.asarray(action)[None], self.np_random)
        self._shown += 1
        clicked_S = answer.clicked_BS[0]
        left = bool(answer.left_B[0])
        self._last = f"shown {np.asarray(action).tolist()}, clicked {np.asarray(action)[clicked_S].tolist()}{', left' if left else ''}"
        truncated = not left and self._shown >= self.horizon
        observation = self._observation()
        if left or truncated:
            self._visit = None
        return observation, float(clicked_S.sum()), left, truncated, {"clicked": clicked_S}

    def render(self) -> str | None:
        """The last slate in words, with `render_mode="ansi"`."""
        return self._last if self.render_mode == "ansi" else None

    def _observation(self) -> Observation:
        assert self._visit is not None
        assert self.observation_space.shape is not None
        size = self.observation_space.shape[0]
        newest = self._visit.histories().items(0)[-size:]
        return np.concatenate([np.full(size - len(newest), PAD), newest]).astype(np.int64)
