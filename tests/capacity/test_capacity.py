"""`headroom capacity`: the model against closed forms and Ray Serve's own policy, and the command."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import random
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from headroom.capacity import costs as tables
from headroom.capacity import outcomes
from headroom.capacity import tiers as described
from headroom.capacity.costs import CapacityError
from headroom.capacity.load import Load
from headroom.capacity.plan import Node, planned
from headroom.capacity.rules import QUEUED, Policy, Scaling, Seen
from headroom.capacity.simulation import replayed, simulated
from headroom.cli.main import main

ROOT = Path(__file__).parents[2]


def capacity(*words: object) -> Result:
    return CliRunner().invoke(main, ("capacity", *map(str, words)))


def poisson(rate: float, count: int, work_s: float, *, fixed: bool = False, seed: int = 1) -> list[tuple[float, float]]:
    draw, at, found = random.Random(seed), 0.0, []
    for _ in range(count):
        at += draw.expovariate(rate)
        found.append((at, work_s if fixed else draw.expovariate(1 / work_s)))
    return found


def erlang_c_wait(rate: float, work_s: float, servers: int) -> float:
    """The mean wait of M/M/c."""
    offered = rate * work_s
    below = sum(offered**n / math.factorial(n) for n in range(servers))
    full = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return full / (below + full) * work_s / (servers - offered)


@pytest.mark.parametrize(("lanes", "load"), [(1, 0.6), (4, 0.6), (8, 0.5)])
def test_a_replica_with_room_is_m_m_c(lanes: int, load: float) -> None:
    work_s = 0.2
    found = replayed(Scaling(max_ongoing_requests=10**6, lanes=lanes), poisson(load * lanes / work_s, 20_000, work_s, seed=3), start_s=0)
    mean = sum(found.waits) / len(found.waits)
    assert mean == pytest.approx(erlang_c_wait(load * lanes / work_s, work_s, lanes), rel=0.15)


def test_equal_work_waits_half_as_long() -> None:
    """M/D/1: half of M/M/1."""
    found = replayed(Scaling(max_ongoing_requests=10**6), poisson(3.0, 20_000, 0.2, fixed=True), start_s=0)
    assert sum(found.waits) / len(found.waits) == pytest.approx(erlang_c_wait(3.0, 0.2, 1) / 2, rel=0.1)


def test_a_full_queue_refuses_and_the_rest_is_done() -> None:
    scaling = Scaling(max_ongoing_requests=1, max_queued_requests=3)
    found = replayed(scaling, [(0.001 * n, 1.0) for n in range(10)], start_s=0)
    served = [wait for wait in found.waits if not math.isnan(wait)]
    assert len(served) == 4
    assert served == sorted(served)


def test_the_policy_decides_as_serve_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against Ray's own functions, step by step, over loads that come, stay and go."""
    ray_policy = pytest.importorskip("ray.serve.autoscaling_policy")
    from types import SimpleNamespace

    from ray.serve.config import AutoscalingConfig

    clock = [0.0]
    monkeypatch.setattr(ray_policy, "time", SimpleNamespace(time=lambda: clock[0]))
    for seed in range(20):
        draw = random.Random(seed)
        options = {
            "min_replicas": draw.randrange(0, 3),
            "max_replicas": draw.randrange(3, 12),
            "target_ongoing_requests": draw.choice([1, 2, 5.5]),
            "upscale_delay_s": draw.choice([0, 1, 5]),
            "downscale_delay_s": draw.choice([0, 2, 8]),
            "downscale_to_zero_delay_s": draw.choice([None, 3]),
            "upscaling_factor": draw.choice([1.0, 0.5, 2.0]),
            "downscaling_factor": draw.choice([1.0, 0.3]),
        }
        config, ours = AutoscalingConfig(**options), Policy(Scaling(**options))
        decide = ray_policy._apply_autoscaling_config(ray_policy._core_replica_queue_length_policy)
        target = running = max(1, options["min_replicas"])
        state: dict[str, object] = {}
        total = clock[0] = 0.0
        for _ in range(400):
            if draw.random() < 0.05:
                total = draw.choice([0.0, draw.uniform(0, 60)])
            if draw.random() < 0.2:
                running = target
            context = SimpleNamespace(
                config=config, total_num_requests=total, current_num_replicas=running, target_num_replicas=target, policy_state=state
            )
            theirs, state = decide(context)
            expected = min(max(math.ceil(theirs), options["min_replicas"]), options["max_replicas"])
            assert ours.decide(clock[0], total, running, target) == expected, (seed, clock, options)
            target, clock[0] = expected, clock[0] + 0.1


