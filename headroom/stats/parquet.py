"""The folder of Parquet files, on this machine or in an object store; the only place in `stats` that writes them.

A file appears whole or not at all: written beside its name, flushed, renamed; an object store does that by itself. A file that
is no Parquet is passed over and named; one that is out of reach is an OSError.
"""

from __future__ import annotations

import logging
import os
import re
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from headroom.errors import SettingsError
from headroom.settings.parts import shown_url
from headroom.stats.journal import sync_directory

_REPLACES = b"headroom.replaces"
_ALMOST = re.compile(r"[a-z][a-z0-9+.-]*:/(?!/)", re.IGNORECASE)
_log = logging.getLogger(__name__)
T = TypeVar("T")


def _told(url: str, failure: Exception) -> str:
    return str(failure).replace(url, shown_url(url)).rstrip(".")


def _no_url(url: str, why: str) -> SettingsError:
    return SettingsError(f"stats.url: {shown_url(url)} cannot be opened: {why}. HEADROOM_STATS_URL is a path, or like s3://BUCKET/PREFIX.")


class Folder:
    """`url` is a path, or what pyarrow.fs understands (s3://bucket/prefix).

    Raises SettingsError for one that it does not. This and every method raise OSError where the store does not answer.
    """

    def __init__(self, url: str) -> None:
        self._local: Path | None = None
        if _ALMOST.match(url):
            raise _no_url(url.partition("/")[0] + "/...", "behind its scheme a URL has two slashes")
        if "://" not in url:
            self._local = Path(url)
            self._local.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._files = fs.SubTreeFileSystem(str(self._local), fs.LocalFileSystem())
            return
        try:
            system, path = fs.FileSystem.from_uri(url)
        except OSError as failure:
            raise OSError(f"stats.url: {shown_url(url)} cannot be opened: {_told(url, failure)}") from None
        except (pa.ArrowException, ImportError, ValueError) as failure:
            raise _no_url(url, _told(url, failure)) from None
        if not path:
            raise _no_url(url, "it names no bucket")
        self._files = fs.SubTreeFileSystem(path, system)

    def write(self, path: str, table: pa.Table, replaces: Sequence[str] = ()) -> None:
        """`replaces` names files in the same directory whose rows the table holds."""
        if replaces:
            table = table.replace_schema_metadata({_REPLACES: "\n".join(replaces)})
        if self._local is None:
            if isinstance(self._files.base_fs, fs.LocalFileSystem):  # file:// has folders, which must be there
                self._files.create_dir(path.rpartition("/")[0])
            whole = pa.BufferOutputStream()  # an upload ends with what was written so far, whatever goes wrong meanwhile
            pq.write_table(table, whole, compression="zstd")
            with self._files.open_output_stream(path) as stream:
                stream.write(whole.getvalue())
            return
        target = self._local / path
        target.parent.mkdir(parents=True, exist_ok=True)
        hidden = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            with hidden.open("wb") as stream:
                pq.write_table(table, stream, compression="zstd")
                stream.flush()
                os.fsync(stream.fileno())
            hidden.replace(target)
        finally:
            hidden.unlink(missing_ok=True)
        sync_directory(target.parent)

    def read(self, path: str, columns: Sequence[str] | None = None) -> pa.Table | None:
        """None for a file that is not there or is no Parquet."""
        return self._parsed(path, lambda stream: pq.read_table(stream, columns=list(columns) if columns else None))

    def replaced_by(self, path: str) -> list[str]:
        """The files whose rows this one holds, by its own word."""
        schema = self._parsed(path, pq.read_schema)
        metadata = (schema.metadata if schema is not None else None) or {}
        return [name.decode() for name in metadata.get(_REPLACES, b"").split(b"\n") if name]

    def _parsed(self, path: str, read: Callable[[Any], T]) -> T | None:
        """What `read` finds in a file; None for one that is not there or is no Parquet."""
        try:
            with self._files.open_input_file(path) as stream:
                return read(stream)
        except FileNotFoundError:
            return None
        except (pa.ArrowException, OSError):  # Arrow says the same of a file that is broken and of one that is out of reach
            pass
        try:
            with self._files.open_input_file(path) as stream:
                whole = stream.read()
        except FileNotFoundError:
            return None
        try:
            return read(pa.BufferReader(whole))
        except (pa.ArrowException, OSError) as failure:
            _log.warning("%s cannot be read, it is passed over: %s", path, str(failure).partition("\n")[0])
            return None

    def files(self, directory: str) -> list[str]:
        """Paths of the Parquet files right in a directory, in order."""
        return sorted(info.path for info in self._infos(directory) if info.is_file and info.path.endswith(".parquet"))

    def stamps(self, directory: str) -> dict[str, tuple[int, int]]:
        """What changes when a Parquet file right in a directory is written anew, by path in order."""
        infos = {info.path: info for info in self._infos(directory) if info.is_file and info.path.endswith(".parquet")}
        return {path: (infos[path].mtime_ns or 0, infos[path].size) for path in sorted(infos)}

    def directories(self, directory: str) -> list[str]:
        return sorted(info.path for info in self._infos(directory) if info.type == fs.FileType.Directory)

    def _infos(self, directory: str) -> list[fs.FileInfo]:
        infos: list[fs.FileInfo] = self._files.get_file_info(fs.FileSelector(directory, allow_not_found=True))
        return infos

    def delete(self, path: str) -> None:
        try:
            self._files.delete_file(path)
        except FileNotFoundError:
            pass

    def delete_directory(self, path: str) -> None:
        self._files.delete_dir(path)
