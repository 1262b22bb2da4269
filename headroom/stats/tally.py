"""What is counted of a row, as whole numbers that add up: rows to hours, hours to days, days to everything.

A `Tally` maps names to sums. FIGURES are there for every row; the rest are details, `kind/name`, and distributions,
`kind/edge number`. `headroom.stats.arrow` counts the same for a whole table at once; a test compares the two.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from headroom.stats.prices import BESIDE
from headroom.stats.rows import Row

Tally = Counter[str]
DIMENSIONS = ("provider", "model", "team", "user", "client")
HOUR_US = 3_600_000_000
_STEPS = (1, 1.5, 2, 2.5, 3.5, 5, 7)
# Upper edges in microseconds, each in its bucket, from a tenth of a millisecond; the last bucket is open.
EDGES: tuple[int, ...] = tuple(
    sorted({round(step * 10**decade) for decade in range(2, 9) for step in _STEPS} | {1_000_000 * s for s in (30, 60, 120, 300)})
)
RATIO_EDGES = tuple(range(10, 101, 10))  # tokens after in percent of tokens before
TIMES = {"latency": "total_us", "overhead": "overhead_us", "ttfb": "ttfb_us"}  # distribution -> column
COPIED = (  # figures that are a column of the row, null counting nothing
    "tokens_before",
    "tokens_after",
    "tokens_saved",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "cost_nanousd",
    "input_nanousd",
    "counterfactual_nanousd",
    "saved_nanousd",
    "cache_saved_nanousd",
    "saved_read_tokens",
    "saved_write_tokens",
    "saved_plain_tokens",
    "rounds",
    "retrievals",
    "retrieval_nanousd",
    "overhead_us",
    "ttfb_us",
    "total_us",
    "shadow_tokens_saved",
    "shadow_saved_nanousd",
)
BY_PROVIDER = ("cache_read_tokens", "cache_write_tokens", "cache_bust", "cost_nanousd", "saved_nanousd", "cache_saved_nanousd")
_MOST_MODELS = 500
DEFAULT_POLICY = "default"  # what a request is counted under that no rule matched
FLAGS = ("cache_bust", "holdout", "shadow")  # figures that count the rows where it holds
PLAIN = "plain_tokens"  # of a prompt, billed at the plain price: neither read from the provider's cache nor written to it
COUNTED = ("requests", "failed", "rate_limited", "cached", "uncompressed", "billed", "estimated", "unpriced", "ratio_ppm", PLAIN)
FIGURES = (*COUNTED, *FLAGS, *COPIED)
LISTS = {  # kind -> column
    "skip": "reasons",
    "transform": "transforms",
    "transform_tokens": "transform_tokens",
    "transform_us": "transform_us",
    "retrieved": "retrieved",
    "charged_nanousd": "charged_nanousd",
    "waste": "waste",
}
GROUPS = 32  # of conversations in one arm of a holdout
GROUP_OF = {f"{byte:02x}": byte * GROUPS // 256 for byte in range(256)}  # by the first two digits of a conversation's id
ARM_FIGURES = ("requests", "begun", "chars", "cost_nanousd", "saved_nanousd")


def tally(row: Row) -> Tally:
    """What one row counts."""
    found: Tally = Counter()
    status, before, after = row["status"], row["tokens_before"], max(0, row["tokens_after"])
    found["requests"] = 1
    found["failed"] = int(status >= 500 or status == 0)
    found["rate_limited"] = int(status == 429)
    found["cached"] = int(row["cache_hit"] != "")
    found["uncompressed"] = int(row["skip_reason"] != "")
    for method in ("billed", "estimated", "unpriced"):
        found[method] = int(row["cost_method"] == method)
    for name in FLAGS:
        found[name] = int(bool(row[name]))
    for name in COPIED:
        found[name] = row[name] or 0
    given, cached = row["input_tokens"] or 0, (row["cache_read_tokens"] or 0) + (row["cache_write_tokens"] or 0)
    found[PLAIN] = given if row["dialect"] in BESIDE else max(0, given - cached)
    if before > 0:
        found["ratio_ppm"] = 1_000_000 * after // before
        found[f"ratio/{sum(100 * after > edge * before for edge in RATIO_EDGES)}"] += 1
    for name, column in TIMES.items():
        if row[column] is not None:
            found[f"{name}/{bisect_left(EDGES, row[column])}"] += 1
    for name, column in LISTS.items():
        for item in row[column]:
            found[f"{name}/{item['name']}"] += item["value"]
    for item in row["transform_us"]:
        found[f"transform_timed/{item['name']}"] += 1
        found[f"transform_le/{item['name']}/{bisect_left(EDGES, item['value'])}"] += 1
    found.update(_of_arm(row))
    for name in _labels(row):
        found[name] += 1
    return found


def _labels(row: Row) -> Iterator[str]:
    """Details that count the rows of a name."""
    for item in row["degraded"]:
        yield f"degraded/{item}"
    yield f"mode/{row['mode']}"
    if row["cache_hit"]:
        yield f"cached_as/{row['cache_hit']}"
    if row["policy_version"]:
        yield f"policy/{row['policy'] or DEFAULT_POLICY}@{row['policy_version']}"


def _of_arm(row: Row) -> dict[str, int]:
    """What it adds to an arm of a holdout: only what the provider billed is compared."""
    group = GROUP_OF.get(row["conversation"][:2])
    if not row["arm"] or row["cost_method"] != "billed" or group is None:
        return {}
    values = (1, int(row["turns"] == 1), row["chars"], row["cost_nanousd"], row["saved_nanousd"])
    return {f"arm/{row['arm']}/{group}/{name}": value or 0 for name, value in zip(ARM_FIGURES, values, strict=True)}


def dimensions(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in DIMENSIONS)


def total_of(found: Iterable[tuple[tuple[str, ...], Tally]]) -> Tally:
    """Everything added up; providers and models become details of it."""
    total: Tally = Counter()
    for (provider, model, *_), one in found:
        total.update(one)
        total[f"provider/{provider}"] += one["requests"]
        total[f"model/{model or 'unknown'}"] += one["requests"]
        for name in BY_PROVIDER:
            total[f"{name}/{provider}"] += one[name]
    return bounded_models(total)


def bounded_models(total: Tally) -> Tally:
    """The same total, what is beyond its _MOST_MODELS models as "other"."""
    models = sorted(by_name(total, "model").items(), key=lambda item: (-item[1], item[0]))
    for model, count in models[_MOST_MODELS:]:
        del total[f"model/{model}"]
        total["model/other"] += count
    return total


def by_name(tally: Mapping[str, int], kind: str) -> dict[str, int]:
    """The details of one kind, by name."""
    return {name.partition("/")[2]: value for name, value in tally.items() if name.startswith(f"{kind}/")}


def distribution(tally: Mapping[str, int], kind: str, edges: Sequence[int] = EDGES) -> list[int]:
    """Counts by bucket, the open one last."""
    return [tally.get(f"{kind}/{number}", 0) for number in range(len(edges) + 1)]


def percentile(counts: Sequence[int], share: float) -> float:
    """Microseconds below which a share of the values lies, interpolated inside its bucket."""
    wanted, seen = share * sum(counts), 0
    for number, count in enumerate(counts):
        if count and seen + count >= wanted:
            low, high = _bounds(number)
            return low + (high - low) * max(0.0, (wanted - seen) / count)
        seen += count
    return 0.0


def _bounds(number: int) -> tuple[int, int]:
    low = EDGES[number - 1] if number else 0
    return low, EDGES[number] if number < len(EDGES) else low


def figures_ms(tally: Mapping[str, int], kind: str) -> dict[str, float | None]:
    """average, min, max and percentiles in milliseconds; all None without values. All but the average are read off the buckets."""
    counts = distribution(tally, kind)
    names = ("average_ms", "min_ms", "max_ms", "p50_ms", "p95_ms", "p99_ms")
    if not (total := sum(counts)):
        return dict.fromkeys(names)
    filled = [number for number, count in enumerate(counts) if count]
    values = (
        tally.get(TIMES.get(kind, ""), 0) / total,
        _bounds(filled[0])[0],
        _bounds(filled[-1])[1],
        *(percentile(counts, share) for share in (0.5, 0.95, 0.99)),
    )
    return {name: round(value / 1000, 3) for name, value in zip(names, values, strict=True)}


def dollars(tally: Mapping[str, int], name: str) -> float:
    return round(tally.get(name, 0) / 1e9, 6)
