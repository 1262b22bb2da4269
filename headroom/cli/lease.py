"""A proxy that lives as long as somebody uses it.

Every user of the proxy on a port holds a shared lock on one file for as long as it uses it; a proxy started by one of them waits
for the exclusive lock and ends when it gets it. So whoever comes second shares the proxy, whoever goes last ends it, and one who
is killed has let go too: the operating system releases locks. No process is ever ended by its number.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click
import httpx

from headroom.cli.banner import address
from headroom.cli.mcp_clients import program
from headroom.cli.remote import ask
from headroom.errors import SettingsError
from headroom.settings import Settings

_START_S = 60.0
_READY_S = 20.0  # traffic passes before compression is ready
_POLL_S = 0.05
_TAIL_CHARS = 2000


def answers(url: str) -> bool:
    """Whether a Headroom is there."""
    try:
        return "savings_percent" in ask(url, "/health", timeout_s=5)["stats"]
    except (click.ClickException, KeyError, TypeError):
        return False


@contextmanager
def proxy_for(settings: Settings, config: Path | None) -> Iterator[str]:
    """The base URL of the proxy on this machine's port, started for the time being if none answers. Raises SettingsError."""
    if not settings.port:
        raise SettingsError("--port 0: name the port that the proxy shall have")
    url = address(settings)
    with (_directory(settings) / f"{settings.port}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not answers(url):
            _start(settings, config, Path(lock.name))
        yield url


def end_when_unused(lock_file: Path) -> None:
    """In the proxy: a thread that ends this process, as SIGTERM does, once nobody holds the lock."""

    def wait() -> None:
        with lock_file.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait()  # nobody may take the lock before this process is gone

    threading.Thread(target=wait, name="lease", daemon=True).start()


def _directory(settings: Settings) -> Path:
    directory = settings.home / "wrap"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as failure:
        raise SettingsError(f"{directory}: cannot be made ({failure.strerror})") from None
    return directory


def _start(settings: Settings, config: Path | None, lock_file: Path) -> None:
    """A proxy in a session of its own, which the terminal's signals do not reach. Returns when it answers."""
    words = [*program(), "proxy", "--port", str(settings.port), "--while-used", str(lock_file)]
    if config:
        words += ["--config", str(config)]
    with lock_file.with_suffix(".log").open("w+") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        _await(settings, process, log)


def _await(settings: Settings, process: subprocess.Popen[bytes], log: IO[str]) -> None:
    url, began = address(settings), time.monotonic()
    while not answers(url):
        if process.poll() is not None and not answers(url):
            log.seek(0)
            raise SettingsError(f"the proxy did not start: {log.read()[-_TAIL_CHARS:].strip() or f'exit code {process.returncode}'}")
        if time.monotonic() - began > _START_S:
            process.terminate()
            raise SettingsError(f"the proxy did not answer at {url} within {_START_S:.0f} s; {log.name} says why")
        time.sleep(_POLL_S)
    while time.monotonic() - began < _READY_S and not _ready(url):
        time.sleep(_POLL_S)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
