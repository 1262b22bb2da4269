"""A ledger as one file: the same rows in every form, also those that are in the journal only."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from headroom.cli.main import main
from headroom.stats.rows import COLUMNS
from tests.cli.running import HEADROOM
from tests.stats.made import rows
from tests.stats.test_ledger import NOW, book_in

FOUND = rows(90, step_s=600)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixty rows in Parquet, thirty in the journal, ten of them twice."""
    book = book_in(tmp_path)
    book.append(FOUND[:60])
    book.seal()
    assert book.compact(NOW)
    book.append(FOUND[50:])
    book.close()
    monkeypatch.setenv("HEADROOM_HOME", str(tmp_path))
    return tmp_path


def exported(home: Path, *options: str) -> Path:
    out = home / "out"
    done = CliRunner().invoke(main, ["stats", "export", "--out", str(out), *options], catch_exceptions=False)
    assert done.exit_code == 0
    return out


def test_the_same_rows_in_every_form(home: Path) -> None:
    events = [row["event_id"] for row in FOUND]
    table = pq.read_table(exported(home))
    assert table.column("event_id").to_pylist() == events
    assert table.column_names == list(COLUMNS)
    assert len(pd.read_parquet(home / "out")) == 90
    lines = [json.loads(line) for line in exported(home, "--format", "jsonl").read_text().splitlines()]
    assert [line["event_id"] for line in lines] == events
    assert lines[0]["timestamp"] == "2025-11-24T00:00:00Z"
    assert lines[0]["saved_nanousd"] == FOUND[0]["saved_nanousd"]
    assert lines[3]["waste"] == {item["name"]: item["value"] for item in FOUND[3]["waste"]}
    told = list(csv.DictReader(io.StringIO(exported(home, "--format", "csv").read_text())))
    assert [row["event_id"] for row in told] == events
    assert json.loads(told[3]["waste"]) == lines[3]["waste"]
    assert int(told[3]["tokens_saved"]) == FOUND[3]["tokens_saved"]
    assert told[0]["timestamp"] == lines[0]["timestamp"]


def test_a_part_of_it(home: Path) -> None:
    options = ["--team", "search", "--user", "ann", "--from", "2025-11-24T02:15:00Z", "--to", "2025-11-24T11:00:00Z"]
    wanted = [row["event_id"] for row in FOUND[14:66] if row["team"] == "search" and row["user"] == "ann"]
    assert pq.read_table(exported(home, *options)).column("event_id").to_pylist() == wanted != []
    assert len(pq.read_table(exported(home, "--from", "2031-01-01"))) == 0
    assert exported(home, "--from", "2031-01-01", "--format", "csv").read_text().startswith('"schema_version","event_id"')


def test_sums(home: Path) -> None:
    daily = pq.read_table(exported(home, "--what", "daily"))
    assert sum(daily.column("requests").to_pylist()) == 60
    line = json.loads(exported(home, "--what", "monthly", "--format", "jsonl").read_text().splitlines()[0])
    assert line["timestamp"] == "2025-11-01T00:00:00Z"
    assert line["details"]["mode/reversible"] == line["requests"]


def test_standard_output_and_what_is_wrong(home: Path) -> None:
    piped = CliRunner().invoke(main, ["stats", "export", "--out", "-", "--format", "jsonl"], catch_exceptions=False)
    assert piped.stdout.count("\n") == 90
    assert "90 rows" in piped.stderr
    refused = CliRunner().invoke(main, ["stats", "export", "--out", str(home / "no" / "file")])
    assert refused.exit_code == 1
    assert "No such file or directory" in refused.stderr
    odd = CliRunner().invoke(main, ["stats", "export", "--out", "-", "--from", "noon"])
    assert "2026-01-31T12:00:00Z" in odd.stderr


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_what_fails_leaves_the_file_of_before_and_ends_in_one_line(home: Path, tmp_path: Path, form: str) -> None:
    out = home / "mine"
    out.write_text("of last week")
    out.chmod(0o600)
    words = [*HEADROOM, "stats", "export", "--format", form, "--out"]
    fails = {**os.environ, "HEADROOM_STATS_URL": "s3://nothing?wrong=1"}
    refused = subprocess.run([*words, out], capture_output=True, text=True, check=False, timeout=60, env=fails)
    assert (refused.returncode, refused.stderr.count("\n"), refused.stderr[:7]) == (2, 1, "Error: "), refused.stderr
    assert out.read_text() == "of last week"
    full = subprocess.run([*words, "/dev/full"], capture_output=True, text=True, check=False, timeout=60)
    assert (full.returncode, full.stderr) == (1, "Error: /dev/full: No space left on device\n")
    absent = subprocess.run([*words, tmp_path / "absent" / "out"], capture_output=True, text=True, check=False, timeout=60)
    assert (absent.returncode, absent.stderr) == (1, f"Error: {tmp_path}/absent/out: No such file or directory\n")
    assert [file for file in home.iterdir() if file.name.endswith(".tmp")] == []
    link = home / "link"
    link.symlink_to(out)
    subprocess.run([*words, link], check=True, timeout=60, capture_output=True)
    assert (link.is_symlink(), out.stat().st_mode & 0o777, out.stat().st_size > 100) == (True, 0o600, True)
