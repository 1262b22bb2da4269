"""The search that ends every session finds what it looks for, wherever a Headroom could have written it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import canaries
from tests.proxy.faces import anthropic_turns, invoices, rows

KEY = "hr-" + "k" * 43
TEXTS = {"key": KEY, "prompt": anthropic_turns(1)[0]["content"], "output": rows(3), "invoices": invoices(3)}


@pytest.fixture
def outside() -> Iterator[Path]:
    """A folder that the search at the end of this session does not see."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["fine", KEY]),
        pa.array(["fine", KEY]).dictionary_encode(),
        pa.array([["fine"], [KEY]]),
        pa.array([[{"name": KEY, "value": 1}], []]),
        pa.array([[(KEY, 1)], []], pa.map_(pa.string(), pa.int64())),
    ],
    ids=["text", "dictionary", "list", "counts", "map"],
)
def test_a_canary_in_parquet_is_found(outside: Path, column: pa.Array) -> None:
    home = outside / "home"
    (home / "stats" / "outcomes").mkdir(parents=True)
    pq.write_table(pa.table({"c": column}), home / "stats" / "outcomes" / "x.parquet")
    assert len(canaries.leaks([outside], set())) == 1


@pytest.mark.parametrize("place", ["home/worker.log", "home/stats/journal/1.jsonl", "home/stats/summary.json", "requests.jsonl"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_canary_in_a_file_is_found(outside: Path, place: str, text: str) -> None:
    (outside / "home" / "stats" / "journal").mkdir(parents=True)
    (outside / "home" / "store.sqlite").write_text(text)
    (outside / "input.jsonl").write_text(text)
    assert canaries.leaks([outside], set()) == []
    (outside / place).write_text(f"before {text} behind")
    assert len(canaries.leaks([outside], {f"500 {text}"})) == 2
