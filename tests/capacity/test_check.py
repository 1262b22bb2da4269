"""What `python -m benchmarks.capacity` makes of its measurements."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.capacity import PHASES, SCALING, asked, serve_options, starts
from benchmarks.capacity_compressor import Spent
from benchmarks.neighbours import jobs
from headroom.capacity.rules import Scaling
from headroom.capacity.tiers import COMPRESSOR


def test_serve_is_told_what_the_model_has() -> None:
    config = pytest.importorskip("ray.serve.config")
    options = serve_options(SCALING)
    theirs = config.AutoscalingConfig(**options["autoscaling_config"])
    for field in dataclasses.fields(Scaling):
        if hasattr(theirs, field.name):
            assert getattr(theirs, field.name) == getattr(SCALING, field.name), field.name
    assert theirs.metrics_interval_s == COMPRESSOR.metrics_interval_s
    assert options["max_ongoing_requests"] == COMPRESSOR.max_ongoing_requests


def test_each_cycle_is_quiet_busy_and_quiet() -> None:
    told = asked(1, 3)
    (quiet_s, quiet), (busy_s, busy), (after_s, _) = PHASES
    assert len(told.busy) == 3
    assert told.busy[2] + busy_s + after_s == pytest.approx(told.seconds)
    assert [at for at, _ in told.requests] == sorted(at for at, _ in told.requests)
    apart = {round((after - before) % SCALING.metrics_interval_s, 3) for before, after in zip(told.busy, told.busy[1:], strict=False)}
    assert len(apart) == 2, "each rush falls elsewhere between two reports"
    for begin, end in told.within(0, busy_s):
        assert sum(begin <= at < end for at, _ in told.requests) == pytest.approx(busy * busy_s, rel=0.15)
    for begin, end in told.within(-quiet_s, 0):
        assert sum(begin <= at < end for at, _ in told.requests) < 3 * quiet * quiet_s


def test_how_long_each_replica_took_to_start() -> None:
    counts = [(0.0, 1), (1.0, 1), (2.0, 1), (3.0, 2), (4.0, 2), (5.0, 4), (6.0, 3)]
    assert starts(counts, [0, 2, 3, 2, 2, 0, 0]) == [2.0, 4.0, 3.0]


def test_jobs_a_second_by_their_cost() -> None:
    costs = Spent(jobs=1000, seconds=10.0, replicas=5.0, asking=2.5, ray=1.0, idle=0.5)
    assert costs.free == pytest.approx(0.9)
    assert costs.predicted(1, free=16.0) == pytest.approx(200), "one interpreter lock"
    assert costs.predicted(3, free=16.0) == pytest.approx(600)
    assert costs.predicted(2, free=2.0) == pytest.approx(1.9 / 0.0075), "two cores, less what Ray takes"


def test_no_job_comes_twice() -> None:
    texts = [segment.text for job in jobs(5, 20) for segment in job.segments]
    assert len(set(texts)) == len(texts) >= 20
