"""Replaying: lists as they would have been asked for in the past, scored by rankers that had not seen what came next."""

# U users, B queries, E entries of all histories

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genre.component import build
from genre.progress import track
from genre.rankers import Ranker
from genre.sittings import ages_E
from genre.types import GroundTruth, Histories, Training, offsets_of

log = logging.getLogger(__name__)


def held_out(histories: Histories, steps: int, sitting_seconds: float | None, repeats: bool) -> tuple[Histories, GroundTruth]:
    """Each user's last steps leave the histories and become queries, one a step; at most half of a user's steps leave.

    Args:
        steps: how many of a user's newest entries, or sittings, are held out.
        sitting_seconds: entries at most this far apart are one step, and are asked for together; None: each entry is a step.
        repeats: whether an item of the history may be a target.

    Returns:
        What is left, and the queries: the whole history before the step, asked for at the moment of its first entry.
    """
    back_E = ages_E(histories, sitting_seconds)
    owner_E = histories.owner_E()
    oldest_U = np.zeros(len(histories), np.int64)
    np.maximum.at(oldest_U, owner_E, back_E)
    out_E = back_E < np.minimum(steps, (oldest_U + 1) // 2)[owner_E]
    early = histories.only(~out_E)
    early = replace(early, now_B=_last_times(early))

    rows = np.flatnonzero(out_E)
    step_E = np.concatenate([[0], np.cumsum((owner_E[rows][1:] != owner_E[rows][:-1]) | (back_E[rows][1:] != back_E[rows][:-1]))])
    first = rows[np.searchsorted(step_E, np.arange(step_E[-1] + 1 if len(rows) else 0))]
    start = histories.offsets[owner_E[first]]
    lengths = first - start
    offsets = offsets_of(lengths)
    entries = np.arange(offsets[-1]) + np.repeat(start - offsets[:-1], lengths)
    queries = Histories(histories.item_idx_E[entries], histories.time_E[entries], offsets, histories.time_E[first])
    counts = np.bincount(step_E[: len(rows)], minlength=len(first)) if len(rows) else np.empty(0, np.int64)
    truth = GroundTruth(queries, histories.item_idx_E[rows], offsets_of(counts), owner_E[first])
    return early, truth.distinct(repeats)


def refitted(training: Training, early: Histories, names: tuple[str, ...], folder: Path) -> dict[str, Ranker]:
    """The members again, each with its own settings, fitted on the early histories only.

    A finished one is kept in the folder, so that a killed fit goes on with the next. Those that choose by validation (epochs) choose
    by the same queries as before, whose targets are in nobody's training.

    Raises:
        ValueError: a member combines others, or reads content that the training does not hand on.
    """
    found: dict[str, Ranker] = {}
    for name in track(names, "fitting members without what is replayed"):
        config = training.members[name].config
        if config.members():
            raise ValueError(f"{name} combines {', '.join(config.members())} and cannot be fitted anew: name those instead of it")
        content = training.member_content.get(name)
        if config.encoders() and content is None:
            raise ValueError(f"{name} reads {', '.join(config.encoders())}, but Training.member_content has no vectors for it")
        if (folder / name / "component.json").is_file():
            found[name] = Ranker.load(folder / name)
            continue
        found[name] = build(Ranker, config)
        again = Training(early, training.n_items, content, training.validation, training.repeats, {}, seed=training.seed)
        found[name].fit(again, folder / name)
        found[name].save(folder / name)
        log.info("%s: fitted again on %d of %d entries", name, len(early.item_idx_E), len(training.histories.item_idx_E))
    return found


def _last_times(histories: Histories) -> npt.NDArray[np.float64]:
    now_B = np.full(len(histories), np.nan)
    filled = np.flatnonzero(histories.lengths)
    now_B[filled] = histories.time_E[histories.offsets[1:][filled] - 1]
    return now_B
