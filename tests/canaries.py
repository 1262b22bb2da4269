"""What no log, metric, statistic or error may hold, and the search for it in everything that a test session's Headrooms wrote.

Canaries are the prompts, tool outputs and answers that `tests.proxy.faces` and the stand-in make, every credential that the
stand-in was sent, keys of ours, and tokens of an identity provider. Stores are not searched: they are made to hold texts. Agents' own
files and what a test itself writes are not Headroom's.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq

TEXTS = (
    rb"how busy is node-\d",
    rb"node-\d\.example",
    rb"How much was billed",
    rb"INV-\d+-\d{4}",
    rb"The stand-in read \d",
    rb"hr-[\w-]{43}",
    rb"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}",
    rb"sk-upstream",
    rb"admin-secret",
    rb"operators-only",
)
CREDENTIALS: set[str] = set()  # seen by the stand-in, of 8 characters or more
SAID: set[str] = set()  # errors, and what operators were told
FOLDERS: list[Path] = []  # further ones to search, beside the session's own
_OPERATORS = ("/health", "/livez", "/readyz", "/stats", "/stats-history", "/metrics", "/admin/keys", "/v1/retrieve/stats")
_STORE = ("store.sqlite", "store.sqlite-wal", "store.sqlite-shm")
_HOME = ("stats", "worker.log", "proxy_savings.json")  # what only a home of Headroom has


def note(response: httpx.Response) -> None:
    """A hook of an HTTP client."""
    asked = response.request.method == "GET" and response.url.path in _OPERATORS
    if asked or response.status_code >= 400:
        response.read()
        SAID.add(f"{response.request.method} {response.url.path} {response.status_code} {response.headers} {response.text}")


class Listener(logging.Handler):
    """Keeps every log record of this process as it would be written."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
        self.lines: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.add(self.format(record))


def leaks(folders: list[Path], said: set[str]) -> list[str]:
    """Every place with a canary in it, and which."""
    canary = re.compile(b"|".join((*TEXTS, *(re.escape(secret.encode()) for secret in sorted(CREDENTIALS)))))
    found = [f"said: {text[:200]}: {match.group()!r}" for text in said if (match := canary.search(text.encode(errors="replace")))]
    for file in dict.fromkeys(file for folder in folders for file in written(folder)):
        found += [f"{file}: {match.group()!r}" for text in contents(file) if (match := canary.search(text))]
    return found


def written(folder: Path) -> Iterator[Path]:
    """What Headrooms wrote under a folder, but for their stores: logs, and everything in their homes."""
    for file in folder.rglob("*"):
        if not file.is_file() or file.name in _STORE:
            continue
        inside = file.relative_to(folder).parents
        homes = (folder / parent for parent in inside)
        if file.suffix == ".log" or file.name == "requests.jsonl" or any((home / name).exists() for home in homes for name in _HOME):
            yield file


def contents(file: Path) -> Iterator[bytes]:
    """A file as bytes; of Parquet every string in it, each once, and its metadata."""
    if file.suffix != ".parquet":
        yield file.read_bytes()
        return
    try:
        table = pq.ParquetFile(file).read()
    except pa.ArrowInvalid:  # a test cut it off
        yield file.read_bytes()
        return
    yield str(table.schema).encode()
    for column in table.columns:
        for text in _strings(column.combine_chunks()):
            yield text.encode(errors="replace")


def _strings(values: Any) -> Iterator[str]:
    if isinstance(values, pa.ChunkedArray):
        for chunk in values.chunks:
            yield from _strings(chunk)
    elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        yield from (text for text in values.unique().to_pylist() if text)
    elif pa.types.is_dictionary(values.type):
        yield from _strings(values.dictionary)
    elif pa.types.is_map(values.type):
        yield from _strings(values.keys)
        yield from _strings(values.items)
    elif pa.types.is_list(values.type):
        yield from _strings(values.flatten())
    elif pa.types.is_struct(values.type):
        for child in values.flatten():
            yield from _strings(child)
