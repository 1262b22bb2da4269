"""The application of the model that leaves words out, with GPUs that are only counted: it takes nothing down, whatever happens to it."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from ray import serve

from headroom.cli.llmlingua_texts import many, text
from headroom.model import Passage, Pruned, PrunerSpec
from headroom.proxy.compress import Degraded
from serve_app.args import LLMLinguaArgs, LLMLinguaTierArgs
from serve_app.ingress import llmlingua_tier
from serve_app.llmlingua import NAME, LLMLingua, RemotePrune
from serve_app.tiers import REASONS
from tests.lingua_models import make
from tests.provider import WAIT_S, Provider
from tests.proxy.faces import asking, printed
from tests.serve.deployed import Deployed, kill, replicas, until

pytestmark = [pytest.mark.serve, pytest.mark.timeout(600), pytest.mark.usefixtures("_deployed")]
APPLICATION = "llmlingua"
NUMBER = itertools.count()
LONG = text("en", "paragraphs", 600, 1)  # seconds of work for a small model
LOADED_S = 5 * WAIT_S
ZERO = {
    "min_replicas": 0,
    "initial_replicas": 0,
    "max_replicas": 2,
    "target_ongoing_requests": 2,
    "metrics_interval_s": 0.5,
    "look_back_period_s": 1,
    "upscale_delay_s": 0.2,
    "downscale_delay_s": 2,
    "downscale_to_zero_delay_s": 2,
}
Story = Callable[[RemotePrune], Awaitable[None]]


class ColdLLMLingua(LLMLingua):
    """Takes half a minute to start."""

    def __init__(self, spec: PrunerSpec, vocabulary_dir: Path | None) -> None:
        time.sleep(30)
        super().__init__(spec, vocabulary_dir)


class EndlessLLMLingua(LLMLingua):
    """Is done with LONG only when nobody wants it any more."""

    def __init__(self, spec: PrunerSpec, vocabulary_dir: Path | None) -> None:
        super().__init__(spec, vocabulary_dir)
        quick = self._timely

        def slow(passages: Sequence[Passage], seconds: float, wanted: Callable[[], bool]) -> list[Pruned] | str:
            while len(passages[0].text) == len(LONG) and wanted():
                time.sleep(0.05)
            return quick(passages, seconds, wanted)

        self._timely = slow  # type: ignore[assignment]


@pytest.fixture(scope="module")
def lingua_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make(tmp_path_factory.mktemp("lingua"), "bert-base-multilingual-cased", many(60)))


@contextmanager
def deployed_model(model: str, kind: type[LLMLingua] = LLMLingua, **options: Any) -> Iterator[None]:
    """The application, on half a GPU that is only counted."""
    actor = {"num_cpus": 0.1, "num_gpus": 0.5}
    args = LLMLinguaArgs.model_validate({"ray_actor_options": actor, "graceful_shutdown_timeout_s": 0.5, **options})
    deployment = serve.deployment(name=NAME, **args.options())(kind)
    serve.run(deployment.bind(PrunerSpec(model, "cpu", threads=1), None), name=APPLICATION, route_prefix=None)
    try:
        yield
    finally:
        serve.delete(APPLICATION)


def run(story: Story, budget_s: float = LOADED_S) -> None:
    """A story against the deployment, with a tier of its own."""
    args = LLMLinguaTierArgs(budget_s=budget_s, failures=1000)
    asyncio.run(story(RemotePrune(lambda: llmlingua_tier(args))))


def fresh(sentences: int = 30) -> Passage:
    return Passage(text("en", "paragraphs", sentences, next(NUMBER)), rate=0.5)


async def reason(call: Awaitable[object]) -> str:
    """Why there was no answer, empty when there was one."""
    try:
        await call
    except Degraded as degraded:
        return degraded.reason
    return ""


def living() -> int:
    return len(replicas(APPLICATION, NAME))


def running() -> int:
    states = serve.status().applications[APPLICATION].deployments[NAME].replica_states
    return next((count for state, count in states.items() if state == "RUNNING"), 0)


def outcome(deployed: Deployed, provider: Provider) -> tuple[set[str], bool]:
    """A request with prose that nobody has seen: what checks say after it, and whether words were left out of it."""
    output = fresh().text
    with httpx.Client(base_url=deployed.url, headers={"x-api-key": "key-a"}, timeout=LOADED_S) as client:
        assert client.post("/v1/messages", json=asking(printed(output))).status_code == 200
        assert client.get("/readyz").status_code == 200
        said = {client.get("/health").json()["checks"]["llmlingua"]["status"] for _ in range(8)}  # of any of the ingress replicas
    forwarded = json.loads(provider.requests[-1].body)["messages"][2]["content"][0]["content"]
    return said, len(forwarded) < 0.8 * len(output)


def test_nothing_that_happens_to_the_model_takes_a_request_down(lingual: Deployed, provider: Provider, lingua_model: str) -> None:
    assert outcome(lingual, provider)[1] is False, "there is no such application"
    with deployed_model(lingua_model, autoscaling_config=ZERO, ray_actor_options={"num_cpus": 0.1, "num_gpus": 16}):
        assert [outcome(lingual, provider)[1] for _ in range(2)] == [False, False], "no node has so many GPUs"
        assert serve.status().applications[APPLICATION].status == "RUNNING"
    with deployed_model(lingua_model, ColdLLMLingua, autoscaling_config=ZERO):
        assert [outcome(lingual, provider)[1] for _ in range(3)] == [False] * 3
        assert running() == 0, "requests waited until it had started"


@pytest.mark.filterwarnings("ignore:The `metrics_interval_s` field:DeprecationWarning")
def test_from_none_to_two_and_back_under_load(lingua_model: str) -> None:
    async def story(prune: RemotePrune) -> None:
        await prune.start()
        assert (prune.ready, prune.status, living()) == (False, "not asked yet", 0)
        assert await reason(prune([fresh()], 0.2)) == "deadline"
        over = asyncio.Event()
        failed: list[str] = []

        async def ask() -> None:
            while not over.is_set():
                failed.append(await reason(prune([fresh(60)], LOADED_S)))

        load = [asyncio.create_task(ask()) for _ in range(8)]
        await asyncio.to_thread(until, lambda: running() == 2)
        over.set()
        await asyncio.gather(*load)
        assert set(failed) == {""}
        assert prune.ready
        await asyncio.to_thread(until, lambda: living() == 0)

    with deployed_model(lingua_model, autoscaling_config=ZERO):
        run(story)


def test_a_replica_that_dies_in_the_middle_of_a_batch(lingua_model: str) -> None:
    async def killed(prune: RemotePrune) -> None:
        assert await reason(prune([fresh()], LOADED_S)) == ""
        calls = [asyncio.create_task(reason(prune([Passage(LONG)], LOADED_S))) for _ in range(2)]
        await asyncio.sleep(0.3)
        dead = await asyncio.to_thread(kill, APPLICATION, NAME)
        assert set(await asyncio.gather(*calls)) <= {"", *REASONS}, "a call failed in another way"
        while await reason(prune([fresh()], 5)):  # noqa: ASYNC110  the cluster ends it
            await asyncio.sleep(0.1)
        assert not dead & replicas(APPLICATION, NAME)

    with deployed_model(lingua_model, num_replicas=1):
        run(killed)


def test_clients_that_go_away_in_the_middle_of_a_batch_free_their_places(lingua_model: str) -> None:
    async def left(prune: RemotePrune) -> None:
        assert await reason(prune([fresh()], LOADED_S)) == ""
        calls = [asyncio.create_task(reason(prune([Passage(LONG)], LOADED_S))) for _ in range(2)]
        await asyncio.sleep(1)
        assert [call.result() for call in calls if call.done()] == []
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        async with asyncio.timeout(WAIT_S):
            assert await reason(prune([fresh()], LOADED_S)) == ""

    with deployed_model(lingua_model, EndlessLLMLingua, num_replicas=1, max_ongoing_requests=2):
        run(left)
