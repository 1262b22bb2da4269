"""What processes do with the memory that malloc keeps for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headroom.settings import environment
from tests.provider import WAIT_S

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


_ROOM = """
import ctypes, sys, time
import psutil
from headroom.proxy.heap import give_back

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
taken = [libc.malloc(1000) for _ in range(100_000)]
behind = libc.malloc(1000)  # stays, so that the heap does not become shorter by itself
for place in taken:
    libc.free(place)
memory = psutil.Process().memory_info
before = memory().rss
give_back(0.01)
until = time.monotonic() + float(sys.argv[1])
while memory().rss > before - 80e6:
    assert time.monotonic() < until, (before, memory().rss)
    time.sleep(0.01)
"""


def test_room_that_a_large_job_left_goes_back() -> None:
    subprocess.run([sys.executable, "-c", _ROOM, str(WAIT_S)], check=True)
