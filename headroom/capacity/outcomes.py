"""The same minutes again and again: arrivals, sizes, routing and the moments of reports are chance, and a forecast is a range."""

from __future__ import annotations

import multiprocessing
import os
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

from headroom.capacity.plan import settled
from headroom.capacity.simulation import Course

PERCENTS = (50, 95, 99)
_WORTH = 20_000  # requests of a course, from which on it is worth a process of its own


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one course: seconds of waiting for a compressor at the peak by percentile, replicas there by deployment, and the share of
    requests that went on uncompressed."""

    wait_s: dict[int, float]
    replicas: dict[str, float]
    uncompressed: float

    @classmethod
    def of(cls, course: Course) -> Outcome:
        waits = {percent: course.wait_s(percent, course.peak) for percent in PERCENTS}
        return cls(waits, {name: settled(course, name) for name in ("ingress", "compressor")}, course.uncompressed / max(1, course.asked))


@dataclass(frozen=True, slots=True)
class Range:
    """Of several outcomes: the middle one, the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], value: Callable[[Outcome], float]) -> Range:
        values = [value(outcome) for outcome in outcomes]
        return cls(statistics.median(values), min(values), max(values))


def several(course: Callable[..., Course], seeds: Sequence[int], requests: float) -> tuple[Course, list[Outcome]]:
    """The course of the first seed, and what came of each; long ones, of so many requests, on all cores. `course` takes
    a `seed` and can be pickled."""
    if len(seeds) == 1 or requests < _WORTH or (os.cpu_count() or 1) == 1:
        first = course(seed=seeds[0])
        return first, [Outcome.of(first), *(Outcome.of(course(seed=seed)) for seed in seeds[1:])]
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(len(seeds) - 1, os.cpu_count() or 1), spawning) as pool:
        others = pool.map(partial(_outcome, course), seeds[1:])
        first = course(seed=seeds[0])
        return first, [Outcome.of(first), *others]


def _outcome(course: Callable[..., Course], seed: int) -> Outcome:
    return Outcome.of(course(seed=seed))
