"""A Ray cluster of two nodes on this machine, its state in Redis, whose second node and whose GCS can be lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import serve
from ray.cluster_utils import Cluster

from tests.canaries import FOLDERS
from tests.redis_server import free_port
from tests.serve.deployed import until

_NODE: dict[str, Any] = {"num_cpus": 4, "num_gpus": 1, "object_store_memory": 150_000_000}


class Nodes:
    """The head, where this process and Serve's proxy are, and another one."""

    def __init__(self) -> None:
        self._cluster = Cluster(initialize_head=True, head_node_args=_NODE | {"include_dashboard": False})
        self._cluster.connect(namespace="serve")
        self._other = self._cluster.add_node(**_NODE)

    def lose_other(self) -> None:
        """Every process of the other node ends at once; the controller hears of it when Ray does."""
        raylet = psutil.Process(self._other.all_processes["raylet"][0].process.pid)
        for process in [raylet, *raylet.children(recursive=True)]:
            process.send_signal(signal.SIGKILL)
        self._cluster.remove_node(self._other, allow_graceful=False)
        until(lambda: self._alive() == 1)

    def add_other(self) -> None:
        self._other = self._cluster.add_node(**_NODE)
        until(lambda: self._alive() == 2)

    def lose_gcs(self, away_s: float) -> None:
        """Ray's global control store is killed, and back after a while with what Redis has."""
        self._cluster.head_node.kill_gcs_server()
        time.sleep(away_s)
        self._cluster.head_node.start_gcs_server()
        until(lambda: self._alive() == 2)

    def close(self) -> None:
        ray.shutdown()
        self._cluster.shutdown()

    def _alive(self) -> int:
        return sum(bool(node["Alive"]) for node in ray.nodes())


@contextmanager
def two_nodes() -> Iterator[tuple[str, Nodes]]:
    """The URL of Serve, and the nodes; Ray's state is in the Redis that RAY_REDIS_ADDRESS names."""
    nodes = Nodes()
    FOLDERS.append(Path(ray._private.worker.global_worker.node.get_logs_dir_path()))
    port = free_port()
    try:
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        yield f"http://127.0.0.1:{port}", nodes
    finally:
        serve.shutdown()
        nodes.close()
