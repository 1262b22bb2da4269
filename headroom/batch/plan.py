"""The chunks of an input, and what is known of an output that was begun."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from headroom.errors import HeadroomError

STATE = "_state"  # folder in the output: the plan, and a mark for each chunk that is done
_JSONL, _PARQUET = (".jsonl", ".ndjson", ".json"), (".parquet",)


class BatchError(HeadroomError):
    """An input or output that cannot be used, or too many rows that are none."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The lines of a file that begin in bytes start..end, or its row groups start..end.

    `file` is its path in the file system that `source` names, a path or URL; only the latter may hold a key.
    """

    name: str
    file: str
    kind: str
    start: int
    end: int
    source: str = ""

    @property
    def shown(self) -> str:
        """The file as people are told of it."""
        scheme, _, rest = self.source.partition("://")
        return f"{scheme}://{self.file}" if rest and scheme != "file" else self.file

    def open(self) -> pa.NativeFile:
        """Raises OSError, BatchError."""
        system, _ = opened(self.source)
        return system.open_input_file(self.file)


@dataclass(frozen=True, slots=True)
class Plan:
    """Chunks in the order of the input; `digest` says whether another input, or other settings, were meant."""

    chunks: tuple[Chunk, ...]
    digest: str


def opened(url: str) -> tuple[pafs.FileSystem, str]:
    """The file system of a path or URL (s3://, gs://, file://), and the path in it. Raises BatchError."""
    if "://" not in url:
        try:
            path = str(Path(url).expanduser().absolute())
            path.encode()
        except (RuntimeError, UnicodeEncodeError) as failure:  # nobody's home, or a name that Arrow does not take
            raise BatchError(f"{url!r} cannot be used: {failure}") from None
        return pafs.LocalFileSystem(), path
    return _elsewhere(url)


@functools.lru_cache(8)
def _elsewhere(url: str) -> tuple[pafs.FileSystem, str]:
    """Kept: an object store is asked where a bucket is before it is used."""
    try:
        system, path = pafs.FileSystem.from_uri(url)
    except (OSError, ValueError) as failure:
        raise BatchError(f"{url}: {failure}") from None
    return system, str(path)


def files(url: str, out: str) -> tuple[pafs.FileSystem, list[pafs.FileInfo]]:
    """The files of a kind we know at or below a path, less those of the output `out`, by name. Raises BatchError when there are none."""
    system, path = opened(url)
    info = system.get_file_info(path)
    if info.type == pafs.FileType.NotFound:
        raise BatchError(f"{url}: there is no such file or folder.")
    if info.type == pafs.FileType.File:
        return system, [info]
    found = system.get_file_info(pafs.FileSelector(path, recursive=True))
    elsewhere, written = opened(out)
    ours = f"{written}/" if type(elsewhere) is type(system) else ""
    known = [one for one in found if one.is_file and one.path.endswith((*_JSONL, *_PARQUET)) and not (ours and one.path.startswith(ours))]
    if not known:
        raise BatchError(f"{url}: holds no .jsonl and no .parquet files.")
    return system, sorted(known, key=lambda one: one.path)


def plan(source: str, out: str, chunk_bytes: int, meant: Sequence[str] = ()) -> Plan:
    """Cut an input into chunks of about so many bytes; `meant` are settings that shape the output. Raises BatchError."""
    system, found = files(source, out)
    chunks: list[Chunk] = []
    state = hashlib.sha256(json.dumps([chunk_bytes, *meant]).encode())
    for number, info in enumerate(found):
        state.update(json.dumps([info.path, info.size, info.mtime_ns]).encode())
        ranges = _row_groups(system, info, chunk_bytes) if info.path.endswith(_PARQUET) else _bytes(info, chunk_bytes)
        kind = "parquet" if info.path.endswith(_PARQUET) else "jsonl"
        chunks += [Chunk(f"part-{number:05d}-{place:06d}", info.path, kind, *range, source) for place, range in enumerate(ranges)]
    return Plan(tuple(chunks), state.hexdigest())


def _bytes(info: pafs.FileInfo, chunk_bytes: int) -> Iterator[tuple[int, int]]:
    for start in range(0, info.size, chunk_bytes):
        yield start, min(info.size, start + chunk_bytes)


def _row_groups(system: pafs.FileSystem, info: pafs.FileInfo, chunk_bytes: int) -> Iterator[tuple[int, int]]:
    try:
        with system.open_input_file(info.path) as file:
            told = pq.read_metadata(file)
    except (OSError, ValueError) as failure:
        raise BatchError(f"{info.path}: not a Parquet file ({failure})") from None
    start = size = 0
    for group in range(told.num_row_groups):
        size += told.row_group(group).total_byte_size
        if size >= chunk_bytes or group + 1 == told.num_row_groups:
            yield start, group + 1
            start, size = group + 1, 0


def _kept(chunk: Chunk) -> dict[str, Any]:
    """A chunk as the output shows it."""
    return {name: value for name, value in asdict(chunk).items() if name != "source"} | {"file": chunk.shown}


class Progress:
    """What is done of a plan, as marks in the output: any process may add one, and a restart finds them."""

    def __init__(self, out: str) -> None:
        self.system, self.path = opened(out)

    def begin(self, plan: Plan, *, resume: bool) -> list[Chunk]:
        """The chunks that are still to be done. Raises BatchError when the output is that of something else, or not asked for."""
        if self.system.get_file_info(self.path).type == pafs.FileType.File:
            raise BatchError(f"{self.path} is a file: name an empty or new folder.")
        known = self._read(f"{self.path}/{STATE}/plan.json")
        if known is None:
            found = self.system.get_file_info(pafs.FileSelector(self.path, allow_not_found=True))
            if any(one.base_name != STATE for one in found):  # that alone is left by a kill before the plan stood
                raise BatchError(f"{self.path} is not empty: name an empty or new folder.")
            self.write(f"{STATE}/plan.json", json.dumps({"digest": plan.digest, "chunks": [_kept(one) for one in plan.chunks]}).encode())
            return list(plan.chunks)
        if not resume:
            raise BatchError(f"{self.path} was begun before: --resume goes on with it, or name a new folder.")
        if known["digest"] != plan.digest:
            raise BatchError(f"{self.path} was begun with another input or other settings: name a new folder.")
        done = {told["chunk"] for told in self.done()}
        return [chunk for chunk in plan.chunks if chunk.name not in done]

    def done(self) -> list[dict[str, Any]]:
        """What each chunk that is done came to, by name."""
        found = self.system.get_file_info(pafs.FileSelector(f"{self.path}/{STATE}/done", allow_not_found=True))
        told = (self._read(one.path) for one in found if one.path.endswith(".json"))
        return sorted((one for one in told if one), key=lambda one: str(one["chunk"]))

    def write(self, name: str, content: bytes) -> None:
        """A file of the output, there whole or not at all."""
        target = f"{self.path}/{name}"
        self.system.create_dir(target.rpartition("/")[0], recursive=True)
        with self.system.open_output_stream(f"{target}.tmp") as file:
            file.write(content)
        self.system.move(f"{target}.tmp", target)

    def _read(self, path: str) -> dict[str, Any] | None:
        if self.system.get_file_info(path).type == pafs.FileType.NotFound:
            return None
        with self.system.open_input_file(path) as file:
            told = json.loads(file.read())
        return told if isinstance(told, dict) else None
