"""The semantic index in a file, so that a process that starts need not build it from the log: it loads this and reads on from there.

A file is records, each behind its length: sealed where the store is, each with a checksum, because what the graph is given it does
not check. The first says which entry of the log was the last that surely is in it. It is written beside and renamed, so there
is the old or the new one. Whatever is amiss with a file, the log is read instead.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from headroom.cache.semantic import Known, SemanticIndex, Space
from headroom.cache.vectors import Vectors
from headroom.errors import StoreUnavailable
from headroom.store.vault import Seal

NAME = "index.snapshot"
_VERSION = 1
_CHECK = 16
_log = logging.getLogger(__name__)


def save(index: SemanticIndex, directory: Path, seal: Seal) -> int:
    """Write the index; the number of the log entry it stands at. Raises OSError."""
    number = index.number  # what is applied meanwhile may be in it too, and is applied again
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=directory, prefix=f"{NAME}.")
    try:
        with os.fdopen(handle, "wb") as file:
            _write(file, seal, _head({"version": _VERSION, "hnswlib": version("hnswlib"), "number": number}))
            for name, space in index.spaces():
                _write_space(file, seal, name, space)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(directory / NAME)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    return number


def load(index: SemanticIndex, directory: Path, seal: Seal) -> bool:
    """Fill an empty index from the file; False when there is none, or it cannot be used."""
    try:
        with (directory / NAME).open("rb") as file:
            head = json.loads(_read(file, seal))
            if (head["version"], head["hnswlib"]) != (_VERSION, version("hnswlib")):
                return False
            spaces = list(_read_spaces(file, seal))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, StoreUnavailable) as failure:
        _log.warning("the snapshot in %s cannot be used, the log is read instead: %s", directory, failure)
        return False
    index.restore(iter(spaces), head["number"])
    return True


def saved_number(directory: Path, seal: Seal) -> int:
    """At which log entry the file stands, -1 when there is none that can be used."""
    try:
        with (directory / NAME).open("rb") as file:
            return int(json.loads(_read(file, seal))["number"])
    except (OSError, ValueError, KeyError, TypeError, StoreUnavailable):
        return -1


def remove(directory: Path) -> None:
    """So that nothing stays of what was cleared."""
    (directory / NAME).unlink(missing_ok=True)


def _write_space(file: IO[bytes], seal: Seal, name: str, space: Space) -> None:
    known = dict(space.known)
    state, labels = space.vectors.dump()
    labels_known = [label for label in labels if label in known]
    arrays = {key: value for key, value in state.items() if hasattr(value, "dtype")}
    plain = {key: value for key, value in state.items() if key not in arrays}
    if "rows" in arrays:  # without those that nothing is known of, which came or went meanwhile
        arrays["rows"] = arrays["rows"][[place for place, label in enumerate(labels) if label in known]]
    entries = [[label, known[label].key, known[label].text, known[label].at] for label in labels_known]
    head = {
        "namespace": name,
        "scope": space.scope,
        "dimensions": space.vectors.dimensions,
        "next": 1 + max([space.next_label, *labels]),
        "bytes": space.bytes,
        "entries": entries,
        "state": plain,
        "arrays": list(arrays),
    }
    _write(file, seal, _head(head))
    for array in arrays.values():
        _write(file, seal, _bytes(array))


def _read_spaces(file: IO[bytes], seal: Seal) -> Iterator[tuple[str, Space]]:
    while data := _read(file, seal):
        head = json.loads(data)
        state: dict[str, Any] = {**head["state"], **{name: _array(_read(file, seal)) for name in head["arrays"]}}
        known = {label: Known(key, text, at) for label, key, text, at in head["entries"]}
        vectors = Vectors.load(head["dimensions"], state, list(known))
        labels = {one.key: label for label, one in known.items()}
        yield head["namespace"], Space(head["scope"], vectors, known, labels, head["next"], head["bytes"])


def _head(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, default=float).encode()


def _bytes(array: Any) -> bytes:
    import numpy as np

    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    return file.getvalue()


def _array(data: bytes) -> Any:
    import numpy as np

    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def _write(file: IO[bytes], seal: Seal, data: bytes) -> None:
    sealed = seal.shut("semantic snapshot", hashlib.blake2b(data, digest_size=_CHECK).digest() + data)
    file.write(len(sealed).to_bytes(8, "big") + sealed)


def _read(file: IO[bytes], seal: Seal) -> bytes:
    """The next record, empty at the end. Raises ValueError for one that is damaged."""
    size = file.read(8)
    if not size:
        return b""
    sealed = file.read(int.from_bytes(size, "big"))
    if len(size) < 8 or len(sealed) < int.from_bytes(size, "big"):
        raise ValueError("it is cut off")
    opened = seal.open("semantic snapshot", sealed)
    if hashlib.blake2b(opened[_CHECK:], digest_size=_CHECK).digest() != opened[:_CHECK]:
        raise ValueError("a checksum does not fit")
    return opened[_CHECK:]
