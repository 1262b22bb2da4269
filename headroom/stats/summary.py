"""The totals of everything in Parquet, in one small file that changes in one step, and what it shows of single requests."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headroom.stats.journal import sync_directory
from headroom.stats.rows import SCHEMA_VERSION

RECENT = 50
MOST_LABELS = 50
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Summary:
    """The totals of everything in Parquet.

    `applied` are the journal files in them and when; `labels` models in the order they came; `clock` is the time by which rows outlive
    their time, 0 where none is known; `months` are the files whose sum the totals are, each with what changes when it is written anew.
    """

    lifetime: Mapping[str, int] = field(default_factory=dict)
    applied: Mapping[str, float] = field(default_factory=dict)
    labels: Sequence[str] = ()
    recent: Sequence[Mapping[str, Any]] = ()
    clock: float = 0.0
    months: Mapping[str, Sequence[int]] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


def read_summary(file: Path) -> Summary:
    """An empty one when there is none, or none that can be read: it is written anew by the next run."""
    found = read_json(file)
    if found is None:
        return Summary()
    return Summary(**{name: value for name, value in found.items() if name in Summary.__dataclass_fields__})


def read_json(file: Path) -> dict[str, Any] | None:
    """None when there is none, or none that can be read, which is said."""
    try:
        found = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as odd:
        _log.warning("%s cannot be read, it is passed over: %s", file, odd)
        return None
    return found if isinstance(found, dict) else None


def replace(file: Path, content: Any) -> None:
    """Write JSON so that it is there whole or not at all, and stays."""
    hidden = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    with os.fdopen(os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    hidden.replace(file)
    sync_directory(file.parent)


def brief(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row in the list of recent requests; no body, no credential."""
    return {
        "request_id": row["event_id"],
        "timestamp": row["timestamp"] / 1e6,
        "provider": row["provider"],
        "model": row["model"],
        "team": row["team"],
        "client": row["client"],
        "mode": row["mode"],
        "stream": row["stream"],
        "output_tokens": row["output_tokens"],
        "cached_tokens": row["cache_read_tokens"],
        "status": row["status"],
        "tokens_before": row["tokens_before"],
        "tokens_saved": row["tokens_saved"],
        "saved_usd": None if row["saved_nanousd"] is None else row["saved_nanousd"] / 1e9,
        "transforms": [item["name"] for item in row["transforms"]],
        "skip_reason": row["skip_reason"],
        "cache_hit": row["cache_hit"],
        "translated": row["translated"],
        "overhead_ms": round(row["overhead_us"] / 1000, 2),
        "total_ms": round(row["total_us"] / 1000, 2),
        "error": row["error"],
    }


def newest(*parts: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The last requests of several lists, each once, newest last."""
    found = {item["request_id"]: item for part in parts for item in part}
    return sorted(found.values(), key=lambda item: (item["timestamp"], item["request_id"]))[-RECENT:]


def labels_of(known: Sequence[str], tally: Mapping[str, int]) -> list[str]:
    """Models that have a label of their own in metrics: the first that came, so that no series ever changes its meaning."""
    seen = sorted(name.partition("/")[2] for name in tally if name.startswith("model/"))
    return list(dict.fromkeys([*known, *seen]))[:MOST_LABELS]
