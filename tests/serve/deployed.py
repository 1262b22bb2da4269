"""The application on a local cluster, and what a test does to it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ray
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationStatus, ServeDeploySchema
from ray.util import list_named_actors

from serve_app.app import build
from serve_app.args import AppArgs
from tests.canaries import FOLDERS
from tests.provider import WAIT_S
from tests.proxy.faces import await_ready

NAME = "headroom"


@contextmanager
def cluster() -> Iterator[str]:
    """The URL of Serve on a new local cluster with CPUs enough for everything."""
    ray.init(
        num_cpus=8,
        num_gpus=2,  # logical
        object_store_memory=200_000_000,
        include_dashboard=False,
        log_to_driver=False,
        namespace="serve",
    )
    FOLDERS.append(Path(ray._private.worker.global_worker.node.get_logs_dir_path()))
    try:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()


class Deployed:
    """The application at `url`; replicas share the store in `home`."""

    def __init__(self, url: str, home: Path, provider_url: str) -> None:
        self.url = url
        self.home = home
        self._provider_url = provider_url
        self._args: AppArgs | None = None

    def ensure(
        self,
        deadline_ms: int = 60_000,
        tier: dict[str, float] | None = None,
        ingress: dict[str, int] | None = None,
        model: str = "",
        llmlingua: bool = False,
        semantic: dict[str, Any] | None = None,
        store: str = "",
    ) -> None:
        """Deploy with these options, unless that is what runs; with a Scorer when there is a `model`, and `semantic` a SemanticCache."""
        args = self._described(deadline_ms, tier, ingress, model, store, llmlingua, semantic)
        if args != self._args:
            self._run(args)

    def _described(
        self,
        deadline_ms: int = 60_000,
        tier: dict[str, float] | None = None,
        ingress: dict[str, int] | None = None,
        model: str = "",
        store: str = "",
        llmlingua: bool = False,
        semantic: dict[str, Any] | None = None,
    ) -> AppArgs:
        replicas: dict[str, Any] = {"num_replicas": 2, "ray_actor_options": {"num_cpus": 0.1}, "graceful_shutdown_timeout_s": 0.5}
        return AppArgs.model_validate(
            {
                "settings": {
                    "home": self.home,
                    "store": {"url": store} if store else {},
                    "upstream": {"anthropic_api_url": self._provider_url, "openai_api_url": self._provider_url},
                    "access": {"callers": "credential"},
                    "limits": {"rate_limit": False},
                    "compression": {"deadline_ms": deadline_ms},
                    "scoring": {"model": model or "off"},
                    "stats": {"compact_s": 1},
                    "llmlingua": {"enabled": llmlingua, "rate": 0.5, "deadline_ms": 60_000},
                    "cache": {"lookup_ms": 5000, "snapshot_every": 4},  # a busy machine is slow
                    "context": {
                        "default_window": 100_000_000,
                        "windows": "tiny=6000",
                    },  # a talk may grow for as long as a busy machine needs
                },
                "ingress": replicas | (ingress or {}),
                "compressor": replicas | {"tier": tier or {}},
                "scorer": replicas | {"num_replicas": 1} if model else None,
                "llmlingua": {"budget_s": 1, "failures": 1000},
                "semantic_cache": replicas | {"num_replicas": None} | semantic if semantic else None,
                "stats": replicas | {"num_replicas": 1},
            }
        )

    def declare(self, policies: dict[str, Any], store: str) -> None:
        """Deploy a YAML with these policies, as `serve deploy` does it: where only they differ, no replica is restarted."""
        self._args = None
        ingress = {"name": "Ingress", "user_config": {"policies": policies}}
        args = self._described(store=store).model_dump(mode="json", exclude_unset=True)
        application = {"name": NAME, "route_prefix": "/", "import_path": "serve_app.app:build", "args": args, "deployments": [ingress]}
        address = urlsplit(self.url)
        http = {"host": address.hostname, "port": address.port}
        config = {"proxy_location": "HeadOnly", "http_options": http, "applications": [application]}
        _get_global_client().deploy_apps(ServeDeploySchema.model_validate(config))
        until(lambda: NAME in (running := serve.status().applications) and running[NAME].status == ApplicationStatus.RUNNING)
        await_ready(self.url)

    def delete(self) -> None:
        """End every replica."""
        self._args = None
        serve.delete(NAME)

    def restart(self) -> None:
        """End every replica, then deploy the same again."""
        args = self._args
        assert args is not None
        serve.delete(NAME)
        self._run(args)

    def _run(self, args: AppArgs) -> None:
        self._args = None
        serve.run(build(args), name=NAME, route_prefix="/")
        await_ready(self.url)
        self._args = args

    def replicas(self, deployment: str) -> set[str]:
        """Names of the living replica actors."""
        return replicas(NAME, deployment)

    def kill(self, deployment: str) -> set[str]:
        """Kill every replica at once; their names."""
        return kill(NAME, deployment)


def processes(deployment: str) -> set[int]:
    """The living replicas of a deployment on this process's own cluster."""
    found = set()
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if f"ServeReplica:{NAME}:{deployment}".encode() in (directory / "cmdline").read_bytes() and _is_ours(directory):
                found.add(int(directory.name))
        except OSError:
            continue
    return found


def _is_ours(directory: Path) -> bool:
    """Whether this process is above another. Raises OSError when that is gone."""
    while (parent := int((directory / "stat").read_text().rpartition(")")[2].split()[1])) > 1:
        if parent == os.getpid():
            return True
        directory = directory.with_name(str(parent))
    return False


def until(condition: Callable[[], bool]) -> None:
    """Polls; fails when it does not hold within twice WAIT_S."""
    end = time.monotonic() + 2 * WAIT_S
    while not condition():
        assert time.monotonic() < end, "the cluster did not come to this"
        time.sleep(0.1)


def replicas(application: str, deployment: str) -> set[str]:
    """Names of the living replica actors."""
    prefix = f"SERVE_REPLICA::{application}#{deployment}#"
    return {actor["name"] for actor in list_named_actors(all_namespaces=True) if actor["name"].startswith(prefix)}


def kill(application: str, deployment: str) -> set[str]:
    """Kill every replica at once; their names."""
    names = replicas(application, deployment)
    for name in names:
        ray.kill(ray.get_actor(name, namespace="serve"))
    return names
