"""The real Compressor, kept busy, for `python -m benchmarks.capacity`: what a job costs, and what replicas make of that.

A job's CPU hangs on how busy the machine is, so it is measured twice: one at a time by one replica, with a core to spare, and by two
deployments side by side that keep every core busy with jobs of the same kind. From the first is predicted what one replica does that gets
as many as it takes, from the second what two replicas of a deployment do: a replica computes on one core at most, and what asks, what
answers and Ray share the cores that there are. All four take turns, so that what else happens on the machine falls on each. No job comes
twice, or its result would be remembered.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.capacity_costs import cpu_s, processes
from benchmarks.neighbours import jobs
from headroom.capacity.tiers import COMPRESSOR

AT_ONCE = COMPRESSOR.max_ongoing_requests - 1  # for each replica: with one more they refuse some, and Ray's asking again is dear
_MOST = 400  # jobs a second that there must be enough of
_TURN_S = 2.0
_BLOCK = 10**6  # numbers of jobs that are asked for together
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Spent:
    """CPU seconds of so many jobs, of seconds on the clock: the replicas, what asks, Ray's own processes; and what no process took."""

    jobs: int
    seconds: float
    replicas: float
    asking: float
    ray: float
    idle: float

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return self.jobs / self.seconds

    @property
    def free(self) -> float:
        """Cores that these processes had or could have had."""
        return (self.replicas + self.asking + self.ray + self.idle) / self.seconds

    def predicted(self, replicas: int, free: float) -> float:
        """Jobs a second of so many replicas on so many cores, by what these jobs cost."""
        by_lock = replicas * self.jobs / self.replicas
        by_cores = (free - self.ray / self.seconds) * self.jobs / (self.replicas + self.asking)
        return min(by_lock, by_cores)


@dataclass(frozen=True)
class Case:
    """What was measured of so many replicas, and of the jobs that its costs are from."""

    replicas: int
    costs: Spent
    done: Spent

    @property
    def predicted(self) -> float:
        """Jobs a second."""
        return self.costs.predicted(self.replicas, self.done.free)


class _Asking:
    """Deployments by name, so many at once for each, and what they cost and took so far."""

    def __init__(self, handles: dict[str, Any], at_once: int, blocks: Iterator[int]) -> None:
        self._handles, self._at_once, self._blocks = handles.values(), at_once, blocks
        found = {place for name in handles for place in processes(f"ServeReplica:{name}:Compressor")}
        self._replicas = [place for place in found if "IDLE" not in (place / "cmdline").read_text()]
        ours = {*self._replicas, Path("/proc") / str(os.getpid())}
        self._ray = [place for place in {*processes("ray::"), *processes("/ray/")} if place not in ours]
        self._turns: list[Spent] = []

    def spent(self) -> Spent:
        """The sum of all turns but the first, which only warms up."""
        turns = [dataclasses.astuple(turn) for turn in self._turns[1:]]
        return Spent(*map(sum, zip(*turns, strict=True)))

    async def turn(self, seconds: float) -> None:
        """Ask one after the other for so many seconds."""
        made = iter(jobs(_BLOCK * next(self._blocks), int(_MOST * seconds)))
        done, began, before = 0, time.monotonic(), self._cpu()

        async def one_by_one(handle: Any) -> None:
            nonlocal done
            while time.monotonic() - began < seconds and (job := next(made, None)):
                await handle.remote(job)
                done += 1

        await asyncio.gather(*(one_by_one(handle) for handle in self._handles for _ in range(self._at_once)))
        took, after = time.monotonic() - began, self._cpu()
        self._turns.append(Spent(done, took, *(end - start for start, end in zip(before, after, strict=True))))

    def _cpu(self) -> tuple[float, float, float, float]:
        ray = [place for place in self._ray if place.exists()]
        idle = Path("/proc/stat").read_text().partition("\n")[0].split()[4:6]
        return cpu_s(self._replicas), time.process_time(), cpu_s(ray), sum(map(int, idle)) / _TICKS


def compressing(home: Path, seconds: float) -> list[Case]:
    """One replica, and two, on the cluster that runs, for so many seconds each, in turns."""
    blocks = count()
    one, beside, two = (_deployed(home, name, replicas) for name, replicas in (("one", 1), ("beside", 1), ("two", 2)))
    spare, alone = (_Asking({"one": one}, at_once, blocks) for at_once in (1, AT_ONCE))
    busy, pair = _Asking({"one": one, "beside": beside}, AT_ONCE, blocks), _Asking({"two": two}, 2 * AT_ONCE, blocks)

    async def turns() -> None:
        for _ in range(1 + max(1, round(seconds / _TURN_S))):
            for asking in (spare, alone, busy, pair):
                await asking.turn(_TURN_S)

    asyncio.run(turns())  # one loop, that in which the handles are used first
    return [Case(1, spare.spent(), alone.spent()), Case(2, busy.spent(), pair.spent())]


def _deployed(home: Path, name: str, replicas: int) -> Any:
    from ray import serve

    from headroom.settings import load
    from serve_app.compressor import Compressor

    settings = load({("home",): str(home)})
    options = {"num_replicas": replicas, "max_ongoing_requests": COMPRESSOR.max_ongoing_requests, "ray_actor_options": {"num_cpus": 0.1}}
    deployment = serve.deployment(name="Compressor", **options)(Compressor).bind(settings, COMPRESSOR.max_ongoing_requests)
    return serve.run(deployment, name=name, route_prefix=None)
