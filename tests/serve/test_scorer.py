"""The Scorer deployment: real vectors over the hop, more replicas under load, and a reason whatever happens to it."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from ray import serve

from headroom.model import ModelSpec
from headroom.proxy.compress import Degraded
from headroom.scoring.embedding import Embedder, Made
from serve_app.args import ScorerArgs, TierArgs
from serve_app.ingress import tier
from serve_app.scorer import RemoteEmbed, Scorer
from serve_app.tiers import REASONS
from tests.provider import WAIT_S, Provider
from tests.proxy.faces import anthropic_turns, asking
from tests.serve.deployed import Deployed, kill, replicas, until

pytestmark = [pytest.mark.serve, pytest.mark.timeout(300), pytest.mark.usefixtures("_deployed")]
NAME = "scorer"
LONG = "the database connection was refused by the primary node again " * 20
NUMBER = itertools.count()
Story = Callable[[RemoteEmbed], Awaitable[None]]


@contextmanager
def scorer(model: str, **options: Any) -> Iterator[Callable[[Story], None]]:
    """The deployment alone, and a function that runs a story against it, with a tier of its own."""
    args = ScorerArgs.model_validate({"ray_actor_options": {"num_cpus": 0.1}, "graceful_shutdown_timeout_s": 0.5, **options})
    deployment = serve.deployment(name="Scorer", **args.options())(Scorer)
    handle: Any = serve.run(deployment.bind(ModelSpec(model, "cpu"), 100_000), name=NAME, route_prefix=None)

    def run(story: Story) -> None:
        async def whole() -> None:
            embed = RemoteEmbed(tier("Scorer", handle, TierArgs(failures=3, probe_after_s=0.2)), 1000, args.pinged)
            await story(embed)
            await embed.close()

        asyncio.run(whole())

    try:
        yield run
    finally:
        serve.delete(NAME)


def fresh(count: int, text: str = "a text about") -> list[str]:
    """Texts nobody has seen."""
    return [f"{next(NUMBER)} {text}" for _ in range(count)]


async def reason(call: Awaitable[object]) -> str:
    """Why there was no answer, empty when there was one."""
    try:
        await call
    except Degraded as degraded:
        return degraded.reason
    return ""


async def answers(embed: RemoteEmbed) -> None:
    """Asks until there is an answer."""
    async with asyncio.timeout(2 * WAIT_S):
        while await reason(embed(fresh(1), 5)):  # noqa: ASYNC110  the cluster ends it
            await asyncio.sleep(0.1)


def test_vectors_come_over_the_hop_and_none_is_lost_when_replicas_die(model: str) -> None:
    async def vectors(embed: RemoteEmbed) -> None:
        texts = [*fresh(100), "", "a\ud800b", LONG]
        over = await embed(texts, WAIT_S)
        assert (over.shape, over.dtype, over.flags.c_contiguous) == ((103, 384), np.float32, True)
        assert np.allclose(over, Embedder(ModelSpec(model, "cpu"))(texts), atol=1e-5)
        assert np.array_equal(await embed(texts[::-1], 0), over[::-1]), "known texts do not cross the hop"
        assert (embed.enabled, embed.ready, embed.status) == (True, True, "ready")
        alone = fresh(20)
        together = await asyncio.gather(*(embed([text], WAIT_S) for text in alone))
        assert np.allclose(np.concatenate(together), await embed(alone, 0), atol=1e-6)

    async def too_slow(embed: RemoteEmbed) -> None:
        assert await reason(embed(fresh(64, LONG), 0.05)) == "deadline"
        assert embed.status == "deadline"
        assert await reason(embed(fresh(1), WAIT_S)) == ""

    async def killed(embed: RemoteEmbed) -> None:
        await answers(embed)
        calls = [asyncio.create_task(reason(embed(fresh(8, LONG), 20))) for _ in range(8)]
        await asyncio.sleep(0)
        dead = await asyncio.to_thread(kill, NAME, "Scorer")
        assert set(await asyncio.gather(*calls)) <= {"", *REASONS}, "a call failed in another way"
        await answers(embed)
        assert not dead & replicas(NAME, "Scorer")

    async def deleted(embed: RemoteEmbed) -> None:
        await answers(embed)
        await asyncio.to_thread(serve.delete, NAME)
        assert {await reason(embed(fresh(1), 1)) for _ in range(5)} <= {"deadline", "unavailable", "worker_died", "breaker_open"}
        assert not embed.ready

    with scorer(model, num_replicas=1) as run:
        for story in (vectors, too_slow, killed, deleted):
            run(story)


def test_vectors_by_onnxruntime_come_over_the_hop(onnx_model: Path) -> None:
    async def story(embed: RemoteEmbed) -> None:
        texts = fresh(40)
        ours = Embedder(ModelSpec(str(onnx_model), "cpu"))
        assert np.array_equal(await embed(texts, WAIT_S), ours(texts))
        assert embed.model == ours.identity

    with scorer(str(onnx_model), num_replicas=1) as run:
        run(story)


def test_vectors_of_two_models_are_never_given_together() -> None:
    answering = iter(["one", "two", "one", "two", "one", "two", "two"])
    asked: list[int] = []

    async def tier(texts: Sequence[str], timeout_s: float) -> Made:
        asked.append(len(texts))
        name = next(answering)
        return Made(name, np.ones((len(texts), 4), np.float32))

    async def story() -> None:
        embed = RemoteEmbed(tier, 1000, ping=False)
        assert (await embed(fresh(1), WAIT_S)).shape == (1, 4)
        assert embed.model == "one"
        assert await reason(embed(fresh(64), WAIT_S)) == "models_differ"
        assert asked == [1, 32, 32, 32], "what the last answer gave is known"
        known = fresh(1)
        assert (await embed(known, WAIT_S)).shape == (1, 4)
        assert embed.model == "one"
        assert (await embed([*known, *fresh(1)], WAIT_S)).shape == (2, 4)
        assert (embed.model, asked[4:]) == ("two", [1, 1, 1]), "what was known is asked for again"

    asyncio.run(story())


@pytest.mark.filterwarnings("ignore:The `metrics_interval_s` field:DeprecationWarning")
def test_more_replicas_under_load_and_fewer_after_it(model: str) -> None:
    scaling = {
        "min_replicas": 1,
        "max_replicas": 2,
        "target_ongoing_requests": 2,
        "metrics_interval_s": 0.5,
        "look_back_period_s": 1,
        "upscale_delay_s": 0.2,
        "downscale_delay_s": 2,
    }

    async def story(embed: RemoteEmbed) -> None:
        await answers(embed)
        assert len(replicas(NAME, "Scorer")) == 1
        failed: list[str] = []
        over = asyncio.Event()

        async def ask() -> None:
            while not over.is_set():
                failed.append(await reason(embed(fresh(4, LONG), WAIT_S)))

        load = [asyncio.create_task(ask()) for _ in range(8)]
        await asyncio.to_thread(until, lambda: len(replicas(NAME, "Scorer")) == 2)
        over.set()
        await asyncio.gather(*load)
        assert set(failed) == {""}
        await asyncio.to_thread(until, lambda: len(replicas(NAME, "Scorer")) == 1)
        assert await reason(embed(fresh(1), WAIT_S)) == ""

    with scorer(model, autoscaling_config=scaling) as run:
        run(story)


def test_from_zero_replicas_the_first_calls_go_on_without(model: str) -> None:
    async def story(embed: RemoteEmbed) -> None:
        await embed.start()
        assert (embed.ready, embed.status) == (False, "not asked yet")
        assert replicas(NAME, "Scorer") == set()
        assert await reason(embed(["one"], 0.2)) == "deadline"
        await answers(embed)
        assert embed.ready

    with scorer(model, autoscaling_config={"min_replicas": 0, "initial_replicas": 0, "max_replicas": 1}) as run:
        run(story)


def test_one_call_that_did_not_wait_starts_a_replica(model: str) -> None:
    async def story(embed: RemoteEmbed) -> None:
        assert replicas(NAME, "Scorer") == set()
        assert await reason(embed(["one"], 1.5)) == "deadline"
        await asyncio.to_thread(until, lambda: len(replicas(NAME, "Scorer")) == 1)
        assert await reason(embed(["one"], WAIT_S)) == ""

    with scorer(model, autoscaling_config={"min_replicas": 0, "initial_replicas": 0, "max_replicas": 1}) as run:
        run(story)


def healthy_all_the_time(deployed: Deployed, status: str) -> dict[str, Any]:
    """Requests pass, the check of the scorer says this at last, also when its replica is killed; that check."""

    def check() -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{deployed.url}/health", timeout=WAIT_S).json()["checks"]["scorer"]
        return found

    with httpx.Client(base_url=deployed.url, headers={"x-api-key": "key-a"}, timeout=WAIT_S) as client:
        until(lambda: all(check()["status"].startswith(status) for _ in range(10)))
        found = check()
        assert deployed.kill("Scorer")
        for _ in range(4):
            assert client.get("/readyz").status_code == 200
            assert client.post("/v1/messages", json=asking(anthropic_turns(2, count=77))).status_code == 200
    return found


def test_the_application_is_healthy_with_a_model(scored: Deployed) -> None:
    assert healthy_all_the_time(scored, "ready") == {"enabled": True, "ready": True, "status": "ready"}


def test_the_application_is_healthy_without_a_model(unscored: Deployed) -> None:
    check = healthy_all_the_time(unscored, "no_model")
    assert (check["enabled"], check["ready"]) == (False, False)
    assert "hf download" in check["status"]


def outgrown(number: int) -> dict[str, Any]:
    """A request whose conversation does not fit its model."""
    draw = random.Random(number)
    messages = []
    for turn in range(60):
        words = " ".join(draw.choices(LONG.split(), k=100))
        messages += [{"role": "user", "content": f"{number}.{turn} {words}?"}, {"role": "assistant", "content": f"{words}."}]
    return asking(messages[:-1], model="tiny")


def test_conversations_that_outgrow_their_model_are_answered_whatever_happens_to_the_scorer(scored: Deployed, provider: Provider) -> None:
    killed = threading.Event()

    def ask(number: int) -> tuple[int, bool]:
        request = outgrown(number)
        if number >= 4:
            killed.wait(WAIT_S)
        answer = httpx.post(f"{scored.url}/v1/messages", json=request, headers={"x-api-key": "key-a"}, timeout=WAIT_S)
        return answer.status_code, "intelligent_context" in answer.headers["x-headroom-transforms"]

    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(ask, range(16))
        until(lambda: len(provider.requests) >= 2)
        assert scored.kill("Scorer")
        killed.set()
        assert set(answers) == {(200, True)}
    assert len(provider.requests) == 16
    assert all(len(request.body) < len(json.dumps(outgrown(0))) * 0.8 for request in provider.requests), "one was not cut"
