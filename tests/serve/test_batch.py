"""`headroom batch` on a Ray cluster of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.batch.test_batch import lines, talk
from tests.provider import WAIT_S
from tests.transcripts.samples import written

pytestmark = pytest.mark.serve


def test_on_ray_it_is_the_same(tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", [*(talk(n) for n in range(40)), {"a": 1}])
    program = "from headroom.cli.main import main; main(prog_name='headroom')"
    environ = {**os.environ, "HEADROOM_HOME": str(tmp_path / "home")}
    for workers in ("0", "2"):
        words = ["batch", str(source), str(tmp_path / workers), "--workers", workers, "--chunk-mb", "0.05", "--json"]
        done = subprocess.run(
            [sys.executable, "-c", program, *words], env=environ, capture_output=True, text=True, timeout=4 * WAIT_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        assert (told["rows"], told["errors"]) == (40, 1)
    assert lines(tmp_path / "2") == lines(tmp_path / "0")
    assert len(list((tmp_path / "2").glob("part-*"))) > 2
