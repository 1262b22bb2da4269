"""An organisation's busiest minutes in simulated time: a slow start, the peak, a node that dies in the middle of it, and the end.

A request takes room at an ingress, some of its CPU, then room and CPU at a compressor, and streams its answer. What is too late for
the compressor, or finds its queue full, goes on uncompressed, as in the real thing; what streamed through the node is cut off. The same
seed gives the same course.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import simpy

from headroom.capacity.costs import Costs
from headroom.capacity.load import Load
from headroom.capacity.rules import Scaling
from headroom.capacity.tier import Steps, Tier
from headroom.capacity.tiers import Tiers

_QUIET = 0.25  # of the peak's requests, before and after it
_PHASES = (0.2, 0.1, 0.5, 0.2)  # of the time: from nothing to quiet, rising, peak, quiet
_DIES = 0.5  # of the peak
_SETTLED = 0.3  # of the peak, after which the replicas are as many as they will be
SAMPLE_S = 5.0
_REPLAY_SAMPLE_S = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """The system at one moment; rates are of the seconds since the sample before."""

    at_s: float
    asked: float
    done: float
    replicas: dict[str, int]
    load: dict[str, int]
    cpus: float


@dataclass(slots=True)
class Course:
    """What came of every request: seconds it waited for the compressor, by when it came; and the samples."""

    load: Load
    seconds: float
    peak: tuple[float, float] = (0.0, 0.0)
    died_s: float | None = None
    samples: list[Sample] = field(default_factory=list)
    waits: list[tuple[float, float]] = field(default_factory=list)
    asked: int = 0
    uncompressed: int = 0
    cut_off: int = 0
    refused: int = 0

    def wait_s(self, percent: float, of: tuple[float, float] | None = None) -> float:
        """A percentile of the waits of requests that came in a span of time."""
        begin, end = of or (0.0, self.seconds)
        return percentile([wait for at, wait in self.waits if begin <= at < end], percent)

    def at_peak(self) -> list[Sample]:
        """The samples of the peak once replicas have come, until the node dies."""
        begin, end = self.peak
        settled = begin + _SETTLED * (end - begin)
        return [sample for sample in self.samples if settled <= sample.at_s < (self.died_s or end)]


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent do not exceed; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


def simulated(
    load: Load, tiers: Tiers, costs: Costs, *, nodes: int, seconds: float, failure: bool, seed: int, deadline_s: float = 3.0
) -> Course:
    """The course of so many seconds on so many nodes, of which one dies where there is to be a failure."""
    quiet, rising, peak, _ = (share * seconds for share in _PHASES)
    begin, end = quiet + rising, quiet + rising + peak
    course = Course(load, seconds, (begin, end), begin + _DIES * peak if failure else None)
    _Run(load, tiers, costs, course, nodes, seed, deadline_s).run()
    return course


@dataclass(frozen=True, slots=True)
class Replay:
    """Requests to one deployment: what each waited before work began and when it was done, and how many replicas there were when."""

    waits: list[float]
    done: list[float]
    replicas: list[tuple[float, int]]


def replayed(
    scaling: Scaling, requests: Sequence[tuple[float, float]], *, start_s: float, hop_s: float = 0.0, seed: int = 0, until_s: float = 0.0
) -> Replay:
    """One deployment under requests that come at known seconds, in order, with known seconds of work each; a call takes `hop_s` more."""
    env = simpy.Environment()
    tier = Tier(env, scaling, random.Random(seed), start_s)
    found = Replay([math.nan] * len(requests), [math.inf] * len(requests), [])

    def request(number: int, work: float) -> Steps:
        came = env.now
        replica = yield from tier.enter()
        if replica is not None:
            queued = env.now - came
            found.waits[number] = queued + hop_s + (yield from tier.work(replica, work))
            yield env.timeout(hop_s)
            found.done[number] = env.now
            tier.leave(replica)

    def come() -> Steps:
        for number, (at, work) in enumerate(requests):
            yield env.timeout(at - env.now)
            env.process(request(number, work))

    def sampled() -> Steps:
        while True:
            found.replicas.append((env.now, len(tier.replicas)))
            yield env.timeout(_REPLAY_SAMPLE_S)

    env.process(sampled())
    env.run(env.process(come()))
    env.run(until=max(env.now + _REPLAY_SAMPLE_S, until_s))
    while tier.load:
        env.run(until=env.now + 1)
    return found


class _Run:
    def __init__(self, load: Load, tiers: Tiers, costs: Costs, course: Course, nodes: int, seed: int, deadline_s: float) -> None:
        self._load, self._costs, self._course, self._nodes, self._deadline_s = load, costs, course, nodes, deadline_s
        self._env = simpy.Environment()
        draws = [random.Random(f"{seed}:{name}") for name in ("arrivals", "sizes", "routing")]
        self._arrivals, self._sizes = draws[:2]
        self._ingress, self._compressor = (
            Tier(self._env, scaling, draws[2], costs.start_s, nodes) for scaling in (tiers.ingress, tiers.compressor)
        )
        self._done = 0

    def run(self) -> None:
        self._env.process(self._come())
        self._env.process(self._sampled())
        if self._course.died_s is not None:
            self._env.process(self._failure(self._course.died_s))
        self._env.run(until=self._course.seconds)
        self._course.refused = self._ingress.refused

    def _rate(self, now: float) -> float:
        begin, end = self._course.peak
        quiet, rising, _, _ = _PHASES
        peak, low, start = self._load.peak_rate, _QUIET * self._load.peak_rate, quiet * self._course.seconds
        if begin <= now < end:
            return peak
        if now < start:
            return low * now / start
        if now < begin:
            return low + (peak - low) * (now - start) / (rising * self._course.seconds)
        return low

    def _come(self) -> Steps:
        """Requests of many independent people: at every moment as probable as the rate says."""
        most = self._load.peak_rate
        while True:
            yield self._env.timeout(self._arrivals.expovariate(most))
            if self._arrivals.random() * most < self._rate(self._env.now):
                self._course.asked += 1
                self._env.process(self._request())

    def _request(self) -> Steps:
        env, costs, course = self._env, self._costs, self._course
        body, new, answer = self._load.drawn(self._sizes)
        ingress = yield from self._ingress.enter()
        if ingress is None:
            return
        yield from self._ingress.work(ingress, costs.ingress.seconds(body, new))
        came = env.now
        compressor = yield from self._compressor.enter()
        compressed = False
        if compressor is not None:
            waited = env.now - came
            if waited < self._deadline_s:
                waited += yield from self._compressor.work(compressor, costs.compressor.seconds(body, new))
            compressed = self._compressor.leave(compressor) and env.now - came <= self._deadline_s
            course.waits.append((came, waited))
        course.uncompressed += not compressed
        yield env.timeout(answer)
        if self._ingress.leave(ingress):
            self._done += 1
        else:
            course.cut_off += 1

    def _failure(self, at: float) -> Steps:
        yield self._env.timeout(at)
        for tier in (self._ingress, self._compressor):
            tier.kill(0)

    def _sampled(self) -> Steps:
        tiers = {"ingress": self._ingress, "compressor": self._compressor}
        asked, done, busy = 0, 0, 0.0
        while True:
            yield self._env.timeout(SAMPLE_S)
            worked = sum(tier.busy_s for tier in tiers.values())
            self._course.samples.append(
                Sample(
                    at_s=self._env.now,
                    asked=(self._course.asked - asked) / SAMPLE_S,
                    done=(self._done - done) / SAMPLE_S,
                    replicas={name: len(tier.replicas) for name, tier in tiers.items()},
                    load={name: tier.load for name, tier in tiers.items()},
                    cpus=(worked - busy) / SAMPLE_S,
                )
            )
            asked, done, busy = self._course.asked, self._done, worked
