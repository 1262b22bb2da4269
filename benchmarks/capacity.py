"""The capacity model against the real thing: `python -m benchmarks.capacity`, about eight minutes.

On a Ray cluster of its own a deployment with the Compressor's settings is asked by recorded arrivals: quiet, busy, quiet, and again. Its
work is to sleep for a known time, one request at a time in each replica as under one interpreter lock, so that replicas matter although
this machine has few cores. The model is given the same arrivals, and what this machine made of the rest: how long the work really took, a
call without any, and each replica to start. When handles report, and which replicas the router draws, is chance in both: the model replays
the run many times, and printed are what was measured, and the median and the range of nine tenths of the replays.

Then one and two replicas of the real Compressor are kept busy, and the jobs a second held against what a job costs: `benchmarks/
capacity_compressor.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import logging
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.capacity_compressor import compressing
from headroom.capacity.rules import Scaling
from headroom.capacity.simulation import Replay, percentile, replayed
from headroom.capacity.tiers import COMPRESSOR
from headroom.cli.serve import FAST

SCALING = dataclasses.replace(COMPRESSOR, max_replicas=4, downscale_delay_s=60, look_back_period_s=20, max_queued_requests=-1)
WORK_S = 0.25
PHASES = ((15, 1.0), (75, 9.0), (40, 1.0))  # of a cycle: seconds, requests a second
RUSH_S = 35.0  # of the busy ones, after which replicas have come and what queued is done
BIN_S = 10.0
REPLAYS = 100
SAMPLE_S = 0.5
_WITHIN = 0.15


@dataclasses.dataclass(frozen=True)
class Asked:
    """When each request comes and its seconds of work, when the busy phases begin, and how long it all takes."""

    requests: list[tuple[float, float]]
    busy: list[float]
    seconds: float

    def within(self, begin: float, end: float) -> list[tuple[float, float]]:
        """The span of each cycle between two times after its busy phase began."""
        return [(at + begin, at + end) for at in self.busy]


def asked(seed: int, cycles: int) -> Asked:
    """Requests of independent people; each rush falls anywhere between two reports of a handle."""
    draw, at, end = random.Random(seed), 0.0, 0.0
    requests, busy = [], []
    for _ in range(cycles):
        end += draw.uniform(0, SCALING.metrics_interval_s)
        for seconds, rate in PHASES:
            end += seconds
            while (at := at + draw.expovariate(rate)) < end:
                requests.append((at, WORK_S * draw.uniform(0.4, 1.6)))
            at = end
        busy.append(end - PHASES[1][0] - PHASES[2][0])
    return Asked(requests, busy, end)


class Sleeper:
    """One request at a time, in order."""

    def __init__(self) -> None:
        self._lane = asyncio.Lock()

    async def __call__(self, seconds: float) -> float:
        """How long the work took."""
        async with self._lane:
            began = time.perf_counter()
            await asyncio.sleep(seconds)
            return time.perf_counter() - began


def serve_options(scaling: Scaling) -> dict[str, Any]:
    """The same settings for Serve: what its autoscaling knows of them, and the places of a replica."""
    from ray.serve.config import AutoscalingConfig

    told = dataclasses.asdict(scaling)
    known = {name: value for name, value in told.items() if name in AutoscalingConfig.model_fields}
    return {"autoscaling_config": known, "max_ongoing_requests": scaling.max_ongoing_requests}


def replicas() -> tuple[int, int]:
    """Those that run and those that start."""
    from ray import serve

    found = serve.status().applications.get("sleeper")
    states = found.deployments["Sleeper"].replica_states if found and "Sleeper" in found.deployments else {}
    return states.get("RUNNING", 0), states.get("STARTING", 0)


def deployed(deployment: Any, **options: Any) -> Any:
    from ray import serve

    return serve.run(
        serve.deployment(name="Sleeper", ray_actor_options={"num_cpus": 0.1}, **options)(deployment).bind(),
        name="sleeper",
        route_prefix=None,
    )


async def driven(handle: Any, told: Asked) -> tuple[Replay, list[float], list[float]]:
    """What the real thing made of the requests, how long the work of each took, and how long each replica took to start."""
    loop, began, count = asyncio.get_running_loop(), time.monotonic(), len(told.requests)
    found, work = Replay([0.0] * count, [0.0] * count, []), [0.0] * count
    starting: list[int] = []

    async def request(number: int, seconds: float) -> None:
        came = time.monotonic()
        work[number] = await handle.remote(seconds)
        found.done[number] = time.monotonic() - began
        found.waits[number] = time.monotonic() - came - work[number]

    async def sampled() -> None:
        while time.monotonic() - began < told.seconds:
            running, coming = await loop.run_in_executor(None, replicas)
            found.replicas.append((time.monotonic() - began, running))
            starting.append(coming)
            await asyncio.sleep(SAMPLE_S)

    watching = asyncio.create_task(sampled())
    tasks = []
    for number, (at, seconds) in enumerate(told.requests):
        await asyncio.sleep(max(0.0, began + at - time.monotonic()))
        tasks.append(asyncio.create_task(request(number, seconds)))
    await asyncio.gather(*tasks, watching)
    return found, work, starts(found.replicas, starting)


def starts(running: Sequence[tuple[float, int]], starting: Sequence[int]) -> list[float]:
    """Seconds that each replica took to start, the first that began being the first that came."""
    begun: list[float] = []
    found = []
    for number, ((_, before), (at, after)) in enumerate(itertools.pairwise(running)):
        came = max(0, after - before)
        begun += [at] * (starting[number + 1] + came - starting[number])
        found += [at - begun.pop(0) for _ in range(min(came, len(begun)))]
    return found


def mean_replicas(found: Replay, spans: Sequence[tuple[float, float]]) -> float:
    counts = [count for at, count in found.replicas if any(begin <= at < end for begin, end in spans)]
    return sum(counts) / max(1, len(counts))


def compared(told: Asked, real: Replay, models: Sequence[Replay]) -> None:
    busy_s = PHASES[1][0]
    settled, rush, whole = told.within(RUSH_S, busy_s), told.within(0, RUSH_S), [(0.0, told.seconds)]

    def throughput(found: Replay) -> float:
        return sum(begin <= done < end for done in found.done for begin, end in settled) / sum(end - begin for begin, end in settled)

    def places(spans: Sequence[tuple[float, float]]) -> list[int]:
        return [place for place, (at, _) in enumerate(told.requests) if any(begin <= at < end for begin, end in spans)]

    def wait(percent: float, spans: Sequence[tuple[float, float]]) -> Callable[[Replay], float]:
        counted = places(spans)
        return lambda found: 1000 * percentile([found.waits[place] for place in counted], percent)

    def mean_wait(found: Replay) -> float:
        return 1000 * statistics.fmean(found.waits[place] for place in places(rush))

    def both(name: str, unit: str, of: Callable[[Replay], float]) -> None:
        said(name, unit, of(real), [of(model) for model in models])

    both("throughput, busy and settled", "requests/s", throughput)
    both("p95 wait, busy and settled", "ms", wait(95, settled))
    both("p95 wait, the rush", "ms", wait(95, rush))
    both("mean wait, the rush", "ms", mean_wait)
    both("p95 wait, whole run", "ms", wait(95, whole))
    both("replicas, mean of whole run", "", lambda found: mean_replicas(found, whole))
    both("replicas, busy and settled", "", lambda found: mean_replicas(found, settled))
    spans = [(begin, begin + BIN_S) for begin in range(0, int(told.seconds), int(BIN_S))]
    measured = [mean_replicas(real, [span]) for span in spans]
    predicted = [statistics.fmean(mean_replicas(model, [span]) for model in models) for span in spans]
    print(f"replicas every {BIN_S:.0f} s: measured  {' '.join(f'{one:.1f}' for one in measured)}")
    print(f"                     predicted {' '.join(f'{one:.1f}' for one in predicted)}")
    off = sum(abs(one - other) for one, other in zip(measured, predicted, strict=True)) / sum(measured)
    print(f"replicas over time differ by {off:.1%} of the area{'' if off <= _WITHIN else '  NOT WITHIN 15 %'}")


def said(name: str, unit: str, real: float, models: Sequence[float]) -> None:
    """What was measured, beside the median of what was predicted and, of several, the range of nine tenths."""
    model, least, most = statistics.median(models), percentile(models, 5), percentile(models, 95)
    off = model / real - 1 if real else 0.0
    span = f"({least:.2f} to {most:.2f})" if len(models) > 1 else ""
    mark = "" if abs(off) <= _WITHIN else "  NOT WITHIN 15 %" + (", in the range" if least <= real <= most else "")
    print(f"{name:30} measured {real:9.2f} predicted {model:9.2f} {span:22} {unit:11} {off:+.1%}{mark}")


def sleeping(seed: int, cycles: int) -> None:
    told = asked(seed, cycles)
    handle = deployed(Sleeper, **serve_options(SCALING))

    async def both() -> tuple[float, Replay, list[float], list[float]]:
        hops = []
        for _ in range(30):
            began = time.perf_counter()
            hops.append(-await handle.remote(0.0) + time.perf_counter() - began)
        await asyncio.sleep(SCALING.look_back_period_s)
        return statistics.median(hops), *await driven(handle, told)

    hop_s, real, work, started = asyncio.run(both())
    shown = " ".join(f"{seconds:.1f}" for seconds in started)
    print(f"{len(told.requests)} requests; replicas started in {shown} s, a hop takes {1000 * hop_s:.1f} ms")
    quiet_s = SCALING.look_back_period_s  # nobody had asked for as long as is looked back
    measured = [(quiet_s + at, took) for (at, _), took in zip(told.requests, work, strict=True)]
    models = []
    for number in range(REPLAYS):
        model = replayed(SCALING, measured, start_s=statistics.fmean(started), hop_s=hop_s, seed=number, until_s=quiet_s + told.seconds)
        model.done[:] = [done - quiet_s for done in model.done]
        model.replicas[:] = [(at - quiet_s, count) for at, count in model.replicas]
        models.append(model)
    compared(told, real, models)


def computing(home: Path, seconds: float) -> None:
    for case in compressing(home, seconds):
        count, costs, done = case.replicas, case.costs, case.done
        each, asking = (1000 * spent / costs.jobs for spent in (costs.replicas, costs.asking))
        used, idle = done.replicas / done.seconds, done.idle / done.seconds
        print(f"costs of a job: {each:.2f} ms CPU of a replica, {asking:.2f} of what asks; Ray {costs.ray / costs.seconds:.2f} cores")
        print(f"Compressor, {count} replicas: {used:.2f} cores and {idle:.2f} idle, of {done.free:.2f} that others left")
        said(f"CPU of a job, {count} replicas", "ms", 1000 * done.replicas / done.jobs, [each])
        said(f"jobs/s of {count} replicas", "jobs/s", done.rate, [case.predicted])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cycles", type=int, default=3, help="of quiet, busy and quiet, 130 s each")
    parser.add_argument("--seconds", type=float, default=10, help="of keeping the real Compressor busy")
    parser.add_argument("--only", choices=["sleep", "compress"])
    arguments = parser.parse_args()
    from tests.serve.conftest import ENVIRONMENT

    os.environ.update(ENVIRONMENT, **FAST)
    with tempfile.TemporaryDirectory() as home:
        os.environ["HEADROOM_HOME"] = home
        from tests.serve.deployed import cluster  # Ray reads the environment when it is imported

        with cluster():
            logging.getLogger("ray.serve").setLevel(logging.ERROR)
            if arguments.only != "compress":
                sleeping(arguments.seed, arguments.cycles)
            if arguments.only != "sleep":
                computing(Path(home), arguments.seconds)


if __name__ == "__main__":
    main()
