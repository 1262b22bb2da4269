"""The way to a remote deployment, with a fake handle and a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from headroom.model import Job, JobResult, Policy
from headroom.proxy.compress import Degraded
from headroom.scoring.embedding import Made
from serve_app.compressor import RemoteCompress
from serve_app.scorer import NoModel, RemoteEmbed
from serve_app.tiers import REASONS, Breaker, Tier, reason_of

DIED = ActorDiedError()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Answer:
    """What `handle.remote()` returns: a value, a failure, or nothing ever."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome
        self.cancelled = False

    def __await__(self) -> Generator[Any, None, Any]:
        if self.outcome is None:
            yield from asyncio.get_running_loop().create_future().__await__()
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """Answers each call with the next outcome, the last one for ever; None never answers."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.answers: list[Answer] = []

    def __call__(self, request: Any) -> Answer:
        self.answers.append(Answer(self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]))
        return self.answers[-1]


def tier(handle: Handle, breaker: Breaker | None = None, budget_s: float = 60.0) -> Tier[Any, Any]:
    return Tier("Test", handle, breaker or Breaker(3, 10), budget_s)


def outcome(call: Awaitable[Any]) -> Any:
    """The answer, or the reason why there is none."""

    async def ask() -> Any:
        try:
            return await call
        except Degraded as degraded:
            return degraded.reason

    return asyncio.run(ask())


def test_an_answer_comes_back() -> None:
    assert outcome(tier(Handle("yes"))("question", 1)) == "yes"


def test_a_dead_replica_is_retried_once() -> None:
    handle = Handle(DIED, "yes")
    assert outcome(tier(handle)("question", 1)) == "yes"
    handle = Handle(DIED)
    assert outcome(tier(handle)("question", 1)) == "worker_died"
    assert len(handle.answers) == 2


@pytest.mark.parametrize(("timeout_s", "budget_s"), [(0.01, 60), (60, 0)])
def test_a_late_call_is_cancelled(timeout_s: float, budget_s: float) -> None:
    handle = Handle(None)
    assert outcome(tier(handle, budget_s=budget_s)("question", timeout_s)) == "deadline"
    assert handle.answers[0].cancelled


def test_both_tries_share_one_deadline() -> None:
    handle = Handle(DIED, None)
    assert outcome(tier(handle)("question", 0.01)) == "deadline"
    assert [answer.cancelled for answer in handle.answers] == [False, True]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (TimeoutError(), "deadline"),
        (BackPressureError(1, 1), "overloaded"),
        (DeploymentUnavailableError(DeploymentID("Compressor")), "unavailable"),
        (DIED, "worker_died"),
        (ActorUnavailableError("away", b"0" * 16), "worker_died"),
        (RayTaskError("work", "traceback", ValueError("odd")), "failed"),
        (RuntimeError("no event loop"), "failed"),
    ],
)
def test_every_failure_has_its_word(failure: Exception, reason: str) -> None:
    assert reason_of(failure) == reason
    assert reason in REASONS
    assert outcome(tier(Handle(failure))("question", 1)) == reason


def test_failures_in_a_row_open_the_breaker() -> None:
    handle, clock = Handle(ValueError()), Clock()
    called = tier(handle, Breaker(3, 10, clock))
    assert [outcome(called(n, 1)) for n in range(5)] == ["failed"] * 3 + ["breaker_open"] * 2
    assert len(handle.answers) == 3


def test_a_success_between_keeps_it_closed() -> None:
    called = tier(Handle(ValueError(), ValueError(), "yes", ValueError(), ValueError(), "yes"), Breaker(3, 10, Clock()))
    assert [outcome(called(n, 1)) for n in range(6)] == ["failed", "failed", "yes"] * 2


def test_one_probe_closes_it_or_opens_it_again() -> None:
    clock = Clock()
    called = tier(Handle(ValueError(), ValueError(), ValueError(), "yes"), Breaker(2, 10, clock))
    assert [outcome(called(n, 1)) for n in range(3)] == ["failed", "failed", "breaker_open"]
    clock.now = 10
    assert [outcome(called(n, 1)) for n in range(2)] == ["failed", "breaker_open"]
    clock.now = 19.9
    assert outcome(called(0, 1)) == "breaker_open"
    clock.now = 20
    assert [outcome(called(n, 1)) for n in range(3)] == ["yes"] * 3


def test_while_one_probes_others_go_on_without() -> None:
    clock = Clock()
    handle = Handle(ValueError(), None, "yes")
    called = tier(handle, Breaker(1, 10, clock))

    async def story() -> None:
        with pytest.raises(Degraded, match="failed"):
            await called("first", 1)
        clock.now = 10
        probe = asyncio.create_task(called("probe", 60))
        await asyncio.sleep(0)
        with pytest.raises(Degraded, match="breaker_open"):
            await called("another", 1)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert handle.answers[1].cancelled
        assert await called("the next one probes", 1) == "yes"

    asyncio.run(story())


def test_callers_without_time_do_not_open_the_breaker() -> None:
    handle = Handle(None)
    called = tier(handle, Breaker(3, 10, Clock()))
    assert [outcome(called(n, timeout_s)) for n, timeout_s in enumerate((0, -0.5, -3))] == ["deadline"] * 3
    handle.outcomes = ["yes"]
    assert outcome(called(4, 1)) == "yes"


def test_overload_does_not_open_the_breaker() -> None:
    called = tier(Handle(BackPressureError(1, 1)), Breaker(1, 10, Clock()))
    assert [outcome(called(n, 1)) for n in range(3)] == ["overloaded"] * 3


@given(st.lists(st.tuples(st.sampled_from(["succeeded", "failed", "abandoned"]), st.integers(0, 20)), max_size=40))
def test_a_breaker_never_stays_open(events: list[tuple[str, int]]) -> None:
    clock = Clock()
    breaker = Breaker(2, 10, clock)
    for end, pause in events:
        clock.now += pause
        if breaker.admit():
            getattr(breaker, end)()
    clock.now += 10
    assert breaker.admit()


def ready_after(handle: Handle) -> tuple[RemoteCompress, Callable[[], int]]:
    pauses = 0

    async def pause(_: float) -> None:
        nonlocal pauses
        pauses += 1

    return RemoteCompress(tier(handle, Breaker(99, 10)), tier(handle), Policy(), pause), lambda: pauses


def test_ready_once_a_job_came_back() -> None:
    compress, pauses = ready_after(Handle(ValueError(), DIED, DIED, JobResult(())))

    async def story() -> None:
        assert not compress.ready
        await compress.start()
        for _ in range(20):
            await asyncio.sleep(0)
        assert compress.ready
        await compress.close()

    asyncio.run(story())
    assert pauses() == 2


def test_any_job_makes_it_ready_and_close_ends_the_pinging() -> None:
    handle = Handle(None, JobResult(()))
    compress, _ = ready_after(handle)

    async def story() -> None:
        await compress.start()
        await asyncio.sleep(0)
        await compress(Job((), Policy(), "scope", "model"), 1)
        assert compress.ready
        await compress.close()

    asyncio.run(story())
    assert handle.answers[0].cancelled


def test_a_scorer_that_failed_is_asked_until_it_answers() -> None:
    vectors = Made("model", np.ones((1, 2), np.float32))

    async def story() -> str:
        embed = RemoteEmbed(tier(Handle(vectors, *[DIED] * 40, vectors), Breaker(99, 0)), 10, ping=True, pause_s=0)
        await embed(["a"], 1)
        with pytest.raises(Degraded):
            await embed(["b"], 1)
        assert (embed.ready, embed.status) == (False, "worker_died")
        for _ in range(1000):
            await asyncio.sleep(0)
        await embed.close()
        return embed.status

    assert asyncio.run(story()) == "ready"


def test_a_scorer_that_gets_a_model_later_is_used() -> None:
    absent = NoModel("no_model", "not here")

    async def story() -> list[bool]:
        embed = RemoteEmbed(tier(Handle(*[absent] * 20, Made("m", np.ones((1, 2), np.float32)))), 10, ping=True, pause_s=0)
        seen = [embed.enabled]
        with pytest.raises(Degraded, match="no_model"):
            await embed(["a"], 1)
        seen.append(embed.enabled)
        for _ in range(1000):
            await asyncio.sleep(0)
        seen.append(embed.enabled)
        await embed.close()
        return seen

    assert asyncio.run(story()) == [True, False, True]


def test_a_scorer_at_zero_replicas_is_not_woken_to_be_watched() -> None:
    handle = Handle(DIED)

    async def story() -> None:
        embed = RemoteEmbed(tier(handle, Breaker(9, 0)), 10, ping=False, pause_s=0)
        with pytest.raises(Degraded):
            await embed(["b"], 1)
        asked = len(handle.answers)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(handle.answers) == asked
        await embed.close()

    asyncio.run(story())
