"""A real redis-server in a directory of its own, on a free port."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

WAIT_S = 60.0


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class RedisServer:
    """Started by `start`, killed by `kill`, its append-only file kept in between. `options` are those of redis.conf."""

    def __init__(self, directory: Path, **options: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program, "these tests need redis-server: apt-get install redis-server"
        given = {"port": self.port, "bind": "127.0.0.1", "dir": self.directory, "save": "", "appendonly": "yes"} | self._options
        if given.get("cluster_enabled") == "yes":
            given["cluster_port"] = free_port()
        arguments = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        with (self.directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([program, *arguments], stdout=log, stderr=log)
        if given.get("cluster_enabled") == "yes":
            self._asked("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            self._await(lambda client: "'cluster_state': 'ok'" in str(client.execute_command("CLUSTER INFO")))
        else:
            self._asked("PING")

    def kill(self) -> None:
        """As by `kill -9`: nothing is said good-bye to."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and answers nothing meanwhile."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _asked(self, *command: object) -> None:
        self._await(lambda client: client.execute_command(*command))

    def _await(self, question: Callable[[redis.Redis], object]) -> None:
        until = time.monotonic() + WAIT_S
        while True:
            try:
                with redis.Redis(port=self.port, password=self._options.get("requirepass"), socket_timeout=1) as client:
                    if question(client):
                        return
            except redis.RedisError:
                pass
            assert self._process
            assert self._process.poll() is None, (self.directory / "redis.log").read_text()
            assert time.monotonic() < until, "redis-server did not answer"
            time.sleep(0.02)


@contextmanager
def redis_server(directory: Path, **options: str) -> Iterator[RedisServer]:
    server = RedisServer(directory, **options)
    try:
        server.start()
        yield server
    finally:
        server.kill()


class Relay:
    """A way to the server that, after `cut`, loses the next answer to a script, and its connection with it."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._lose = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, server: RedisServer) -> None:
        """New connections go there; those that stand stay where they are."""
        self._server = server

    def cut(self) -> None:
        self._lose = True

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self._server.port)) as server:
            while asked := client.recv(1 << 20):
                server.sendall(asked)
                answer = server.recv(1 << 20)
                if self._lose and b"EVAL" in asked:
                    self._lose = False
                    return
                client.sendall(answer)
