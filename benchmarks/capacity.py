"""The capacity model against the real thing: `python -m benchmarks.capacity`, about five minutes.

On a Ray cluster of its own a deployment with the Compressor's settings is asked by recorded arrivals: quiet, busy, quiet. Its work is to
sleep for a known time, one request at a time in each replica as under one interpreter lock, so that replicas matter although this machine
has few cores. The model is given the same arrivals, and what this machine made of the rest: how long the work really took, a call without
any, and a replica to start. Printed are throughput, waits and replicas of both.

Then one and two replicas of the real Compressor are kept busy: the jobs a second against what their CPU time per job, measured one job
at a time, says.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import json
import logging
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headroom.capacity.rules import Scaling
from headroom.capacity.simulation import Replay, percentile, replayed
from headroom.capacity.tiers import COMPRESSOR

SCALING = dataclasses.replace(
    COMPRESSOR, max_replicas=4, upscale_delay_s=5, downscale_delay_s=120, look_back_period_s=20, max_queued_requests=-1
)
WORK_S = 0.25
PHASES = ((15, 1.0), (120, 9.0), (90, 1.0))  # seconds, requests a second
BIN_S = 10.0
_WITHIN = 0.15


def arrivals(seed: int) -> list[tuple[float, float]]:
    """When each request comes, and its seconds of work."""
    draw, at, end, found = random.Random(seed), 0.0, 0.0, []
    for seconds, rate in PHASES:
        end += seconds
        while (at := at + draw.expovariate(rate)) < end:
            found.append((at, WORK_S * draw.uniform(0.4, 1.6)))
        at = end
    return found


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


async def driven(handle: Any, requests: Sequence[tuple[float, float]]) -> tuple[Replay, list[float], float]:
    """What the real thing made of the requests, how long the work of each took, and how long a replica took to start."""
    loop, began, end = asyncio.get_running_loop(), time.monotonic(), sum(seconds for seconds, _ in PHASES)
    found, work = Replay([0.0] * len(requests), [0.0] * len(requests), []), [0.0] * len(requests)

    async def request(number: int, seconds: float) -> None:
        came = time.monotonic()
        work[number] = await handle.remote(seconds)
        found.done[number] = time.monotonic() - began
        found.waits[number] = time.monotonic() - came - work[number]

    starting: list[tuple[float, int]] = []

    async def sampled() -> None:
        while time.monotonic() - began < end:
            running, coming = await loop.run_in_executor(None, replicas)
            found.replicas.append((time.monotonic() - began, running))
            starting.append((time.monotonic(), coming))
            await asyncio.sleep(0.5)

    watching = asyncio.create_task(sampled())
    tasks = []
    for number, (at, seconds) in enumerate(requests):
        await asyncio.sleep(max(0.0, began + at - time.monotonic()))
        tasks.append(asyncio.create_task(request(number, seconds)))
    await asyncio.gather(*tasks, watching)
    waited = sum(coming * (later - at) for (at, coming), (later, _) in itertools.pairwise(starting))
    came = sum(max(0, after - before) for (_, before), (_, after) in itertools.pairwise(found.replicas))
    return found, work, waited / max(1, came)


def mean_replicas(found: Replay, begin: float, end: float) -> float:
    counts = [count for at, count in found.replicas if begin <= at < end]
    return sum(counts) / max(1, len(counts))


def compared(requests: Sequence[tuple[float, float]], real: Replay, model: Replay) -> None:
    quiet, busy = PHASES[0][0], PHASES[0][0] + PHASES[1][0]
    settled, whole = (quiet + 0.4 * PHASES[1][0], busy), (0.0, sum(seconds for seconds, _ in PHASES))

    def throughput(found: Replay) -> float:
        return sum(settled[0] <= done < settled[1] for done in found.done) / (settled[1] - settled[0])

    def wait(found: Replay, percent: float, span: tuple[float, float]) -> float:
        return 1000 * percentile([one for one, (at, _) in zip(found.waits, requests, strict=True) if span[0] <= at < span[1]], percent)

    said("throughput, busy", "requests/s", throughput(real), throughput(model))
    said("p95 wait, busy and settled", "ms", wait(real, 95, settled), wait(model, 95, settled))
    said("p95 wait, whole run", "ms", wait(real, 95, whole), wait(model, 95, whole))
    said("replicas, mean of whole run", "", mean_replicas(real, *whole), mean_replicas(model, *whole))
    said("replicas, busy and settled", "", mean_replicas(real, *settled), mean_replicas(model, *settled))
    said("most replicas", "", max(count for _, count in real.replicas), max(count for _, count in model.replicas))
    spans = [(begin, begin + BIN_S) for begin in range(0, int(whole[1]), int(BIN_S))]
    both = [(mean_replicas(real, *span), mean_replicas(model, *span)) for span in spans]
    print(f"replicas every {BIN_S:.0f} s: measured  {' '.join(f'{one:.1f}' for one, _ in both)}")
    print(f"                     predicted {' '.join(f'{one:.1f}' for _, one in both)}")
    off = sum(abs(one - other) for one, other in both) / sum(one for one, _ in both)
    print(f"replicas over time differ by {off:.1%} of the area{'' if off <= _WITHIN else '  NOT WITHIN 15 %'}")


def said(name: str, unit: str, real: float, model: float) -> None:
    off = model / real - 1 if real else 0.0
    print(f"{name:30} measured {real:9.2f} predicted {model:9.2f} {unit:11} {off:+.1%}{'' if abs(off) <= _WITHIN else '  NOT WITHIN 15 %'}")


def sleeping(seed: int) -> None:
    requests = arrivals(seed)
    handle = deployed(Sleeper, **serve_options(SCALING))

    async def both() -> tuple[float, Replay, list[float], float]:
        hops = []
        for _ in range(30):
            began = time.perf_counter()
            hops.append(-await handle.remote(0.0) + time.perf_counter() - began)
        await asyncio.sleep(SCALING.look_back_period_s)
        return statistics.median(hops), *await driven(handle, requests)

    hop_s, real, work, start_s = asyncio.run(both())
    print(f"{len(requests)} requests; a replica starts in {start_s:.1f} s, a hop takes {1000 * hop_s:.1f} ms")
    quiet_s, until_s = SCALING.look_back_period_s, sum(seconds for seconds, _ in PHASES)  # nobody had asked for as long as is looked back
    measured = [(quiet_s + at, took) for (at, _), took in zip(requests, work, strict=True)]
    model = replayed(SCALING, measured, start_s=start_s, hop_s=hop_s, seed=seed, until_s=quiet_s + until_s)
    model.done[:] = [done - quiet_s for done in model.done]
    model.replicas[:] = [(at - quiet_s, count) for at, count in model.replicas]
    compared(requests, real, model)


def jobs(count: int) -> list[Any]:
    from headroom.dialects import DIALECTS
    from headroom.library import Prepared
    from headroom.model import Policy
    from tests.batch.test_batch import talk

    dialect = DIALECTS["/v1/chat/completions"]
    made = []
    for number in range(count):
        body = {"model": "gpt-4o", "messages": talk(number, 100)["messages"]}
        made.append(Prepared.of(dialect, dialect.read(json.dumps(body).encode()), Policy()).job)
    return made


def compressing(count: int, seconds: float, home: Path) -> None:
    from ray import serve

    from benchmarks.capacity_costs import cpu_s, processes
    from headroom.settings import load
    from serve_app.compressor import Compressor

    settings = load({("home",): str(home)})
    options = {"num_replicas": count, "max_ongoing_requests": COMPRESSOR.max_ongoing_requests, "ray_actor_options": {"num_cpus": 0.1}}
    handle = serve.run(serve.deployment(name="Compressor", **options)(Compressor).bind(settings, 4), name="real", route_prefix=None)
    places = [place for place in processes("ServeReplica:real:Compressor") if "IDLE" not in (place / "cmdline").read_text()]
    made = jobs(2000)

    async def closed(at_once: int, until_s: float) -> tuple[float, float]:
        """Jobs a second, and CPU seconds a job."""
        done, began, before = 0, time.monotonic(), cpu_s(places)
        each = iter(made * 100)

        async def ask() -> None:
            nonlocal done
            while time.monotonic() - began < until_s:
                await handle.remote(next(each))
                done += 1

        await asyncio.gather(*(ask() for _ in range(at_once)))
        took = time.monotonic() - began
        return done / took, (cpu_s(places) - before) / done

    async def both() -> tuple[float, float, float, float]:
        await closed(1, 2.0)
        _, alone = await closed(1, seconds / 2)
        rate, busy = await closed(4 * count, seconds)
        return rate, alone, busy, rate * busy

    rate, alone, busy, cores = asyncio.run(both())
    print(f"Compressor, {count} replicas: {1000 * alone:.2f} ms CPU a job alone, {1000 * busy:.2f} when busy, {cores:.2f} cores used")
    said(f"jobs/s of {count} replicas", "jobs/s", rate, cores / alone)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10, help="of keeping the real Compressor busy")
    parser.add_argument("--only", choices=["sleep", "compress"])
    arguments = parser.parse_args()
    from tests.serve.conftest import ENVIRONMENT

    os.environ.update(ENVIRONMENT)
    with tempfile.TemporaryDirectory() as home:
        os.environ["HEADROOM_HOME"] = home
        from tests.serve.deployed import cluster  # Ray reads the environment when it is imported

        with cluster():
            logging.getLogger("ray.serve").setLevel(logging.ERROR)
            if arguments.only != "compress":
                sleeping(arguments.seed)
            if arguments.only != "sleep":
                for count in (1, 2):
                    compressing(count, arguments.seconds, Path(home))


if __name__ == "__main__":
    main()
