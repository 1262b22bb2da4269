"""Do two replicas do twice the work of one? `python -m benchmarks.replicas [--share 0.2]`, as root on Linux.

Starts a stand-in provider (--port) and, in turn, `headroom serve` with one Ingress and one Compressor and with two of each. A control group
holds each replica to --share of a core, so that the machine's cores also carry the clients, the provider, HAProxy and Ray, and what is
measured is the replicas. --at-once connections ask without pause for --seconds: bodies of --kb that nobody has seen, which the Compressor
must work on, then the same few again, which are the Ingress's work alone. Requests a second, and how many times one replica's they are.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path

import psutil
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.load import Target, ask, body, started
from benchmarks.stamping import provider

_PERIOD_US = 10_000
_MOST = 200  # new bodies a second that there must be enough of
_KINDS = ("Ingress", "Compressor")
_GROUPS = Path("/sys/fs/cgroup")


def application(port: int, replicas: int) -> dict[str, object]:
    """As `serve run` takes it."""
    options = {"num_replicas": replicas, "max_ongoing_requests": 64, "ray_actor_options": {"num_cpus": 0.1}}
    settings = {"access": {"callers": "open"}, "limits": {"rate_limit": False}, "compression": {"deadline_ms": 60_000}}
    args = {"settings": settings, "ingress": options, "compressor": options, "stats": None}
    return {
        "proxy_location": "HeadOnly",
        "http_options": {"host": "0.0.0.0", "port": port, "request_timeout_s": None},
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
        "applications": [{"name": "headroom", "route_prefix": "/", "import_path": "serve_app.app:build", "args": args}],
    }


@contextmanager
def served(upstream: str, port: int, replicas: int) -> Iterator[Target]:
    """The application with so many replicas of each kind, on a Ray of its own."""
    with tempfile.TemporaryDirectory() as home:
        described = Path(home) / "application.yaml"
        described.write_text(yaml.safe_dump(application(port, replicas)))
        environment = {"ANTHROPIC_TARGET_API_URL": upstream, "HEADROOM_ADMIN_KEY": "operator", "RAY_AUTH_MODE": "disabled"}
        with started(home, port, "serve", str(described), quiet=True, **environment) as target:
            yield target


def running(kind: str, replicas: int) -> list[int]:
    """Process ids of all replicas of a kind, once they are there."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        found = [p.pid for p in psutil.process_iter(["cmdline"]) if f"ServeReplica:headroom:{kind}" in " ".join(p.info["cmdline"] or ())]
        if len(found) == replicas:
            return found
        time.sleep(0.5)
    raise SystemExit(f"{kind}: {replicas} replicas were expected, {len(found)} run; end other Ray clusters on this machine first")


def hold(pid: int, share: float) -> Path:
    """A process and its threads get so much of a core; the control group, to be removed when it has ended. Raises SystemExit."""
    two = (_GROUPS / "cgroup.controllers").exists()
    group = _GROUPS / ("" if two else "cpu") / f"headroom-benchmark-{pid}"
    quota = str(int(share * _PERIOD_US))
    limits = {"cpu.max": f"{quota} {_PERIOD_US}"} if two else {"cpu.cfs_period_us": str(_PERIOD_US), "cpu.cfs_quota_us": quota}
    try:
        if two:
            (_GROUPS / "cgroup.subtree_control").write_text("+cpu")
        group.mkdir()
        for name, value in {**limits, "cgroup.procs": str(pid)}.items():
            (group / name).write_text(value)
    except OSError as failure:
        raise SystemExit(f"control groups can't be written ({failure}): run this as root on Linux") from failure
    return group


async def rate(target: Target, contents: Iterator[bytes], at_once: int, seconds: float) -> float:
    """Requests a second that so many connections get answered. Raises SystemExit when one isn't."""
    answered, until = 0, time.monotonic() + seconds

    async def one_by_one() -> None:
        nonlocal answered
        while time.monotonic() < until and (content := next(contents, None)):
            if error := (await ask(target, content)).error:
                raise SystemExit(f"a request was not answered: {error}")
            answered += 1

    begun = time.monotonic()
    await asyncio.gather(*(one_by_one() for _ in range(at_once)))
    return answered / (time.monotonic() - begun)


async def measured(target: Target, args: argparse.Namespace) -> tuple[float, float]:
    """New bodies, and the same again."""
    new = [body(args.kb, f"replicas {args.seed} {number}") for number in range(int(args.seconds * _MOST))]
    for content in new[: args.at_once]:
        await ask(target, content)  # warms up
    rates = [
        await rate(target, contents, args.at_once, args.seconds) for contents in (iter(new[args.at_once :]), cycle(new[: args.at_once]))
    ]
    await target.close()
    return rates[0], rates[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=9900, help="of the stand-in provider; the next one is our own server's")
    parser.add_argument("--share", type=float, default=0.2, help="of a core, for each replica")
    parser.add_argument("--at-once", type=int, default=16, help="connections")
    parser.add_argument("--kb", type=int, default=20, help="of each body")
    parser.add_argument("--seconds", type=float, default=20, help="for each figure")
    parser.add_argument("--seed", default=str(time.time_ns()))
    args = parser.parse_args()
    table = Table(
        "replicas of each", "new bodies/s", "", "seen before/s", "", title=f"{args.share:g} of a core for each replica, {args.kb} KB"
    )
    found: list[tuple[float, float]] = []
    with provider(args.port) as upstream:
        for replicas in (1, 2):
            with ExitStack() as ended, served(upstream, args.port + 1, replicas) as target:
                for kind in _KINDS:
                    for pid in running(kind, replicas):
                        ended.callback(hold(pid, args.share).rmdir)
                found.append(asyncio.run(measured(target, args)))
            cells = [cell for now, one in zip(found[-1], found[0], strict=True) for cell in (f"{now:.0f}", f"{now / one:.2f} times")]
            table.add_row(str(replicas), *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
