"""What a ledger has on its disk, read without it."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq

from headroom.stats.journal import files


def in_parquet(home: Path) -> list[str]:
    """Event ids; every file is opened in DuckDB, pandas and pyarrow."""
    found: list[str] = []
    for file in sorted((home / "stats").rglob("*.parquet")):
        table = pq.ParquetFile(file).read()
        assert len(table) == len(pd.read_parquet(file)) == duckdb.sql(f"select count(*) from '{file}'").fetchall()[0][0]
        found += table.column("event_id").to_pylist() if "outcomes" in file.parts else []
    return found


def on_its_way(home: Path) -> set[str]:
    """Event ids that are in no Parquet file yet; a file that goes away meanwhile stands in the next place."""
    found: set[str] = set()
    for place in ("outbox", "journal"):
        for file in files(home / "stats" / place):
            try:
                lines = file.read_bytes().splitlines(keepends=True)
            except FileNotFoundError:
                continue
            found |= {json.loads(line)["event_id"] for line in lines if line.endswith(b"\n")}
    return found
