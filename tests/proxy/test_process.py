"""What the process of `headroom proxy` does with its memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headroom.settings import environment

_HEAPS = """
import ctypes, threading
from headroom.proxy.server import embedded_app
from headroom.settings import load

app = embedded_app(load())
libc = ctypes.CDLL(None)
together = threading.Barrier(8)

def take():
    together.wait()
    for _ in range(1000):
        libc.malloc(1000)
    together.wait()

threads = [threading.Thread(target=take) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
"""


@pytest.mark.parametrize(("asked", "heaps"), [("", 1), ("3", 3)])
def test_threads_share_one_heap_unless_told_otherwise(tmp_path: Path, asked: str, heaps: int) -> None:
    env = environment() | {"HEADROOM_HOME": str(tmp_path)} | ({"MALLOC_ARENA_MAX": asked} if asked else {})
    done = subprocess.run([sys.executable, "-c", _HEAPS], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.count("<heap nr=") == heaps