def test_the_controller_sees_what_rays_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against Ray's own store of a handle and its own sum of them, while replicas come, are asked for the first time, and go."""
    state = pytest.importorskip("ray.serve._private.autoscaling_state")
    from types import SimpleNamespace

    from ray.serve._private.common import TimeStampedValue
    from ray.serve._private.metrics_utils import InMemoryMetricsStore
    from ray.serve.config import AutoscalingConfig

    clock = [0.0]
    monkeypatch.setattr(state, "time", SimpleNamespace(time=lambda: clock[0]))
    controller = SimpleNamespace(_config=AutoscalingConfig())
    for seed in range(20):
        draw = random.Random(seed)
        window, every, begin = draw.choice([7.5, 20.0]), draw.choice([2.0, 6.0]), 0.25 * draw.randrange(8)
        record = min(0.2 * window, every)  # quarters of a second all of them, which Ray does not round
        seen, store = Seen(Scaling(metrics_interval_s=every, look_back_period_s=window), begin), InMemoryMetricsStore()
        running, gauges, reported = {0}, {QUEUED: 0.0}, {}
        for tick in range(600):
            now = clock[0] = 1000 + tick / 4
            if draw.random() < 0.03:
                running |= {tick} if len(running) < 4 and draw.random() < 0.6 else set()
                running -= {min(running)} if running and draw.random() < 0.4 else set()
                gauges = {key: value for key, value in gauges.items() if key == QUEUED or key in running}
            for key in (QUEUED, *sorted(running)):
                if draw.random() < 0.1:
                    gauges[key] = float(draw.choice([0, 0, 0, 1, 4]))
            since = now - 1000 - begin
            if since >= 0 and since % record == 0:
                store.add_metrics_point(gauges, now)
                store.prune_keys_and_compact_data(now - window)
            if since >= 0 and since % every == 0:
                store.prune_keys_and_compact_data(now - window)
                reported = {key: list(store.data.get(key, [TimeStampedValue(now, value)])) for key, value in gauges.items()}
            known = [series for key, series in reported.items() if key == QUEUED or key in running]
            theirs = state.DeploymentAutoscalingState._merge_and_aggregate_timeseries(controller, known)
            seen.look(now - 1000, lambda told=dict(gauges): told)
            assert seen.mean(now - 1000, frozenset(running)) == pytest.approx(theirs), (seed, tick)


def test_the_controller_sees_the_mean_of_what_was_reported() -> None:
    seen, running = Seen(Scaling(metrics_interval_s=2.0, look_back_period_s=10.0), 1.0), frozenset({0, 1})

    def mean(now: float, **gauges: float) -> float:
        seen.look(now, lambda: {QUEUED: gauges["queued"], **{int(name[1:]): value for name, value in gauges.items() if name != "queued"}})
        return seen.mean(now, running)

    assert mean(0.0, queued=9, _0=1) == 0.0, "not recorded yet"
    assert mean(1.0, queued=0, _0=0) == 0.0
    assert mean(3.0, queued=6, _0=4) == pytest.approx(10), "the window opens with what is not 0"
    assert mean(4.5, queued=99, _0=4) == pytest.approx(10), "not reported yet"
    assert mean(5.0, queued=36, _0=4) == pytest.approx(10, abs=0.1)
    assert mean(6.0, queued=36, _0=4) == pytest.approx((2 * 10 + 40) / 3)
    assert mean(7.0, queued=3, _0=4, _1=1) == pytest.approx(8, abs=0.1), "a new replica opens it anew"
    assert seen.mean(8.0, frozenset({0})) == pytest.approx((2 * 10 + 2 * 40 + 7) / 5), "and one that is gone is no part of it"
    mean(9.0, queued=0, _0=0, _1=0)
    assert mean(19.5, queued=0, _0=0, _1=0) == 0.0, "what is older than the window is forgotten"


def test_replicas_follow_the_load_after_the_delays() -> None:
    scaling = Scaling(
        max_replicas=6, metrics_interval_s=2, upscale_delay_s=5, downscale_delay_s=20, look_back_period_s=5, max_ongoing_requests=4
    )
    busy = [(30 + at, 0.1) for at, _ in poisson(25.0, 1500, 0.1, fixed=True)]
    found = replayed(scaling, busy, start_s=3, until_s=180)
    counts = dict(found.replicas)
    assert counts[30.0] == 1
    assert all(count == 1 for at, count in found.replicas if at < 38), "5 s of wishing, 3 s of starting"
    assert 3 <= counts[80.0] <= 6
    fewer = [at for (_, before), (at, count) in itertools.pairwise(found.replicas) if count < before]
    assert found.replicas[-1][1] == 1
    assert all(later - earlier >= 20 for earlier, later in itertools.pairwise(fewer)), "each step down is wished for 20 s"


def test_the_same_seed_gives_the_same_course() -> None:
    load = Load(400, 60)
    options = {"nodes": 2, "seconds": 240.0, "failure": True}
    first, again, other = (simulated(load, described.Tiers(), tables.read(), seed=seed, **options) for seed in (1, 1, 2))
    assert first == again
    assert first.waits != other.waits


