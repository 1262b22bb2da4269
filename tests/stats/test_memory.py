"""Where Arrow takes its memory from."""

from __future__ import annotations

import subprocess
import sys


def test_arrow_takes_memory_as_the_process_does() -> None:
    asked = "import headroom.stats.arrow, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout == "system\n"
