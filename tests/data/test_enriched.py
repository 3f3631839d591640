from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genre.data.enriched import SYNTHETIC, as_asked, names_summaries, read_synthetic, with_summaries, with_synthetic, with_text
from genre.types import Histories

HISTORIES = Histories.of([[5, 6], [], [7]], [[100.0, 200.0], [], [300.0]])
IMAGINED = Histories.of([[1], [2, 3], [4, 8]])


def test_histories_begin_with_what_was_imagined_as_old_as_the_first_real_event() -> None:
    longer = with_synthetic(HISTORIES, IMAGINED)
    assert [longer.items(b).tolist() for b in range(3)] == [[1, 5, 6], [], [4, 8, 7]]
    assert [longer.times(b).tolist() for b in range(3)] == [[100, 100, 200], [], [300, 300, 300]]
    assert np.array_equal(longer.now_B, HISTORIES.now_B, equal_nan=True)


def test_queries_are_of_whom_they_are_said_to_be() -> None:
    asked = with_synthetic(Histories.of([[9], [9]]), IMAGINED, np.array([2, 0]))
    assert [asked.items(b).tolist() for b in range(2)] == [[4, 8, 9], [1, 9]]
    assert np.isnan(asked.time_E).all()
    with pytest.raises(ValueError, match="2 histories, synthetic events of 3 users; name whose they are"):
        with_synthetic(Histories.of([[9], [9]]), IMAGINED)


def test_nothing_imagined_leaves_everything_as_it_is() -> None:
    same = with_synthetic(HISTORIES, Histories.of([[], [], []]))
    assert same.item_idx_E.tolist() == HISTORIES.item_idx_E.tolist() and same.offsets.tolist() == HISTORIES.offsets.tolist()


def test_synthetic_interactions_are_read_by_user_and_only_with_their_flag(tmp_path: Path) -> None:
    rows = pl.DataFrame({"user_idx": [2, 0, 2], "item_idx": [4, 1, 8], "event": "synthetic", "synthetic": True})
    assert read_synthetic(tmp_path, 3).lengths.tolist() == [0, 0, 0]
    rows.write_parquet(tmp_path / SYNTHETIC)
    synthetic = read_synthetic(tmp_path, 4)
    assert [synthetic.items(b).tolist() for b in range(4)] == [[1], [], [4, 8], []]
    queries = Histories.of([[9]])
    assert as_asked(queries, np.array([2]), 4, tmp_path).items(0).tolist() == [4, 8, 9]
    assert as_asked(queries, np.array([2]), 4, None) is queries
    rows.with_columns(synthetic=pl.col("item_idx") != 8).write_parquet(tmp_path / SYNTHETIC)
    with pytest.raises(ValueError, match="not flagged as synthetic"):
        read_synthetic(tmp_path, 4)


def test_templates_read_summaries_where_there_are_any() -> None:
    items = pl.DataFrame({"item_idx": [0, 1], "title": ["Alien", "Ran"], "summary": ["of the catalogue", "itself"]})
    written = pl.DataFrame({"item_idx": [1], "llm_summary": ["a war"], "llm_keywords": [["war", "king"]]})
    found = with_text(with_summaries(items, written), "{title}[. {llm_summary}][ ({llm_keywords})]. {summary}")
    assert found["text"].to_list() == ["Alien. of the catalogue", "Ran. a war (war, king). itself"]
    assert with_text(with_summaries(items, None), "{title}[. {llm_summary}]")["text"].to_list() == ["Alien", "Ran"]
    assert with_text(items, "{title}[. {llm_summary}]")["text"].to_list() == ["Alien", "Ran"]
    assert names_summaries("{title} {llm_keywords}") and not names_summaries("{title} {summary}") and not names_summaries(None)
