"""Stretches of time: hours, days, weeks from Monday, months, all in UTC; a bucket is known by the microsecond at which it begins."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Literal

Series = Literal["hourly", "daily", "weekly", "monthly"]
SERIES: tuple[Series, ...] = ("hourly", "daily", "weekly", "monthly")


def day_of(micros: int) -> date:
    return datetime.fromtimestamp(micros // 1_000_000, UTC).date()


def hour_of(micros: int) -> int:
    """The microsecond at which its hour begins."""
    return micros - micros % 3_600_000_000


def begins(day: date) -> int:
    """Microseconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def begin_of(series: Series, hour: int) -> int:
    """The bucket in which an hour lies."""
    day = day_of(hour)
    if series == "hourly":
        return hour
    return begins({"daily": day, "weekly": monday(day), "monthly": day.replace(day=1)}[series])
