"""What commands print where standard output is full, or takes fewer letters than ours, and where Headroom's own files are out of reach."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pytest
from click.testing import CliRunner

from headroom.cli.main import main
from tests.cli.running import HEADROOM

FULL = [("--help",), ("help",), ("version",), ("telemetry",), ("doctor", "--offline"), ("proxy", "--help")]


@pytest.mark.parametrize("words", FULL, ids=" ".join)
def test_a_full_standard_output_is_told_in_a_line(words: Sequence[str], full: IO[str]) -> None:
    refused = subprocess.run([*HEADROOM, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (refused.returncode, refused.stderr) == (1, "Error: No space left on device\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_letters_that_the_terminal_lacks_end_no_command(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    shown = subprocess.run([*HEADROOM, "demo"], capture_output=True, check=False, timeout=120)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"API list, 400 rows" in shown.stdout


@pytest.mark.parametrize("words", [("telemetry", "--show"), ("stats", "export", "--out", "rows.jsonl", "--format", "jsonl")], ids=" ".join)
def test_a_ledger_out_of_reach_is_told_by_its_own_name(
    words: Sequence[str], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home.mkdir()
    (home / "stats").write_text("no folder")
    refused = CliRunner().invoke(main, words)
    assert isinstance(refused.exception, SystemExit), refused.exception
    assert (refused.exit_code, refused.stderr) == (1, f"Error: {home / 'stats'}: File exists\n")
