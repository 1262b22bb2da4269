"""A `Board` as the dashboard reads it: columns for charts, rows for tables. Amounts are dollars and signed, times milliseconds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from headroom.errors import InvalidRequest
from headroom.stats.board import SPLITS, Board, Wish
from headroom.stats.holdout import measured
from headroom.stats.ledger import Query
from headroom.stats.report import query_of
from headroom.stats.series import SERIES, Series, begin_of, begins, day_of
from headroom.stats.tally import DIMENSIONS, HOUR_US, PLAIN, TIMES, Tally, by_name, distribution, dollars, figures_ms, percentile

_MOST_HOURS = 62 * 24
_MOST_NAMES = 100  # of one dimension; the rest is added up as "other"
_LINES = 7  # parts of a chart that is split
_OTHER = "other"
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def wish_of(parameters: Mapping[str, str]) -> Wish:
    """`by` (hourly, daily, weekly, monthly), `split` (team, ..., transform) and what `query_of` takes. Raises InvalidRequest.

    The stretch of time is widened to whole buckets.
    """
    by, split = parameters.get("by", "daily"), parameters.get("split", "team")
    if by not in SERIES:
        raise InvalidRequest(f"by: must be one of {', '.join(SERIES)}, not {by[:40]!r}.")
    if split not in SPLITS:
        raise InvalidRequest(f"split: must be one of {', '.join(SPLITS)}, not {split[:40]!r}.")
    query, series = query_of(parameters), SERIES[SERIES.index(by)]
    last = min(query.last, int(time.time() * 1e6) + HOUR_US)
    if series == "hourly" and last - query.first > _MOST_HOURS * HOUR_US:
        raise InvalidRequest(f"from: hours are shown of at most {_MOST_HOURS // 24} days; ask for days, weeks or months of more.")
    first = begin_of(series, query.first // HOUR_US * HOUR_US) if query.first > 0 else query.first
    return Wish(Query(query.where, first, query.last), series, split)


def panel(board: Board, wish: Wish) -> dict[str, Any]:
    """Everything but what happens right now: totals, their course, who and what they come from."""
    total = board.total
    at = _filled(board, wish)
    return {
        "by": wish.series,
        "split_by": wish.split,
        "where": dict(wish.query.where),
        "total": _figures(total),
        "times": {kind: figures_ms(total, kind) for kind in TIMES},
        "series": _series(board, at),
        "split": _split(board, wish.split, at),
        "names": {name: _ranked(board.by[name]) for name in DIMENSIONS},
        "transforms": _transforms(total),
        "skipped": _counts(total, "skip"),
        "degraded": _counts(total, "degraded"),
        "cached_as": _counts(total, "cached_as"),
        "measured": _measured(total),
    }


def _figures(one: Tally) -> dict[str, Any]:
    """Denominators stand beside what they divide."""
    return {
        "requests": one["requests"],
        "failed": one["failed"],
        "rate_limited": one["rate_limited"],
        "cached": one["cached"],
        "uncompressed": one["uncompressed"],
        "priced": one["billed"] + one["estimated"],
        "unpriced": one["unpriced"],
        "tokens_before": one["tokens_before"],
        "tokens_saved": one["tokens_saved"],
        "output_tokens": one["output_tokens"],
        "read_tokens": one["cache_read_tokens"],
        "write_tokens": one["cache_write_tokens"],
        "plain_tokens": one[PLAIN],
        "busts": one["cache_bust"],
        "cost": dollars(one, "cost_nanousd"),
        "counterfactual": dollars(one, "counterfactual_nanousd"),
        "saved": dollars(one, "saved_nanousd"),
        "cache_saved": dollars(one, "cache_saved_nanousd"),
        "rounds": one["rounds"],
        "retrievals": one["retrievals"],
    }


def _filled(board: Board, wish: Wish) -> list[int]:
    """Every bucket from the first to the last that is meant, those without a request too."""
    if not board.buckets:
        return []
    last = min(max(wish.query.last - 1, 0), int(time.time() * 1e6))
    at, end = max(wish.query.first, 0) or min(board.buckets), max(*board.buckets, last)
    found = []
    at = begin_of(wish.series, at // HOUR_US * HOUR_US)
    while at <= end:
        found.append(at)
        at = _next(wish.series, at)
    return found


def _next(series: Series, at: int) -> int:
    if series == "hourly":
        return at + HOUR_US
    days = {"daily": 1, "weekly": 7, "monthly": 31}[series]
    return begin_of(series, begins(day_of(at) + timedelta(days=days)))


def _series(board: Board, at: list[int]) -> dict[str, list[Any]]:
    """One list per figure, as long as `at`, which is in seconds; percentiles are null where nothing was measured."""
    nothing = Tally()
    buckets = [board.buckets.get(moment, nothing) for moment in at]
    figures = [_figures(bucket) for bucket in buckets]
    columns: dict[str, list[Any]] = {"at": [moment // 1_000_000 for moment in at]}
    columns |= {name: [one[name] for one in figures] for name in _figures(nothing)}
    for kind in TIMES:
        counts = [distribution(bucket, kind) for bucket in buckets]
        for name, share in _SHARES.items():
            columns[f"{kind}_{name}"] = [round(percentile(one, share) / 1000, 3) if any(one) else None for one in counts]
    return columns


def _split(board: Board, split: str, at: list[int]) -> list[dict[str, Any]]:
    """The greatest parts, in order, then everything else as one."""
    by_tokens = split not in DIMENSIONS
    sums: Tally = Tally()
    for (_, name), one in board.split.items():
        sums[name] += abs(one["tokens_saved"]) if by_tokens else one["requests"]
    ranked = [name for name, _ in sorted(sums.items(), key=lambda item: (-item[1], item[0]))]
    kept = ranked[:_LINES] if len(ranked) > _LINES + 1 else ranked
    found: dict[str | None, dict[int, Tally]] = {name: {} for name in kept}
    for (moment, name), one in board.split.items():
        found.setdefault(name if name in kept else None, {}).setdefault(moment, Tally()).update(one)
    nothing = Tally()
    return [
        {
            "name": _OTHER if name is None else name,
            "is_rest": name is None,
            "tokens_saved": [parts.get(moment, nothing)["tokens_saved"] for moment in at],
            "saved": None if by_tokens else [dollars(parts.get(moment, nothing), "saved_nanousd") for moment in at],
            "cost": None if by_tokens else [dollars(parts.get(moment, nothing), "cost_nanousd") for moment in at],
        }
        for name, parts in found.items()
    ]


def _ranked(found: Mapping[str, Tally]) -> list[dict[str, Any]]:
    """The names of a dimension with most requests first, the rarest together."""
    ordered = sorted(found.items(), key=lambda item: (-item[1]["requests"], item[0]))
    rows = [{"name": name, "is_rest": False, **_figures(one)} for name, one in ordered[:_MOST_NAMES]]
    if rest := ordered[_MOST_NAMES:]:
        together = Tally()
        for _, one in rest:
            together.update(one)
        rows.append({"name": _OTHER, "is_rest": True, **_figures(together)})
    return rows


def _transforms(total: Tally) -> list[dict[str, Any]]:
    """What made texts smaller; the time is that of every text looked at, also of those that stayed."""
    texts, tokens = by_name(total, "transform"), by_name(total, "transform_tokens")
    spent, timed = by_name(total, "transform_us"), by_name(total, "transform_timed")
    back = by_name(total, "retrieved")
    rows = [
        {
            "name": name,
            "texts": texts.get(name, 0),
            "tokens_saved": tokens.get(name, 0),
            "read_back": back.get(name, 0),
            "average_ms": round(spent[name] / 1000 / timed[name], 3) if timed.get(name) else None,
        }
        for name in {*texts, *tokens}
    ]
    return sorted(rows, key=lambda row: (-row["tokens_saved"], row["name"]))


def _measured(total: Tally) -> dict[str, Any] | None:
    """What the holdout shows, percent of the bill without us with its interval; None where none runs or too little was seen."""
    found = measured(total)
    share = found["measured"]["savings_pct"]
    return share and {**share, "held_out": found["holdout"]["requests"], "treated": found["treated"]["requests"]}


def _counts(total: Tally, kind: str) -> list[dict[str, Any]]:
    found = by_name(total, kind)
    return [{"name": name, "count": found[name]} for name in sorted(found, key=lambda name: (-found[name], name))]
