"""One chunk of the input: its rows, what became of them, and the files that hold it. What was done is there whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from headroom.batch.plan import STATE, Chunk, Progress
from headroom.batch.rows import ADDED, CHANGED, Asked, BadRow, asked
from headroom.batch.work import Work
from headroom.settings import Settings

ERRORS = "errors"
_READ_BYTES = 1 << 20
_SHOWN = 3  # errors of a chunk that its mark names
_ADDED_TYPES = {
    "tokens_before": pa.int64(),
    "tokens_after": pa.int64(),
    "transforms_applied": pa.list_(pa.string()),
    "ccr_hashes": pa.list_(pa.string()),
    "status": pa.string(),
    "error": pa.string(),
    "embedding": pa.list_(pa.float32()),
}


class Row(NamedTuple):
    """A row as it was read; `value` is a ValueError where it could not be. `place` is its line or its number in the chunk, from 1."""

    place: int
    value: Any
    raw: bytes = b""


def do(chunk: Chunk, out: str, work: Work, model: str = "") -> dict[str, Any]:
    """Do a chunk and mark it done; returns the mark. Raises StoreUnavailable, BatchError, OSError: then it is as if it had not begun."""
    progress = Progress(out)
    good: list[dict[str, Any]] = []
    places: list[int] = []
    bad: list[dict[str, Any]] = []
    ids: list[str] = []
    before = after = 0
    first: int | None = None
    waiting: deque[Row] = deque()
    for done in work(_asked(chunk, waiting, work.settings, model)):
        row = waiting.popleft()
        if isinstance(done, BadRow):
            first = _first_place(chunk) if first is None else first  # a look at all that stands before, for the few chunks that need it
            bad.append(_named(chunk, row, first, str(done)))
            continue
        good.append(done.row)
        places.append(row.place)
        ids.append(_id(row.value))
        before, after = before + done.before, after + done.after
    work.originals.flush()
    if bad:
        progress.write(f"{ERRORS}/{chunk.name}.jsonl", _lines(bad))
    if good:
        suffix = "parquet" if chunk.kind == "parquet" else "jsonl"
        progress.write(f"{chunk.name}.{suffix}", _parquet(chunk, good, places) if chunk.kind == "parquet" else _lines(good))
    told = {
        "chunk": chunk.name,
        "file": chunk.shown,
        "rows": len(good),
        "errors": len(bad),
        "tokens_before": before,
        "tokens_after": after,
        "compressed": sum(row["status"] == "compressed" for row in good),
        "first_errors": [f"{one['file']}:{one['line']}: {one['error']}" for one in bad[:_SHOWN]],
        "ids": [hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:16] if id else "" for id in ids],
    }
    progress.write(f"{STATE}/done/{chunk.name}.json", json.dumps(told).encode())
    return told


def _asked(chunk: Chunk, waiting: deque[Row], settings: Settings, model: str) -> Iterator[Asked | BadRow]:
    """What is to be done about each row, which waits until it is done."""
    for row in read(chunk):
        waiting.append(row)
        try:
            if isinstance(row.value, ValueError):
                raise BadRow(str(row.value))
            yield asked(row.value, settings.policy, model)
        except BadRow as failure:
            yield failure


def read(chunk: Chunk) -> Iterator[Row]:
    """The rows of a chunk, one at a time."""
    yield from _table_rows(chunk) if chunk.kind == "parquet" else _line_rows(chunk)


def _line_rows(chunk: Chunk) -> Iterator[Row]:
    with chunk.open() as raw:
        file = io.BufferedReader(raw, _READ_BYTES)
        position = chunk.start
        if position:  # a line that begins before belongs to the chunk before
            file.seek(position - 1)
            position += len(file.readline()) - 1
        place = 0
        while position < chunk.end and (line := file.readline()):
            position += len(line)
            place += 1
            if not line.strip():
                continue
            try:
                yield Row(place, json.loads(line), line)
            except (ValueError, RecursionError) as failure:
                yield Row(place, ValueError(f"not JSON: {failure}"), line)


def _first_place(chunk: Chunk) -> int:
    """How many lines or rows of the file stand before a chunk."""
    with chunk.open() as raw:
        if chunk.kind == "parquet":
            told = pq.read_metadata(raw)
            return sum(told.row_group(group).num_rows for group in range(chunk.start))
        file = io.BufferedReader(raw, _READ_BYTES)
        count, left = 0, chunk.start
        last = b"\n"
        while left and (piece := file.read(min(_READ_BYTES, left))):
            count, left, last = count + piece.count(b"\n"), left - len(piece), piece[-1:]
        return count + (last != b"\n")


def _table_rows(chunk: Chunk) -> Iterator[Row]:
    with chunk.open() as file:
        table = pq.ParquetFile(file)
        place = 0
        for batch in table.iter_batches(batch_size=64, row_groups=range(chunk.start, chunk.end)):
            names = batch.schema.names
            for values in zip(*map(_values, batch.columns), strict=True):
                place += 1
                yield Row(place, dict(zip(names, values, strict=True)))


def _values(column: pa.Array) -> list[Any]:
    """As Python has them. One that Python has none for, as a date in the year 140,000, stays Arrow's."""
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        return [_value(one) for one in column]


def _value(one: pa.Scalar) -> Any:
    try:
        return one.as_py()
    except (ValueError, OverflowError):
        return one


def _parquet(chunk: Chunk, rows: Sequence[dict[str, Any]], places: Sequence[int]) -> bytes:
    """The columns of the input as they were, those that may be smaller, and the added ones. `places` are those of the rows."""
    with chunk.open() as file:
        table = pq.ParquetFile(file).read_row_groups(range(chunk.start, chunk.end))
    wanted = set(places)
    table = table.filter(pa.array([place + 1 in wanted for place in range(table.num_rows)]))
    columns = [
        (field, pa.array([row[field.name] for row in rows], field.type) if field.name in CHANGED else column)
        for field, column in zip(table.schema, table.columns, strict=True)
        if field.name not in ADDED
    ]
    columns += [(pa.field(name, kind), [row[name] for row in rows]) for name, kind in _ADDED_TYPES.items() if name in rows[0]]
    sink = io.BytesIO()
    pq.write_table(pa.table([column for _, column in columns], pa.schema([field for field, _ in columns])), sink)
    return sink.getvalue()


def _lines(rows: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "surrogatepass")


def _id(value: Mapping[str, Any]) -> str:
    id = value.get("custom_id", value.get("id"))
    return "" if id is None else _shown(id)


def _named(chunk: Chunk, row: Row, first: int, why: str) -> dict[str, Any]:
    """A bad row as it goes to `errors`, with everything that it held."""
    told: dict[str, Any] = {"file": chunk.shown, "line": first + row.place, "status": "error", "error": why}
    if not row.raw:
        return told | {"row": json.loads(json.dumps(row.value, default=_shown))}
    try:
        return told | {"text": row.raw.decode().rstrip("\n")}
    except UnicodeDecodeError:
        return told | {"base64": base64.b64encode(row.raw).decode()}


def _shown(value: Any) -> str:
    try:
        return str(value)
    except (ValueError, OverflowError):
        return f"a {value.type} that Python has no value for"
