"""Does it stay as small as it was? `python -m benchmarks.soak --minutes 60 [--own URL@PID] [--rate 4]`

Mixed streamed traffic with clients that go away midway, conversations that go on, and large bodies; every --every seconds resident memory
and open descriptors of each process of the server. At the end, per process, the slope of its memory over the second half of the time,
because the first fills caches, with its 95 % interval, and how descriptors and files have grown. Without --own a `headroom proxy` is
started, on --port + 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.load import Target, ask, body, named, own_proxy
from benchmarks.stamping import provider

_LASTING = 0.5  # of the time; a process that was there for less has no slope


@dataclass(frozen=True, slots=True)
class Sample:
    at_s: float
    rss_mb: float
    descriptors: int


@dataclass(frozen=True, slots=True)
class Slope:
    """Of a straight line through samples, in units per hour, with half the width of its 95 % interval."""

    per_hour: float
    margin: float

    @property
    def is_zero(self) -> bool:
        return abs(self.per_hour) <= self.margin


def slope(samples: list[tuple[float, float]], batches: int = 12) -> Slope:
    """Least squares over the means of batches, because samples that follow each other are not independent; seconds in, hours out."""
    means = np.array([np.mean(part, axis=0) for part in np.array_split(np.array(samples), batches)])
    x, y = means[:, 0] / 3600, means[:, 1]
    x = x - x.mean()
    per_hour = float((x * y).sum() / (x * x).sum())
    rest = y - y.mean() - per_hour * x
    error = float(np.sqrt((rest**2).sum() / (batches - 2) / (x * x).sum()))
    return Slope(per_hour, 2.228 * error)  # Student's t for 10 degrees of freedom


class Traffic:
    """Requests that come by chance; what became of them is counted."""

    def __init__(self, target: Target, rate: float, seed: str) -> None:
        self.seen: Counter[str] = Counter()
        self._target, self._rate = target, rate
        self._chance = random.Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0

    async def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(self._chance.expovariate(self._rate))
            self._number += 1
            task = asyncio.create_task(self._one(self._number))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await asyncio.gather(*self._tasks)

    async def _one(self, number: int) -> None:
        kb = self._chance.choices((5, 20, 100, 1000), weights=(6, 6, 3, 0.3))[0]
        talk, turn = divmod(number, 4)  # four turns to a conversation
        content = body(kb, f"soak {talk}", chunks=10, gap_ms=30, turns=turn)
        asking = ask(self._target, content)
        if self._chance.random() < 0.1:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asking, self._chance.uniform(0.01, 0.3))
            self.seen["gave up"] += 1
            return
        answer = await asking
        self.seen[answer.error or "answered"] += 1


async def watch(pid: int, every_s: float, found: dict[tuple[int, str], list[Sample]]) -> None:
    """Until cancelled."""
    begun = time.monotonic()
    while True:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                title = " ".join(process.cmdline()[1:4])[-60:]
                sample = Sample(time.monotonic() - begun, process.memory_info().rss / 1e6, process.num_fds())
                found[process.pid, title].append(sample)
        await asyncio.sleep(every_s)


def report(found: dict[tuple[int, str], list[Sample]], seconds: float) -> Table:
    table = Table(title="Each process, over the second half", caption="growth is the slope with its 95 % interval")
    for head in ("process", "MB at half", "MB at the end", "MB an hour", "zero", "descriptors", "at the end"):
        table.add_column(head, justify="left" if head == "process" else "right")
    for (pid, title), samples in sorted(found.items()):
        half = [sample for sample in samples if sample.at_s >= seconds / 2]
        if not half or samples[-1].at_s - samples[0].at_s < _LASTING * seconds or len(half) < 24:
            continue
        memory = slope([(sample.at_s, sample.rss_mb) for sample in half])
        table.add_row(
            f"{pid} {title}",
            f"{half[0].rss_mb:.0f}",
            f"{half[-1].rss_mb:.0f}",
            f"{memory.per_hour:+.1f} ± {memory.margin:.1f}",
            "yes" if memory.is_zero else "no",
            str(half[0].descriptors),
            str(half[-1].descriptors),
        )
    return table


async def _soak(target: Target, args: argparse.Namespace) -> None:
    found: dict[tuple[int, str], list[Sample]] = defaultdict(list)
    traffic = Traffic(target, args.rate, args.seed)
    watching = asyncio.create_task(watch(target.pid, args.every, found))
    await traffic.run(60 * args.minutes)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    Console(width=150).print(report(found, 60 * args.minutes))
    print(*(f"{count:,} {what}" for what, count in traffic.seen.most_common(8)), sep="; ")
    async with target.client.get(f"{target.url}/stats") as stats:
        if stats.status == HTTPStatus.OK:
            print("requests counted:", (await stats.json()).get("requests"))
    await target.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=4, help="requests a second")
    parser.add_argument("--every", type=float, default=5, help="seconds between two looks")
    parser.add_argument("--port", type=int, default=9910)
    parser.add_argument("--own", metavar="URL@PID")
    parser.add_argument("--seed", default="soak")
    args = parser.parse_args()
    with ExitStack() as stack:
        upstream = stack.enter_context(provider(args.port))
        target = named(args.own, "headroom") if args.own else stack.enter_context(own_proxy(upstream, args.port + 1))
        home = Path(target.home) if target.home else None
        asyncio.run(_soak(target, args))
        if home:
            print("home at the end:", {entry.name: f"{_size(entry) / 1e6:.1f} MB" for entry in sorted(home.iterdir())})


def _size(place: Path) -> int:
    return sum(file.stat().st_size for file in ([place] if place.is_file() else place.rglob("*")) if file.is_file())


if __name__ == "__main__":
    main()
