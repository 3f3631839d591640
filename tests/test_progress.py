"""Progress bars: whose they are."""

from __future__ import annotations

import pytest

from genre import progress
from genre.progress import about, track


def test_a_bar_says_for_whom_it_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    monkeypatch.setenv("GENRE_PROGRESS", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with about("hybrid"):
        assert list(track([1, 2], "training")) == [1, 2]
    list(track([1], "reading"))
    bars = capsys.readouterr().err
    assert "hybrid: training" in bars
    assert "reading" in bars and "hybrid: reading" not in bars
