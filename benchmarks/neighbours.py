"""Processes that compress all the time, so that what is measured beside them is what it costs on a machine whose cores are all busy."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from headroom.dialects import DIALECTS
from headroom.library import Prepared
from headroom.model import Policy
from tests.batch.test_batch import talk

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

    from headroom.model import Job

_NICENESS = 10  # they take what is left, and are there all the same
_RECORDS = 100  # of a tool output, about 9 KB


def jobs(first: int, count: int) -> list[Job]:
    """Jobs of one tool output each, numbered from `first`; no two numbers have a text in common."""
    dialect = DIALECTS["/v1/chat/completions"]
    bodies = [{"model": "gpt-4o", "messages": talk(number, _RECORDS)["messages"]} for number in range(first, first + count)]
    return [Prepared.of(dialect, dialect.read(json.dumps(body).encode()), Policy()).job for body in bodies]


@contextmanager
def neighbours() -> Iterator[None]:
    """While it lasts each core but one is busy with jobs, in processes of their own with stores of their own; one at least.

    Raises RuntimeError where one does not start.
    """
    spawning = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as home:
        ready = [spawning.Event() for _ in range(max(1, (os.cpu_count() or 1) - 1))]
        started = [spawning.Process(target=_compress, args=(Path(home) / str(n), event), daemon=True) for n, event in enumerate(ready)]
        try:
            for process in started:
                process.start()
            for event in ready:
                if not event.wait(120):
                    raise RuntimeError("a process that is to keep a core busy did not start in two minutes")
            yield
        finally:
            for process in started:
                process.kill()
                process.join()


def _compress(home: Path, ready: Event) -> None:
    from headroom.settings import load
    from headroom.store import open_store
    from headroom.worker import Worker

    os.nice(_NICENESS)
    settings = load({("home",): str(home)})
    worker = Worker(open_store(settings), settings.vocabulary_dir)
    first = 10**6
    while True:
        for job in jobs(first, 50):
            worker.run(job)
        ready.set()
        first += 50
