"""`headroom batch`, killed again and again."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from tests.provider import WAIT_S

_PROGRAM = "from headroom.cli.main import main; main(prog_name='headroom')"
_MOST = 30


def killed_until_whole(source: str, out: str, begun: Callable[[], bool], parts: Callable[[], int], more: int) -> int:
    """Run it, killed whenever there are `more` parts than when it began, and resume it until it ends by itself; how often it was killed."""
    words = [sys.executable, "-c", _PROGRAM, "batch", source, out, "--workers", "0", "--chunk-mb", "0.02"]
    for kills in range(_MOST):
        before = parts()
        process = subprocess.Popen([*words, *(["--resume"] if begun() else [])], stdout=subprocess.DEVNULL)
        until = time.monotonic() + WAIT_S
        while process.poll() is None and parts() <= before + more:
            assert time.monotonic() < until
            time.sleep(0.002)
        if process.poll() is not None:
            assert process.returncode == 0
            return kills
        process.kill()
        process.wait(WAIT_S)
    raise AssertionError(f"not done after {_MOST} kills")