def test_a_forecast_is_a_range_over_courses(monkeypatch: pytest.MonkeyPatch) -> None:
    run = partial(simulated, Load(900, 60), described.Tiers(), tables.read(), nodes=2, seconds=240.0, failure=True)
    course, found = outcomes.several(run, range(3, 6), requests=0)
    assert course == run(seed=3)
    assert found == [outcomes.Outcome.of(run(seed=seed)) for seed in (3, 4, 5)]
    waits = outcomes.Range.of(found, lambda outcome: outcome.wait_s[99])
    assert [waits.least, waits.median, waits.most] == sorted(outcome.wait_s[99] for outcome in found)
    assert waits.least < waits.most
    monkeypatch.setattr(outcomes.os, "cpu_count", lambda: 2)
    assert outcomes.several(run, range(3, 6), requests=10**6) == (course, found), "processes of their own find the same"


def test_a_node_that_dies_takes_its_streams_and_others_replace_it() -> None:
    load = Load(600, 60)
    tiers = described.Tiers(*(dataclasses.replace(tier, min_replicas=4) for tier in (described.INGRESS, described.COMPRESSOR)))
    course = simulated(load, tiers, tables.read(), nodes=4, seconds=300, failure=True, seed=0)
    assert course.died_s is not None
    counts = {sample.at_s: sample.replicas["compressor"] for sample in course.samples}
    assert min(counts[at] for at in counts if course.died_s < at <= course.died_s + 5) == 3
    assert counts[max(counts)] == 4
    assert 0 < course.cut_off < 0.5 * load.peak_rate * load.answer_s
    calm = simulated(load, tiers, tables.read(), nodes=4, seconds=300, failure=False, seed=0)
    assert calm.cut_off == calm.uncompressed == 0


def test_a_plan_grows_with_its_load() -> None:
    costs, tiers, node = tables.read(), described.Tiers(), Node()
    small, large = (planned(Load(users, 40), tiers, costs, node, 24.0) for users in (1_000, 100_000))
    assert large.compressor.cpus == pytest.approx(100 * small.compressor.cpus)
    assert large.nodes > small.nodes >= 2
    assert large.redis_bytes == pytest.approx(100 * small.redis_bytes)
    assert any("max_replicas" in warning for warning in large.warnings)


def test_the_usual_tiers_are_those_of_the_production_file(tmp_path: Path) -> None:
    assert described.read(ROOT / "configs" / "prod.yaml") == described.Tiers()
    fixed = tmp_path / "fixed.yaml"
    fixed.write_text("applications: [{import_path: 'serve_app.app:build', args: {compressor: {num_replicas: 3}}}]")
    found = described.read(fixed).compressor
    assert (found.min_replicas, found.max_replicas) == (3, 3)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("applications: []", "serve_app.app:build"),
        ("- 1", "serve_app.app:build"),
        ("{", "not YAML"),
        ("applications: [{import_path: 'serve_app.app:build', args: {ingress: {max_ongoing_requests: many}}}]", "ingress: .*numbers"),
        ("applications: [{import_path: 'serve_app.app:build', args: {ingress: {num_replicas: 0}}}]", "ingress: needs"),
    ],
)
def test_a_description_that_is_none(text: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(text)
    with pytest.raises(CapacityError, match=why):
        described.read(file)


def test_the_command(tmp_path: Path) -> None:
    words = ("--users", 300, "--requests-per-user-hour", 40, "--minutes", 4)
    done = capacity(*words)
    assert done.exit_code == 0, done.output
    assert "compressor" in done.stdout
    assert "5.0 requests a second at its peak" not in done.stdout
    assert "3.3 requests a second in the busiest hour, 5.0 at its peak" in done.stdout
    told = json.loads(capacity(*words, "--json", "--plot", tmp_path / "course.svg").stdout)
    assert told["plan"]["nodes"] >= 2
    assert told["simulated"]["courses"]["count"] == 5
    assert "drawn is the first of 5 courses" in done.stdout
    alone = json.loads(capacity(*words, "--json", "--courses", 1).stdout)["simulated"]
    assert alone["samples"] == told["simulated"]["samples"]
    assert {*alone["courses"]["wait_ms"]["p99"].values()} == {alone["wait_ms"]["p99"]}
    assert len(told["simulated"]["samples"]) == 48 - 1
    assert (tmp_path / "course.svg").read_text().rstrip().endswith("</svg>")
    assert json.loads(capacity(*words, "--json").stdout) == told


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--users", 0), "0 is not in the range"),
        (("--new-tokens", 40_000), "40,000 of 30,000 tokens cannot be new"),
        (("--users", 10_000_000), "minutes would do"),
        (("--costs", "gone.json"), "gone.json: cannot be read"),
        (("--costs", "bad.json"), "bad.json: no table of costs: "),
        (("--costs", "negative.json"), "no table of costs: ingress.ms: "),
        (("--serve-config", "gone.yaml"), "gone.yaml: cannot be read"),
        (("--plot", "course.nothing", "--minutes", 1), "course.nothing: cannot be drawn"),
    ],
)
def test_bad_input(words: tuple[object, ...], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.json").write_text("{}")
    broken = tables.read().model_dump() | {"ingress": {"ms": -1, "replica_mb": 1}}
    Path("negative.json").write_text(json.dumps(broken))
    done = capacity("--users", 50, "--requests-per-user-hour", 40, *words)
    assert done.exit_code != 0
    assert why in done.stderr
