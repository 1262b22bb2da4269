"""`headroom serve`: the Ray Serve application, run by `serve_app.run` in the environment that it wants."""

from __future__ import annotations

import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from headroom.cli.haproxy import directory, on_loopback
from headroom.errors import SettingsError

_DEFAULT = Path("configs/local.yaml")
_EVERYWHERE = ("", "0.0.0.0", "::")
_LOOPBACK = "127.0.0.1"  # where HAProxy looks for a replica on its own node; one that listens at another address alone it never finds
# Read by Ray when it starts its processes, on every node; what the environment says already stays.
ALWAYS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray reports nothing
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",  # a proxy that died is missed after three of them
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "700",  # of `ray start --block` after SIGTERM, for the streams of a node
}
# HAProxy takes requests to replicas, and replicas run on one loop: a tenth of the latency.
FAST = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_LOG_TO_STDERR": "1",  # the line above would turn it off
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "1800",  # a stream outlives a change of replicas by this
    "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "3600",  # of silence
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "10",  # HAProxy knows within a second that a replica ends; Ray's 30 is for others
    "RAY_worker_niceness": "0",  # with Ray's 15 whatever else a node does goes before a stream; compressors stand back by themselves
}
LOCAL = FAST | {"RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1"}  # on loopback; a person waits for the end


@click.command("serve")
@click.argument("config", type=click.Path(path_type=Path), default=_DEFAULT)
@click.option("--environment", is_flag=True, help="Print what must be set before `ray start` on the nodes of a cluster, and start nothing.")
def command(config: Path, environment: bool) -> None:
    """Start the Ray Serve application described by CONFIG (default: configs/local.yaml).

    Ray is told to use HAProxy and its fast profile first. What the environment already says stays: RAY_SERVE_ENABLE_HA_PROXY=0
    keeps Ray's own proxy.

    Ctrl-C or SIGTERM refuses new requests and lets open streams end; once more ends at once.
    """
    if find_spec("ray") is None:
        raise SettingsError("Ray Serve is not installed: pip install 'headroom[serve]'")
    host = _host(config)
    wanted = ALWAYS | FAST if host in _EVERYWHERE else ALWAYS
    if environment:
        click.echo("\n".join(f"export {name}={shlex.quote(value)}" for name, value in wanted.items()))
        return
    words = [sys.executable, "-m", "serve_app.run", str(config)]
    if host == _LOOPBACK:
        words.append(str(folder := directory()))
        if haproxy := on_loopback(folder):
            os.environ.update(haproxy)  # noqa: TID251  for the program started here
            wanted = ALWAYS | LOCAL
    elif host not in _EVERYWHERE:
        click.echo(f"{config}: HAProxy needs host 0.0.0.0 or {_LOOPBACK}; for {host} Ray's own proxy serves, which is slower", err=True)
    for name, value in wanted.items():
        os.environ.setdefault(name, value)  # noqa: TID251
    os.execv(sys.executable, words)


def _host(config: Path) -> str:
    """Where the application listens; empty where it does not say, and Ray listens on every interface. Raises SettingsError."""
    options = described(config).get("http_options")
    return str(options.get("host") or "") if isinstance(options, dict) else ""


def described(config: Path) -> dict[str, Any]:
    """The file, which says something of applications. Raises SettingsError when it cannot be read."""
    import yaml

    try:
        tree = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as failure:
        told = "; name a file like it (it comes with the sources)" if config == _DEFAULT else ""
        raise SettingsError(f"{config}: cannot be read ({getattr(failure, 'strerror', None) or 'not UTF-8'}){told}") from None
    except yaml.YAMLError as failure:
        raise SettingsError(f"{config}: not YAML: {failure}") from None
    if not isinstance(tree, dict) or not tree.get("applications"):
        raise SettingsError(f"{config}: has no applications; configs/local.yaml is an example")
    return tree
