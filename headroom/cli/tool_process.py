"""Runs a program in this terminal as if it had been started there: its input, its output, its signals, its exit code.

The program stays in the process group of its parent, so that the terminal's own signals (Ctrl-C, Ctrl-Z, a new window size) reach
both, and a shell stops and resumes both. What somebody sends to the parent alone is passed on; what the terminal sends is not
sent twice.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

_FROM_TERMINAL = frozenset((signal.SIGINT, signal.SIGQUIT))
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, *_FROM_TERMINAL)


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """The exit code, 128 + n for a program that signal n ended. Raises OSError when it cannot be started."""
    waiting: list[int] = []
    process: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _: FrameType | None) -> None:
        if number in _FROM_TERMINAL and _in_foreground():
            return
        if process is None:
            waiting.append(number)
        else:
            process.send_signal(number)

    before: dict[int, Any] = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    try:
        process = subprocess.Popen(arguments, env=environ)
        for number in waiting:
            process.send_signal(number)
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code


def _in_foreground() -> bool:
    """Whether this process's group has the terminal, so that the terminal signals all of it."""
    with suppress(OSError):
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        finally:
            os.close(terminal)
    return False
