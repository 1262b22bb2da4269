"""The LLMLingua deployment's own decisions and the ingress's way to it, without a cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from headroom.cli.llmlingua_texts import many, text
from headroom.model import Passage, Pruned, PrunerSpec
from headroom.proxy.compress import Degraded
from headroom.proxy.prune import Answer
from serve_app.llmlingua import LLMLingua, PruneRequest, PruneTier, RemotePrune, _size, _Waiting
from serve_app.scorer import NoModel
from serve_app.tiers import Breaker, Tier
from tests.lingua_models import make

PASSAGE = Passage(text("en", "paragraphs", 30, 1))


class Response:
    """What a handle returns: the answer, or what is raised."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __await__(self) -> Generator[Any, None, Any]:
        yield from asyncio.sleep(0).__await__()
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def cancel(self) -> None:
        return


def tier(answer: Any, asked: list[PruneRequest] | None = None) -> PruneTier:
    def remote(request: PruneRequest) -> Response:
        if asked is not None:
            asked.append(request)
        return Response(answer)

    return Tier("LLMLingua", remote, Breaker(1000, 1), budget_s=0.3)


def waiting(*passages: Passage, seconds: float = 60) -> _Waiting:
    return _Waiting(PruneRequest(passages, seconds), time.monotonic() + seconds)


async def reason(prune: RemotePrune) -> str:
    with pytest.raises(Degraded) as degraded:
        await prune([PASSAGE], 5)
    return degraded.value.reason


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> LLMLingua:
    model = make(tmp_path_factory.mktemp("lingua"), "xlm-roberta-large", many(60))
    return LLMLingua(PrunerSpec(str(model), "cpu", "float32", threads=1), None)


def test_requests_of_many_callers_are_one_batch_and_each_gets_its_own(replica: LLMLingua) -> None:
    other = Passage(text("de", "article", 30, 2))
    both, alone, late = replica._prune([waiting(PASSAGE, other), waiting(other), waiting(PASSAGE, seconds=-1)])
    assert late == "deadline"
    assert both == [*replica._prune([waiting(PASSAGE)])[0], *alone]
    assert replica._prune([waiting(PASSAGE, seconds=-1)]) == ["deadline"]
    assert replica._prune([waiting(Passage(PASSAGE.text * 100), seconds=0.001)])[0] in ("too_large", "deadline")
    asyncio.run(replica.check_health())


def test_a_batch_that_hangs_is_unhealthy(replica: LLMLingua) -> None:
    replica._began = time.monotonic() - 61
    with pytest.raises(RuntimeError, match="has not ended"):
        asyncio.run(replica.check_health())
    replica._began = None


def test_a_request_of_any_size_fits_a_batch() -> None:
    assert _size([waiting(Passage("x" * 10_000_000))]) == 32_768
    assert _size([waiting(PASSAGE), waiting(PASSAGE)]) == 2 * _size([waiting(PASSAGE)]) < 32_768


def test_a_replica_without_a_model_says_so(tmp_path: Path) -> None:
    answer = asyncio.run(LLMLingua(PrunerSpec(str(tmp_path)), None)(PruneRequest((PASSAGE,), 1)))
    assert isinstance(answer, NoModel)
    assert answer.reason == "no_model"


@pytest.mark.parametrize(
    ("answer", "said", "status"),
    [
        (NoModel("no_model", "not here: `hf download`"), "no_model", "no_model: not here: `hf download`; prose is compressed without it"),
        (TimeoutError(), "deadline", "deadline"),
        (RuntimeError("broken"), "failed", "failed"),
        ("too_large", "too_large", "ready"),
    ],
)
def test_every_way_to_no_answer_has_a_reason(answer: Answer | NoModel | Exception, said: str, status: str) -> None:
    async def story() -> None:
        prune = RemotePrune(lambda: tier(answer))
        assert (prune.ready, prune.status) == (False, "not asked yet")
        assert await reason(prune) == said
        assert (prune.ready, prune.status) == (status == "ready", status)

    asyncio.run(story())


def test_a_replica_knows_how_long_its_caller_waits() -> None:
    async def story() -> None:
        asked: list[PruneRequest] = []
        prune = RemotePrune(lambda: tier([Pruned("short", 2, 1)], asked))
        for seconds in (5, 0.1):
            assert await prune([PASSAGE], seconds) == [Pruned("short", 2, 1)]
        assert asked[0].seconds == 0.3
        assert 0 < asked[1].seconds <= 0.1
        assert (prune.ready, prune.status) == (True, "ready")

    asyncio.run(story())


def test_an_application_that_cannot_be_looked_for_is_looked_for_again_later() -> None:
    looked: list[int] = []

    def find() -> PruneTier:
        looked.append(1)
        raise LookupError("no controller")

    async def story(find: Callable[[], PruneTier]) -> None:
        prune = RemotePrune(find)
        assert [await reason(prune) for _ in range(3)] == ["unavailable"] * 3
        assert len(looked) == 1, "each request looked for it"

    asyncio.run(story(find))


def test_an_application_that_is_found_too_late_for_a_request_is_there_for_the_next() -> None:
    looked: list[int] = []

    def find() -> PruneTier:
        looked.append(1)
        time.sleep(0.3)
        return tier("too_large")

    async def story() -> None:
        prune = RemotePrune(find)
        while prune.status != "ready":
            with pytest.raises(Degraded):
                await prune([PASSAGE], 0.05)

    asyncio.run(asyncio.wait_for(story(), 4))
    assert len(looked) == 1
