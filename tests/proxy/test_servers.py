"""The application under real servers, as separate processes: gunicorn with workers, and our own command."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from headroom.ccr import marker
from tests.provider import WAIT_S, Provider
from tests.proxy.faces import HTTP, anthropic_turns, asking, await_ready, stats_of
from tests.redis_server import free_port
from tests.stats.disk import in_parquet, on_its_way

ADMIN = {"authorization": "Bearer operators-only"}
KEY = {"x-api-key": "sk-test"}  # gunicorn binds where we do not know: originals belong to a credential
GUNICORN = ["gunicorn", "--worker-class", "uvicorn.workers.UvicornWorker", "--workers", "2", "headroom.proxy.server:app", "--bind"]


@contextmanager
def started(provider: Provider, home: Path, *command: str, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server in a process group of its own; PORT in the command is `port`, or a free one."""
    port = port or free_port()
    env = {
        **os.environ,
        "HEADROOM_ADMIN_KEY": "operators-only",
        "HEADROOM_HOME": str(home),
        "ANTHROPIC_TARGET_API_URL": provider.url,
        "OPENAI_TARGET_API_URL": provider.url,
    }
    program, *words = (word.replace("PORT", str(port)) for word in command)
    installed = Path(sys.executable).parent / program
    server = subprocess.Popen([installed, *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        await_ready(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}", server
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
        server.communicate(timeout=WAIT_S)


@pytest.mark.parametrize(
    "command",
    [[*GUNICORN, "127.0.0.1:PORT"], ["headroom", "proxy", "--port", "PORT", "--workers", "2"]],
    ids=["gunicorn", "headroom"],
)
def test_two_workers_on_one_store(provider: Provider, tmp_path: Path, command: list[str]) -> None:
    with started(provider, tmp_path, *command) as (url, _):
        for _ in range(4):
            HTTP.post(f"{url}/v1/messages", json=asking(anthropic_turns(1)), headers=KEY).raise_for_status()
        (digest,) = set(marker.hashes(provider.requests[0].body.decode()))
        assert len({request.body for request in provider.requests}) == 1
        assert {HTTP.get(f"{url}/v1/retrieve/{digest}", headers=KEY).status_code for _ in range(4)} == {200}


@pytest.mark.parametrize(
    "command",
    [[*GUNICORN, "127.0.0.1:PORT"], ["headroom", "proxy", "--port", "PORT", "--workers", "2"]],
    ids=["gunicorn", "headroom"],
)
def test_every_worker_tells_the_same_also_after_one_was_killed_and_after_a_restart(
    provider: Provider, tmp_path: Path, command: list[str]
) -> None:
    def send(url: str, count: int) -> None:
        with httpx.Client(timeout=WAIT_S) as client:
            for _ in range(count):
                client.post(f"{url}/v1/messages", json=asking(anthropic_turns(1)), headers=KEY).raise_for_status()

    def figures(url: str) -> tuple[int, int]:
        with httpx.Client(timeout=WAIT_S) as client:  # a connection of its own, so that any worker may answer
            tokens = client.get(f"{url}/stats", headers=ADMIN).json()["tokens"]
            metrics = client.get(f"{url}/metrics", headers=ADMIN).text
        (saved,) = (line.split(" ")[1] for line in metrics.splitlines() if line.startswith("headroom_tokens_saved_total "))
        assert float(saved) == tokens["saved"]
        return tokens["total_before_compression"], tokens["saved"]

    with started(provider, tmp_path, *command) as (url, server):
        send(url, 8)
        stats_of(url, 8, ADMIN)
        (before,) = {figures(url) for _ in range(6)}
        os.kill(workers_of(server)[0], signal.SIGKILL)
        until = time.monotonic() + WAIT_S
        while True:  # what the dead worker had accepted is lost
            try:
                assert {figures(url) for _ in range(4)} == {before}
                break
            except httpx.TransportError:
                assert time.monotonic() < until
    with started(provider, tmp_path, *command) as (url, _):
        assert figures(url) == before
        send(url, 1)
        assert stats_of(url, 9, ADMIN)["persistent_savings"]["display_session"]["requests"] == 1


def test_an_interrupt_ends_everything_quietly(provider: Provider, tmp_path: Path) -> None:
    with started(provider, tmp_path, "headroom", "proxy", "--port", "PORT") as (url, server):
        HTTP.post(f"{url}/v1/messages", json=asking(anthropic_turns(1))).raise_for_status()
        os.killpg(server.pid, signal.SIGINT)  # as a terminal does
        out, _ = server.communicate(timeout=WAIT_S)  # returns when the last process of the group has closed its output
        assert b"Traceback" not in out


def test_workers_killed_in_a_loop_under_load(provider: Provider, tmp_path: Path) -> None:
    """What was in the ledger when a worker was killed is there in the end, and nothing is there twice."""
    acknowledged: set[str] = set()
    over = threading.Event()

    def ask(url: str) -> None:
        while not over.is_set():
            with contextlib.suppress(httpx.TransportError), httpx.Client(timeout=WAIT_S) as client:
                client.post(f"{url}/v1/messages", json=asking(anthropic_turns(1, 5)), headers=KEY)

    with started(provider, tmp_path, *GUNICORN, "127.0.0.1:PORT") as (url, server), ThreadPoolExecutor(3) as threads:
        running = [threads.submit(ask, url) for _ in range(3)]
        try:
            for _ in range(4):
                enough = len(acknowledged) + 10
                while len(acknowledged) < enough:
                    acknowledged |= on_its_way(tmp_path)
                    time.sleep(0.02)
                os.kill(workers_of(server)[0], signal.SIGKILL)
        finally:
            over.set()
        for done in running:
            done.result(WAIT_S)
        server.send_signal(signal.SIGTERM)
        server.wait(WAIT_S)
    with started(provider, tmp_path, "headroom", "proxy", "--port", "PORT") as (url, _):
        total = HTTP.get(f"{url}/stats", headers=ADMIN).json()["requests"]["total"]
        until = time.monotonic() + WAIT_S
        while waiting := on_its_way(tmp_path):
            assert time.monotonic() < until, f"{len(waiting)} rows are not compacted"
            time.sleep(0.05)
    kept = in_parquet(tmp_path)
    assert len(kept) == len(set(kept)) == total
    assert acknowledged <= set(kept)


def workers_of(server: subprocess.Popen[bytes]) -> list[int]:
    """The processes that serve, of gunicorn."""
    children = [int(child) for child in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]
    return [pid for pid in children if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
