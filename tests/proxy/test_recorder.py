"""The log file: one line per request, from several writers, never in the way of a request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headroom.errors import SettingsError
from headroom.model import Outcome, Usage
from headroom.proxy.processes import WorkerProcesses
from headroom.proxy.recorder import Recorder
from headroom.proxy.services import open_services
from headroom.settings import Settings
from headroom.stats.ledger import Ledger

FIELDS = {
    "request_id",
    "timestamp",
    "provider",
    "model",
    "status",
    "input_tokens_original",
    "input_tokens_optimized",
    "output_tokens",
    "tokens_saved",
    "savings_percent",
    "optimization_latency_ms",
    "total_latency_ms",
    "tags",
    "cache_hit",
    "transforms_applied",
    "error",
    "skip_reason",
    "cache_read_tokens",
    "cache_write_tokens",
}


def outcome(number: int, before: int = 1000, after: int = 400) -> Outcome:
    return Outcome(
        request_id=f"r{number}",
        timestamp=1_700_000_000.5,
        dialect="anthropic",
        provider="anthropic",
        model="claude",
        mode="reversible",
        status=200,
        stream=True,
        tokens_before=before,
        tokens_after=after,
        transforms=("router:log:0.40",),
        usage=Usage(output_tokens=7, cache_read_tokens=3),
        tags=(("team", "search"),),
    )


def test_every_outcome_is_a_line_and_counted(tmp_path: Path) -> None:
    file, ledger = tmp_path / "deep" / "requests.jsonl", Ledger()
    recorder = Recorder(ledger, file)
    for number in range(50):
        recorder.record(outcome(number))
    recorder.close()
    lines = [json.loads(text) for text in file.read_text().splitlines()]
    assert [entry["request_id"] for entry in lines] == [f"r{number}" for number in range(50)]
    assert set(lines[0]) == FIELDS
    assert lines[0]["tokens_saved"] == 600
    assert lines[0]["tags"] == {"team": "search"}
    assert lines[0]["timestamp"] == "2023-11-14T22:13:20.500000+00:00"
    assert ledger.totals["requests"] == 50
    assert file.stat().st_mode & 0o077 == 0


def test_a_loss_is_written_as_one(tmp_path: Path) -> None:
    recorder = Recorder(Ledger(), tmp_path / "requests.jsonl")
    recorder.record(outcome(1, before=100, after=130))
    recorder.close()
    entry = json.loads((tmp_path / "requests.jsonl").read_text())
    assert (entry["tokens_saved"], entry["savings_percent"]) == (-30, -30.0)


def test_two_recorders_append_to_one_file(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    recorders = [Recorder(Ledger(), file) for _ in range(2)]
    for number in range(200):
        recorders[number % 2].record(outcome(number))
    for recorder in recorders:
        recorder.close()
    assert {json.loads(text)["request_id"] for text in file.read_text().splitlines()} == {f"r{number}" for number in range(200)}


def test_a_full_disk_costs_lines_not_requests() -> None:
    ledger = Ledger()
    recorder = Recorder(ledger, Path("/dev/full"))
    for number in range(3):
        recorder.record(outcome(number))
    recorder.close()
    assert ledger.totals["requests"] == 3


def test_a_path_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(home=tmp_path, log_file=tmp_path / "file" / "requests.jsonl")
    with pytest.raises(SettingsError, match="--log-file"):
        open_services(settings, WorkerProcesses(settings))
