"""Memory of what was used lately stays within its bounds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from headroom.recent import Recent


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("headroom.recent.time.monotonic", clock)
    return clock


def test_the_least_recently_used_goes_first() -> None:
    recent = Recent[str, int](most=3)
    recent.put({"a": 1, "b": 2, "c": 3})
    assert recent.find(["a", "nothing"]) == {"a": 1}
    recent.put({"d": 4})
    assert recent.find("abcd") == {"a": 1, "c": 3, "d": 4}
    assert len(recent) == 3


def test_each_weighs_what_it_weighs_now() -> None:
    recent = Recent[str, str](most=10, weigh=len)
    recent.put({"a": "12345678", "b": "12"})
    recent.put({"a": "1"})
    recent.put({"c": "1234567"})
    assert recent.find("abc") == {"a": "1", "b": "12", "c": "1234567"}
    recent.put({"d": "more than all of it"})
    assert len(recent) == 0


def test_what_is_idle_goes(clock: Clock) -> None:
    recent = Recent[str, int](most=10, idle_s=60)
    recent.put({"a": 1, "b": 2})
    for _ in range(3):
        clock.now += 40
        assert recent.get("a") == 1
    assert (len(recent), recent.get("b")) == (1, None)


def test_any_number_of_threads() -> None:
    recent = Recent[int, int](most=50)

    def work(number: int) -> None:
        for step in range(2_000):
            recent.put({(number * step) % 97: step})
            recent.get(step % 97)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert len(recent) == 50
