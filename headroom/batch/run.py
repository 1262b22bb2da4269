"""A whole batch: how its chunks are given out, when it is given up, and what it came to."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headroom.batch import chunks
from headroom.batch.plan import BatchError, Chunk, Progress, plan
from headroom.batch.work import Work
from headroom.settings import Settings

Marks = Iterator[dict[str, Any]]
_ENOUGH = 1000  # rows, to judge the share of bad ones before the end
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done: `source` and `out` are paths or URLs, `max_errors` the share of bad rows above which it is given up."""

    source: str
    out: str
    model: str = ""
    chunk_bytes: int = 8_000_000
    max_errors: float = 0.05
    resume: bool = False
    embed: bool = False  # whether each row gets the vector of what was asked last


@dataclass(frozen=True, slots=True)
class Total:
    rows: int
    errors: int
    compressed: int
    tokens_before: int
    tokens_after: int
    duplicates: int
    first_errors: tuple[str, ...]


def run(
    order: Order, settings: Settings, work: Callable[[Sequence[Chunk], Order, Settings], Marks], advance: Callable[[int, int], None]
) -> Total:
    """Do what is left of an order and sum up all of it. `advance` hears of chunks done and of all there are. Raises BatchError, OSError."""
    progress = Progress(order.out)
    made = plan(order.source, order.out, order.chunk_bytes, meant(order, settings))
    left = progress.begin(made, resume=order.resume)
    seen = Counter(_counts(progress.done()))
    advance(len(made.chunks) - len(left), len(made.chunks))
    for done, mark in enumerate(work(left, order, settings), len(made.chunks) - len(left) + 1):
        seen.update(_counts([mark]))
        advance(done, len(made.chunks))
        _check(seen, _ENOUGH, order, mark)
    _check(seen, 0, order)
    return summed(progress)


def meant(order: Order, settings: Settings) -> list[str]:
    """What shapes an output, besides its input."""
    lingua = settings.llmlingua
    model = [lingua.model, lingua.sha256, str(lingua.threshold), str(lingua.min_tokens)] if lingua.enabled else []
    vectors = [settings.scoring.model] if order.embed else []
    return [order.model, settings.policy.digest(), *model, *vectors]


def _check(seen: Counter[str], least: int, order: Order, mark: dict[str, Any] | None = None) -> None:
    """Raises BatchError when too large a share of the rows is bad; of fewer rows than `least` nobody can say."""
    rows = seen["rows"] + seen["errors"]
    if seen["errors"] > order.max_errors * max(least, rows):
        named = (mark or {}).get("first_errors") or [error for one in Progress(order.out).done() for error in one["first_errors"]][:_SHOWN]
        share = f"{seen['errors']:,} of {rows:,} rows could not be read, more than {order.max_errors:.0%} (--max-errors)"
        raise BatchError("\n".join([f"{share}:", *named, "What is done stays done: --resume goes on."]))


def _counts(marks: Iterable[dict[str, Any]]) -> dict[str, int]:
    found = list(marks)
    return {name: sum(mark[name] for mark in found) for name in ("rows", "errors")}


def in_process(left: Sequence[Chunk], order: Order, settings: Settings) -> Marks:
    """One chunk after the other, here."""
    work = Work(settings, embed=order.embed)
    try:
        for chunk in left:
            yield chunks.do(chunk, order.out, work, order.model)
    finally:
        work.close()


def summed(progress: Progress) -> Total:
    """The total of what is done, which is also written, chunk by chunk, to `summary.parquet` in the output."""
    marks = progress.done()
    ids = Counter(id for mark in marks for id in mark["ids"] if id)
    columns = ("chunk", "file", "rows", "errors", "compressed", "tokens_before", "tokens_after")
    sink = io.BytesIO()
    pq.write_table(pa.table({name: [mark[name] for mark in marks] for name in columns}), sink)
    progress.write("summary.parquet", sink.getvalue())
    return Total(
        rows=sum(mark["rows"] for mark in marks),
        errors=sum(mark["errors"] for mark in marks),
        compressed=sum(mark["compressed"] for mark in marks),
        tokens_before=sum(mark["tokens_before"] for mark in marks),
        tokens_after=sum(mark["tokens_after"] for mark in marks),
        duplicates=sum(count - 1 for count in ids.values()),
        first_errors=tuple(error for mark in marks for error in mark["first_errors"]),
    )
