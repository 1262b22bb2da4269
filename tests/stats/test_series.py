"""Stretches of time: whatever is asked for, each of its hours is in one span, and spans are few."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from headroom.stats.series import HOUR, begin_of, day_of, spans

FIRST = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


@given(st.integers(0, 20_000 * HOUR), st.integers(0, 20_000 * HOUR))
def test_every_hour_once(first: int, length: int) -> None:
    first += FIRST
    found = list(spans(first, first + length))
    hours = [at for _, start, end in found for at in range(start, end, HOUR)]
    assert hours == [at for at in range(FIRST, first + length, HOUR) if at >= first]
    assert sum(name == "monthly" for name, _, _ in found) <= 1
    assert len(found) <= 7
    for name, start, end in found:
        assert begin_of(name, start) == start
        assert name == "hourly" or begin_of(name, end) == end
        assert name != "hourly" or day_of(start) == day_of(end - HOUR)


def test_all_of_time_is_months() -> None:
    assert [name for name, _, _ in spans(0, 1 << 62)] == ["monthly"]
    assert [name for name, _, _ in spans(FIRST + 1, 1 << 62)] == ["hourly", "daily", "monthly"]
