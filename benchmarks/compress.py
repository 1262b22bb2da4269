"""How fast compression is, cold and warm apart, per kind and size: `make bench`.

Without options: in this process, on generated texts. Cold is a text never seen before, from the
request's bytes to the forwarded bytes, its original stored; warm is the same request again. The
figures are medians over several texts.

With --url: `POST /v1/compress` of every conversation of --data, the first call and its repeats
apart. The server must start with an empty store and `--no-rate-limit`. With --peer the two servers
take turns, conversation by conversation, so that both see the same machine.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import generated, over_http
from headroom.dialects import OPENAI_CHAT
from headroom.store.sqlite import SqliteStore
from tests.forwarding import Face

SIZES = (10_000, 100_000, 1_000_000)
ROWS_GOALS = {1_000: 40.0, 5_000: 200.0}  # rows -> CPU ms cold
MODEL = "gpt-4o"
_WIDTH = 130  # of the widest table; a narrower terminal wraps lines, not words


@dataclass(frozen=True, slots=True)
class Case:
    """One kind and size: so many rows of JSON, or about so many bytes; `asked_again` says that a second question follows."""

    kind: str
    rows: int = 0
    size: int = 0
    goal_ms: float = 0.0
    asked_again: bool = False

    @property
    def title(self) -> str:
        amount = f"{self.rows:,} rows" if self.rows else f"{self.size // 1000:,} KB"
        return f"{self.kind}, {amount}{', recall' if self.asked_again else ''}"

    def text(self, seed: str) -> str:
        return generated.rows(self.rows, seed) if self.rows else generated.text(self.kind, self.size, seed)


@dataclass(frozen=True, slots=True)
class Timing:
    """Medians over the runs; times in ms. `goal_ms` is for the cold CPU time, 0 where there is none."""

    case: str
    bytes: int
    tokens_before: int
    tokens_after: int
    cold_cpu_ms: float
    cold_ms: float
    warm_cpu_ms: float
    warm_ms: float
    result: str
    goal_ms: float


CASES = (
    *(Case("json", rows=rows, goal_ms=goal) for rows, goal in ROWS_GOALS.items()),
    *(Case(kind, size=size) for kind in generated.KINDS for size in SIZES),
    *(Case(kind, size=SIZES[1], asked_again=True) for kind in ("json", "nested json", "log")),
)


def in_process(runs: int) -> list[Timing]:
    """Every case, in one store and with the code of every kind already loaded."""
    with tempfile.TemporaryDirectory() as directory:
        store = SqliteStore(Path(directory) / "store.sqlite", ttl_s=3600, max_bytes=10**9)
        try:
            for kind in generated.KINDS:
                Face(OPENAI_CHAT, store).body(_request(kind, generated.text(kind, SIZES[0] // 2, "first")))
            progress = track(CASES, "in process", console=Console(stderr=True), transient=True)
            return [_timing(case, store, runs) for case in progress]
        finally:
            store.close()


def _request(kind: str, output: str, asked_again: bool = False) -> bytes:
    return json.dumps({"model": MODEL, "messages": generated.conversation(kind, output, asked_again)}).encode()


def _timing(case: Case, store: SqliteStore, runs: int) -> Timing:
    cold: list[tuple[float, float]] = []
    warm: list[tuple[float, float]] = []
    for run in range(runs):
        face = Face(OPENAI_CHAT, store)
        raw = _request(case.kind, case.text(str(run)), case.asked_again)
        cold.append(_clocked(face.body, raw))
        warm.append(_clocked(face.body, raw))
        (result, *_) = face.known.values()
    return Timing(
        case.title,
        len(raw),
        result.tokens_before,
        result.tokens_after,
        *_medians(cold),
        *_medians(warm),
        result=result.transform or f"kept: {result.reason}",
        goal_ms=case.goal_ms,
    )


def _clocked(work: Callable[[bytes], object], raw: bytes) -> tuple[float, float]:
    """CPU and wall milliseconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    work(raw)
    return 1000 * (time.process_time() - cpu), 1000 * (time.perf_counter() - wall)


def _medians(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    cpu, wall = zip(*pairs, strict=True)
    return median(cpu), median(wall)


def _table(timings: Sequence[Timing]) -> Table:
    table = Table(title="Compression in process", caption="cold: never seen before; warm: the same request again")
    table.add_column("tool output", no_wrap=True)
    for head in ("KB", "cold CPU ms", "goal", "cold ms", "MB/s", "warm CPU ms", "warm ms", "tokens", "after"):
        table.add_column(head, justify="right")
    table.add_column("result", no_wrap=True)
    for timing in timings:
        met = timing.cold_cpu_ms < timing.goal_ms
        table.add_row(
            timing.case,
            f"{timing.bytes / 1000:,.0f}",
            f"{timing.cold_cpu_ms:.1f}",
            f"[{'green' if met else 'red'}]< {timing.goal_ms:.0f}[/]" if timing.goal_ms else "",
            f"{timing.cold_ms:.1f}",
            f"{timing.bytes / 1000 / timing.cold_ms:.1f}",
            f"{timing.warm_cpu_ms:.2f}",
            f"{timing.warm_ms:.2f}",
            f"{timing.tokens_before:,}",
            f"{timing.tokens_after:,}",
            timing.result,
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="texts per case, or repeats per conversation over HTTP (default 5)")
    parser.add_argument("--url", help="a running server, e.g. http://127.0.0.1:8787")
    parser.add_argument("--peer", help="a second server to be compared with")
    parser.add_argument("--data", type=Path, help="a .jsonl file of conversations, or a directory of them; needed with --url")
    parser.add_argument("--limit", type=int, help="at most so many conversations, evenly from all files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    arguments = parser.parse_args()
    report: dict[str, Any]
    if arguments.url:
        if not arguments.data:
            parser.error("--url needs --data")
        urls = [url for url in (arguments.url, arguments.peer) if url]
        samples = over_http.measure(urls, arguments.data, max(1, arguments.runs), arguments.limit, MODEL)
        tables, report = over_http.report(samples, urls)
    else:
        timings = in_process(max(1, arguments.runs))
        tables, report = [_table(timings)], {"in_process": [asdict(timing) for timing in timings]}
    console = Console()
    console.width = max(console.width, _WIDTH)
    for table in tables:
        console.print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
