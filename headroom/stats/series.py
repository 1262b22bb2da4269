"""Stretches of time: hours, days, weeks from Monday, months, all in UTC; a bucket is known by the microsecond at which it begins."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Literal

Series = Literal["hourly", "daily", "weekly", "monthly"]
HOUR = 3_600_000_000
_FOREVER = 4_102_444_800_000_000  # the year 2100
SERIES: tuple[Series, ...] = ("hourly", "daily", "weekly", "monthly")


def day_of(micros: int) -> date:
    return datetime.fromtimestamp(micros // 1_000_000, UTC).date()


def hour_of(micros: int) -> int:
    """The microsecond at which its hour begins."""
    return micros - micros % HOUR


def begins(day: date) -> int:
    """Microseconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def spans(first: int, last: int) -> Iterator[tuple[Series, int, int]]:
    """The hours that begin in a stretch of time, put together to whole months and days where they fill them."""
    first, last = max(first, 0), min(last, _FOREVER)
    first, last = -(-first // HOUR) * HOUR, -(-last // HOUR) * HOUR  # an hour belongs to it when it begins in it
    at = first
    while at < last:
        day = day_of(at)
        month, last_month = day.replace(day=1), begins(day_of(last).replace(day=1))
        following = begins((month + timedelta(days=32)).replace(day=1))
        if at == begins(month) and at < last_month:
            yield "monthly", at, last_month
            at = last_month
        elif at == begins(day) and at + 24 * HOUR <= last:
            until = min(following, last // (24 * HOUR) * 24 * HOUR)
            yield "daily", at, until
            at = until
        else:
            until = min(begins(day) + 24 * HOUR, last)
            yield "hourly", at, until
            at = until


def begin_of(series: Series, hour: int) -> int:
    """The bucket in which an hour lies."""
    day = day_of(hour)
    if series == "hourly":
        return hour
    return begins({"daily": day, "weekly": monday(day), "monthly": day.replace(day=1)}[series])
