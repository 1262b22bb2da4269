"""Kill what can be killed, under load: `make chaos`. Pass-through goes on, no answer is wrong, nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import httpx
import pytest
import ray
from ray.util import list_named_actors

from tests.chaos.conftest import DEADLINE_MS, REPORTS
from tests.chaos.nodes import Nodes
from tests.chaos.traffic import Report, under
from tests.provider import Provider
from tests.redis_server import RedisServer
from tests.serve.deployed import Deployed, processes, until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
AFTER = 60  # requests that are watched once the fault is over


def kill_all(deployment: str) -> Callable[[Deployed], None]:
    def strike(deployed: Deployed) -> None:
        victims = processes(deployment)
        assert victims
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        until(lambda: len(processes(deployment) - victims) == len(victims))

    return strike


def kill_actor(*parts: str) -> Callable[[Deployed], None]:
    """A named actor of Ray Serve itself; it is started again by Ray or by the controller, and the application answers again."""

    def strike(deployed: Deployed) -> None:
        found = [actor for actor in list_named_actors(all_namespaces=True) if any(part in actor["name"] for part in parts)]
        assert found
        for actor in found:
            ray.kill(ray.get_actor(actor["name"], namespace=actor["namespace"]), no_restart=False)
        until(lambda: answers(deployed.url))

    return strike


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def seen(fault: str, deployed: Deployed, provider: Provider, strike: Callable[[Deployed], None], streams: int = 20) -> Report:
    with under(fault, deployed.url, provider, streams) as (traffic, report):
        strike(deployed)
        traffic.go_on(AFTER)
    REPORTS.append(report)
    return report


@pytest.mark.parametrize("deployment", ["Compressor", "Stats"])
def test_a_tier_dies(deployment: str, deployed: Deployed, provider: Provider) -> None:
    report = seen(f"every {deployment} replica killed", deployed, provider, kill_all(deployment))
    assert (report.failed, report.cut, report.uncounted, report.broken_prefixes) == (0, 0, 0, 0), report


def test_the_scorer_dies(bare: Deployed, provider: Provider, model: str) -> None:
    bare.ensure(model=model)
    report = seen("every Scorer replica killed", bare, provider, kill_all("Scorer"))
    assert (report.failed, report.cut, report.uncounted, report.broken_prefixes) == (0, 0, 0, 0), report


def test_the_semantic_cache_dies(bare: Deployed, provider: Provider, model: str) -> None:
    bare.ensure(model=model, semantic={"num_replicas": 1})
    report = seen("every SemanticCache replica killed", bare, provider, kill_all("SemanticCache"))
    assert (report.failed, report.cut, report.uncounted, report.broken_prefixes) == (0, 0, 0, 0), report


def test_an_ingress_replica_dies(deployed: Deployed, provider: Provider) -> None:
    """Its own streams end with it, and requests that it had begun; the other one's do not."""

    def strike(_: Deployed) -> None:
        victim = min(processes("Ingress"))
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(processes("Ingress") - {victim}) == 2)

    report = seen("one of two Ingress replicas killed", deployed, provider, strike)
    assert report.cut < report.streams, report
    assert report.failed <= 2 * report.talkers, report


def test_the_controller_dies(deployed: Deployed, provider: Provider) -> None:
    report = seen("Ray Serve's controller killed", deployed, provider, kill_actor("SERVE_CONTROLLER_ACTOR"))
    assert (report.failed, report.cut, report.uncounted, report.broken_prefixes) == (0, 0, 0, 0), report


def test_rays_proxy_dies(deployed: Deployed, provider: Provider) -> None:
    """Every open connection ends with it; the replicas stay."""
    report = seen("HAProxy's and Ray Serve's proxies killed", deployed, provider, kill_actor("SERVE_PROXY_ACTOR", "::proxy"))
    assert report.recovered_s < 60, report
    assert report.uncounted == 0, report


def test_the_other_node_is_lost(deployed: Deployed, provider: Provider, nodes: Nodes) -> None:
    """What it served ends with it; its replicas start on the node that is left."""
    deployed.restart()  # spread over both

    def strike(deployed: Deployed) -> None:
        before = processes("Ingress")
        nodes.lose_other()
        assert 0 < len(before - processes("Ingress")) < len(before), "both nodes serve"
        until(lambda: len(processes("Ingress")) == len(processes("Compressor")) == 2)

    try:
        report = seen("one of two nodes lost", deployed, provider, strike)
    finally:
        nodes.add_other()
    assert report.cut < report.streams, report
    assert report.failed <= 4 * report.talkers, report
    assert report.recovered_s < 60, report


def test_rays_control_store_is_lost(deployed: Deployed, provider: Provider, nodes: Nodes) -> None:
    """As when the head's process is started again with Ray's state in Redis: what runs goes on meanwhile."""
    report = seen("Ray's GCS killed, back after 5 s from Redis", deployed, provider, lambda _: nodes.lose_gcs(5))
    assert (report.failed, report.cut, report.uncounted, report.broken_prefixes) == (0, 0, 0, 0), report


def test_redis_dies_and_comes_back(on_redis: Deployed, provider: Provider, remembering: RedisServer) -> None:
    def strike(_: Deployed) -> None:
        remembering.kill()
        time.sleep(3)
        remembering.start()

    report = seen("Redis killed, back after 3 s", on_redis, provider, strike)
    assert_nothing_lost(report)


def test_redis_takes_connections_and_answers_nothing(on_redis: Deployed, provider: Provider, remembering: RedisServer) -> None:
    def strike(_: Deployed) -> None:
        with remembering.frozen():
            time.sleep(5)

    report = seen("Redis half open for 5 s", on_redis, provider, strike)
    assert_nothing_lost(report)


def assert_nothing_lost(report: Report) -> None:
    """Replicas find out at different moments that it is away, and that it is back: the conversation that a client holds at either may be
    begun anew in the cache.
    """
    assert (report.failed, report.cut, report.uncounted) == (0, 0, 0), report
    assert report.broken_prefixes <= 2 * report.talkers, report


def test_a_rolling_upgrade_with_200_streams(deployed: Deployed, provider: Provider) -> None:
    def strike(deployed: Deployed) -> None:
        deployed.ensure(ingress={"graceful_shutdown_timeout_s": 60}, deadline_ms=5000)

    report = seen("rolling upgrade of every tier", deployed, provider, _while_released(provider, strike), streams=200)
    assert (report.failed, report.cut, report.uncounted, report.broken_prefixes) == (0, 0, 0, 0), report


def test_replicas_come_and_go_with_200_streams(deployed: Deployed, provider: Provider) -> None:
    def strike(deployed: Deployed) -> None:
        for count in (3, 1, 2):
            deployed.ensure(DEADLINE_MS, ingress={"graceful_shutdown_timeout_s": 60, "num_replicas": count})

    report = seen("Ingress from 2 to 3 to 1 to 2 replicas", deployed, provider, _while_released(provider, strike), streams=200)
    assert (report.failed, report.cut, report.uncounted, report.broken_prefixes) == (0, 0, 0, 0), report


def _while_released(provider: Provider, strike: Callable[[Deployed], None]) -> Callable[[Deployed], None]:
    """The held streams go on ten seconds into the fault: replicas that leave wait for theirs."""

    def struck(deployed: Deployed) -> None:
        later = threading.Timer(10, provider.release)
        later.start()
        try:
            strike(deployed)
        finally:
            later.join()

    return struck
