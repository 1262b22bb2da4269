"""Measures what a request costs each tier, for `headroom capacity`: `python -m benchmarks.capacity_costs [--write]`, about two minutes.

The application runs on a Ray cluster of its own, one replica a tier, with Redis and a provider that answers at once. Three kinds of
requests tell the costs apart: small ones, large ones whose text is all new, and large ones whose text was seen before but for the last
tool output. Counted is the CPU time of each process, less what it takes when nothing is asked. Beside it other processes keep every core
busy with compressing, because that is when it matters how many replicas there are. `--write` replaces the table in the package.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import httpx
import numpy as np
import redis

from benchmarks.ledger import pool
from benchmarks.neighbours import neighbours
from headroom.capacity.costs import Costs, StoreCost, TierCost
from headroom.cli.serve import FAST
from headroom.stats.parquet import Folder
from tests.provider import stand_in
from tests.proxy.faces import anthropic_turns, asking, rows
from tests.redis_server import RedisServer, redis_server

_TABLE = Path(__file__).parents[1] / "headroom" / "capacity" / "costs.json"
_MB = 1_000_000
_TICKS = os.sysconf("SC_CLK_TCK")
_TURNS = 12  # of a conversation whose text was seen before
_TIERS = ("Ingress", "Compressor", "Stats")
_AT_ONCE = 3  # one less than the places of a Compressor replica, so that it refuses none, which Ray would ask again
_HEADERS = {"x-api-key": "who", "anthropic-version": "2023-06-01", "content-type": "application/json"}


@dataclass(frozen=True)
class Kind:
    """Requests of about `records` rows of JSON in each of `turns` tool outputs; `seen` are sent before with one turn less."""

    name: str
    turns: int
    records: int
    seen: bool


KINDS = (Kind("small", 1, 30, False), Kind("large, new", 1, 900, False), Kind("large, seen", _TURNS, 75, True))


@dataclass(frozen=True)
class Spent:
    """A request of a kind: megabytes, CPU milliseconds of each tier, and what it left in Redis."""

    body_mb: float
    new_mb: float
    ms: dict[str, float]
    commands: float
    bytes: float


def bodies(kind: Kind, number: int) -> tuple[bytes, bytes, float]:
    """A request, what was sent before it, and the megabytes of new text in it."""
    messages = anthropic_turns(kind.turns, kind.records)
    seed = 1000 * (number + 1) + 100 * len(kind.name)
    for turn, message in enumerate(messages[2::4]):
        message["content"][0]["content"] = rows(seed + turn, kind.records)
    before = asking(messages[:-4]) if kind.seen else {}
    fresh = 1 if kind.seen else kind.turns
    return json.dumps(asking(messages)).encode(), json.dumps(before).encode(), fresh * len(rows(seed, kind.records)) / _MB


def processes(sign: str) -> Iterator[Path]:
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if sign.encode() in (directory / "cmdline").read_bytes():
                yield directory
        except OSError:
            continue


def cpu_s(places: list[Path]) -> float:
    fields = [(place / "stat").read_text().rpartition(")")[2].split() for place in places]
    return sum(int(one[11]) + int(one[12]) for one in fields) / _TICKS


def memory_mb(places: list[Path]) -> float:
    return sum(int((place / "statm").read_text().split()[1]) for place in places) * os.sysconf("SC_PAGE_SIZE") / _MB


class Cluster:
    """The processes by tier; the proxy of Serve is part of the ingress."""

    def __init__(self) -> None:
        self.places = {tier: list(processes(f"ServeReplica:headroom:{tier}")) for tier in _TIERS}
        self.replica_mb = {tier: memory_mb(places) / len(places) for tier, places in self.places.items()}
        self.places["Ingress"] += [*processes("ProxyActor"), *processes("haproxy")]
        others = [*processes("gcs_server"), *processes("raylet"), *processes("ServeController"), *processes("ProxyActor")]
        self.ray_mb = memory_mb(others)

    def spent(self) -> dict[str, float]:
        return {tier: cpu_s(places) for tier, places in self.places.items()}


def during(cluster: Cluster, work: Callable[[], None], idle: dict[str, float]) -> dict[str, float]:
    """CPU seconds of each tier for some work, less what it takes anyway."""
    before, began = cluster.spent(), time.monotonic()
    work()
    time.sleep(1.0)  # what is done after the answer
    took = time.monotonic() - began
    return {tier: spent - before[tier] - took * idle.get(tier, 0.0) for tier, spent in cluster.spent().items()}


def measured(kind: Kind, count: int, client: httpx.Client, cluster: Cluster, server: redis.Redis, idle: dict[str, float]) -> Spent:
    made = [bodies(kind, number) for number in range(count)]

    def send(which: int) -> None:
        def post(one: tuple[bytes, bytes, float]) -> None:
            client.post("/v1/messages", content=one[which], headers=_HEADERS).raise_for_status()

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(post, made))

    if kind.seen:
        send(1)
    before = server.info()
    spent = during(cluster, lambda: send(0), idle)
    after = server.info()
    return Spent(
        body_mb=sum(len(body) for body, _, _ in made) / count / _MB,
        new_mb=sum(new for _, _, new in made) / count,
        ms={tier: 1000 * seconds / count for tier, seconds in spent.items()},
        commands=(after["total_commands_processed"] - before["total_commands_processed"]) / count,
        bytes=(after["used_memory"] - before["used_memory"]) / count,
    )


def fitted(found: list[Spent], of: Callable[[Spent], float], columns: int) -> list[float]:
    """Costs for a request, a megabyte of new text and a megabyte of body, none below nothing."""
    told = np.array([[1.0, one.new_mb, one.body_mb][:columns] for one in found])
    values, left = np.array([of(one) for one in found]), list(range(columns))
    while True:
        solved = np.linalg.lstsq(told[:, left], values, rcond=None)[0]
        if (solved >= 0).all():
            return [float(solved[left.index(n)]) if n in left else 0.0 for n in range(columns)]
        left.pop(int(solved.argmin()))


def redis_speed(server: redis.Redis) -> float:
    """Commands a second of CPU of the server, in batches of about what a request needs."""
    before = server.info("cpu")
    began = before["used_cpu_user"] + before["used_cpu_sys"]
    count = 0
    for number in range(2000):
        batch = server.pipeline(transaction=False)
        for n in range(10):
            batch.set(f"probe:{number}:{n}", b"x" * 1500, px=60_000)
            batch.get(f"probe:{number}:{n}")
        count += len(batch.execute())
    after = server.info("cpu")
    server.delete(*server.scan_iter("probe:*", count=1000))
    return count / (after["used_cpu_user"] + after["used_cpu_sys"] - began)


def table(count: int, folder: Path, store: RedisServer) -> Costs:
    from tests.serve.conftest import ENVIRONMENT

    os.environ.update(ENVIRONMENT, **FAST, HEADROOM_HOME=str(folder / "home"))
    from tests.serve.deployed import Deployed, cluster  # Ray reads the environment when it is imported

    one = {"num_replicas": 1}
    with stand_in() as provider, cluster() as url, redis.Redis(port=store.port) as server, httpx.Client(base_url=url, timeout=60) as client:
        deployed = Deployed(url, folder / "home", provider.url)
        args = deployed._described(store=store.url, ingress=one)
        began = time.monotonic()
        deployed._run(args.model_copy(update={"compressor": args.compressor.model_copy(update=one)}))
        start_s = time.monotonic() - began
        running = Cluster()
        with neighbours():
            idle = {tier: spent / 6 for tier, spent in during(running, lambda: time.sleep(5), {}).items()}
            warm = KINDS[0], KINDS[2]
            for kind in warm:
                measured(kind, 10, client, running, server, idle)
            found = [measured(kind, count, client, running, server, idle) for kind in KINDS]
        speed = redis_speed(server)
    for kind, spent in zip(KINDS, found, strict=True):
        shown = ", ".join(f"{tier} {ms:.1f} ms" for tier, ms in spent.ms.items())
        print(f"{kind.name:12} body {1000 * spent.body_mb:.0f} KB, new {1000 * spent.new_mb:.0f} KB: {shown}; Redis {spent.commands:.0f}")
    ingress = fitted(found, lambda spent: spent.ms["Ingress"], 3)
    compressor = fitted(found, lambda spent: spent.ms["Compressor"], 3)
    kept, asked = fitted(found, lambda spent: spent.bytes, 2), fitted(found, lambda spent: spent.commands, 1)
    Folder(str(folder)).write("rows.parquet", pool(20_000))
    today = datetime.date.today().isoformat()
    return Costs(
        measured=f"{today}, headroom {metadata.version('headroom')}, Ray {metadata.version('ray')}, {_processor()}, all busy",
        ingress=_tier(ingress, running.replica_mb["Ingress"]),
        compressor=_tier(compressor, running.replica_mb["Compressor"]),
        stats=TierCost(ms=round(sum(one.ms["Stats"] for one in found) / len(found), 3), replica_mb=round(running.replica_mb["Stats"])),
        store=StoreCost(commands=round(asked[0], 1), bytes=round(kept[0]), bytes_per_new_mb=round(kept[1]), commands_s=round(speed, -3)),
        ledger_bytes=round((folder / "rows.parquet").stat().st_size / 20_000, 1),
        ray_mb=round(running.ray_mb),
        start_s=round(start_s, 1),
    )


def _tier(cost: list[float], memory: float) -> TierCost:
    return TierCost(ms=round(cost[0], 3), ms_per_new_mb=round(cost[1], 2), ms_per_mb=round(cost[2], 2), replica_mb=round(memory))


def _processor() -> str:
    names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.machine()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=150, help="of each kind")
    parser.add_argument("--write", action="store_true", help="into the package")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as store:
        found = table(arguments.requests, Path(folder), store)
    told = json.dumps(found.model_dump(), indent=2) + "\n"
    print(told)
    if arguments.write:
        _TABLE.write_text(told)


if __name__ == "__main__":
    main()
