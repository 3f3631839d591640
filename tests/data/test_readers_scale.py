"""Ten million rows are read in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROWS = 10_000_000
WRITE = """
import sys
import numpy as np, polars as pl
rng = np.random.default_rng(0)
with open(sys.argv[1], "wb") as out:
    for start in range(0, int(sys.argv[2]), 500_000):
        n = 500_000
        row = np.arange(start, start + n)
        user = pl.Series(rng.integers(1_000_000, size=n)).cast(pl.String).str.zfill(7)
        item = pl.Series(rng.integers(200_000, size=n)).cast(pl.String)
        user = user.set(pl.Series(row % 1000 == 0), "")
        frame = pl.DataFrame({"user": user, "item": item, "time": 1_600_000_000_000 + row * 1000, "price": rng.random(n)})
        frame.write_csv(out, include_header=start == 0)
"""
READ = """
import json, resource, sys, time
from pathlib import Path
import polars as pl
from genre.component import build
from genre.data.readers import Reader
columns = {"user": "user", "item": "item", "time": "time", "value": "price"}
reader = build(Reader, {"use": "files", "events": sys.argv[1], "columns": columns})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
tables = reader.read(Path(sys.argv[2]))
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
events = tables.events.select(pl.len()).collect().item()
first = tables.rejected.row(1)
json.dump({"seconds": seconds, "before_mb": before / 1e3, "peak_mb": peak / 1e3, "events": events, "rejected": len(tables.rejected),
           "row": first[1], "reason": first[2]}, sys.stdout)
"""


@pytest.mark.slow
def test_ten_million_rows_under_two_gigabytes(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    file = tmp_path / "events.csv"
    subprocess.run([sys.executable, "-c", WRITE, str(file), str(ROWS)], check=True, cwd=tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(file), str(tmp_path / "scratch")], check=True, cwd=tmp_path, capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    for name, value in found.items():
        record_property(name, value)
    assert found["events"] == ROWS - ROWS // 1000
    assert (found["rejected"], found["row"], found["reason"]) == (ROWS // 1000, 1001, "user (the user) is blank")
    assert found["peak_mb"] < 2000, found
