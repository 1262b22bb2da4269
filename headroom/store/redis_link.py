"""The connection to Redis: one server or a cluster, found out at the first use; every failure becomes StoreUnavailable.

Short timeouts and a bounded pool: a server that does not answer is left alone for a moment, so that those who wait in line
do not wait one after the other. A broken connection is tried once more; what timed out is not, because it may have been done.
"""

from __future__ import annotations

import math
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from headroom.errors import SettingsError, StoreUnavailable

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError, OutOfMemoryError, ReadOnlyError, RedisClusterException, RedisError, TimeoutError
    from redis.retry import Retry
except ModuleNotFoundError:
    raise SettingsError("store.url names a Redis server, but redis is not installed: pip install 'headroom[redis]'") from None

Command = tuple[Any, ...]
_CAUSES: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, "did not answer in time"),
    (OutOfMemoryError, "out of memory (maxmemory)"),
    (ReadOnlyError, "read-only, a replica?"),
    (ConnectionError, "cannot be reached"),
)
_MOST_SAID = 200  # characters of an error of Redis; some are a page of advice


class RedisLink:
    """`url` is redis://, rediss:// or unix://. Any number of threads; a forked process connects anew."""

    def __init__(self, url: str, timeout_s: float = 2.0, connect_s: float = 1.0, connections: int = 16, pause_s: float = 0.5) -> None:
        self._url = url
        self._pause_s = pause_s
        self._left_alone_until = -math.inf
        self._why = ""
        self.name = _without_password(url)
        self._options: dict[str, Any] = {
            "socket_timeout": timeout_s,
            "socket_connect_timeout": connect_s,
            "retry": Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
        }
        self._connections = connections
        self._client: redis.Redis | redis.RedisCluster | None = None
        self._lock = threading.Lock()
        self._closed = False

    def run(self, *command: Any) -> Any:
        """The answer to one command. Raises StoreUnavailable."""
        with self._mapped() as client:
            return client.execute_command(*command)

    def run_all(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to commands that go out together; they need not share a hash slot. Raises StoreUnavailable."""
        if not commands:
            return []
        with self._mapped() as client:
            pipeline = client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            return list(pipeline.execute())

    def warnings(self, wanted_bytes: int) -> list[str]:
        """What INFO says against this server as a store of so many bytes; of a cluster, one node is asked."""
        with self._mapped() as client:
            said = client.info() | client.info("persistence")
        found = []
        if not said.get("aof_enabled"):
            found.append("appendonly is off: what was acknowledged may be lost when Redis stops")
        if not str(said.get("maxmemory_policy", "noeviction")).endswith(("noeviction", "-ttl")):
            found.append(f"maxmemory-policy is {said['maxmemory_policy']}: keys and budgets may be thrown away, set noeviction")
        if 0 < int(said.get("maxmemory", 0)) < wanted_bytes:
            found.append(f"maxmemory is below store.max_mb ({int(said['maxmemory']) // 1_000_000} < {wanted_bytes // 1_000_000} MB)")
        return found

    def close(self) -> None:
        self._closed = True
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    @contextmanager
    def _mapped(self) -> Iterator[Any]:
        if time.monotonic() < self._left_alone_until and not self._closed:
            raise StoreUnavailable(self._why)
        client = self._client
        try:
            client = client or self._connect()
            yield client
        except (RedisError, RedisClusterException, OSError) as failure:
            cause = next((words for kind, words in _CAUSES if isinstance(failure, kind)), "")
            said = textwrap.shorten(str(failure), _MOST_SAID, placeholder=" ...")
            why = f"{self.name}: {cause} ({said})" if cause else f"{self.name}: {said}"
            if isinstance(failure, ReadOnlyError):
                self._part_with(client)
            if isinstance(failure, ConnectionError | TimeoutError | OSError):
                self._why, self._left_alone_until = why, time.monotonic() + self._pause_s
            raise StoreUnavailable(why) from failure

    def _connect(self) -> redis.Redis | redis.RedisCluster:
        with self._lock:
            if self._closed:
                raise StoreUnavailable(f"{self.name}: the store is closed")
            if self._client is None:
                self._client = self._opened()
            return self._client

    def _part_with(self, client: redis.Redis | redis.RedisCluster | None) -> None:
        """The next command connects anew: behind a failover the name leads elsewhere, and this server closes nothing."""
        with self._lock:
            if self._client is client:
                self._client = None

    def _opened(self) -> redis.Redis | redis.RedisCluster:
        wait_s = self._options["socket_timeout"]
        pool = redis.BlockingConnectionPool.from_url(self._url, max_connections=self._connections, timeout=wait_s, **self._options)
        client = redis.Redis.from_pool(pool)
        try:
            if not client.info("cluster").get("cluster_enabled"):
                return client
        except (TypeError, ValueError) as failure:
            raise StoreUnavailable(f"{self.name}: an option of its URL cannot be used: {failure}") from failure
        except BaseException:
            client.close()
            raise
        client.close()
        return redis.RedisCluster.from_url(self._url, max_connections=self._connections, **self._options)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
