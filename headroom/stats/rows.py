"""One row per request: what the ledger keeps, forever in this form. Never a prompt, an answer or a credential.

A column is only ever added, with a default that says "not known"; its meaning never changes. A change raises SCHEMA_VERSION.
Amounts are whole nanodollars, durations whole microseconds, so that sums are exact and the same in any order. Savings are signed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from headroom.outcome import Outcome
from headroom.stats.costing import POSITION, cost_of
from headroom.stats.prices import Prices
from headroom.stats.usual import Usual

SCHEMA_VERSION = 3
Kind = Literal["str", "int", "bool", "time", "list", "counts"]
Row = dict[str, Any]

# name -> kind, in the order of the Parquet files. `time` is microseconds since 1970 UTC; `counts` a list of {name, value}.
COLUMNS: dict[str, Kind] = {
    "schema_version": "int",
    "event_id": "str",  # the request id: a row that comes twice is counted once
    "timestamp": "time",  # when the request ended
    "route": "str",
    "dialect": "str",
    "provider": "str",
    "model": "str",
    "mode": "str",
    "status": "int",  # 499: the client left; 0: no answer
    "stream": "bool",
    "sent": "bool",
    "client": "str",
    "caller": "str",
    "team": "str",
    "user": "str",
    "conversation": "str",
    "turns": "int",
    "holdout": "bool",
    "shadow": "bool",
    "cache_hit": "str",
    "tokens_before": "int",  # our count
    "tokens_after": "int",
    "tokens_saved": "int",
    "tokens_method": "str",
    "input_tokens": "int",  # the provider's figures; null where it gave none
    "output_tokens": "int",
    "cache_read_tokens": "int",
    "cache_write_tokens": "int",
    "cache_write_1h_tokens": "int",
    "cache_bust": "bool",  # a conversation of several turns, of which the provider's cache held nothing and was written anew
    "price_version": "str",
    "cost_method": "str",
    "cost_nanousd": "int",  # null: nobody knows the price
    "input_nanousd": "int",  # of cost_nanousd, what the prompts cost
    "cache_saved_nanousd": "int",  # what the provider's own prompt cache saved, its writes paid; not ours
    "counterfactual_method": "str",
    "counterfactual_nanousd": "int",
    "saved_nanousd": "int",
    "saved_read_tokens": "int",  # tokens_saved by what the provider billed for their part of the prompt
    "saved_write_tokens": "int",
    "saved_plain_tokens": "int",
    "rounds": "int",  # further requests because the model read something back; their cost is in the cost
    "retrievals": "int",
    "skip_reason": "str",
    "error": "str",
    "reasons": "counts",  # why texts stayed as they came
    "transforms": "counts",  # texts that became smaller
    "transform_tokens": "counts",
    "transform_us": "counts",
    "degraded": "list",  # tier:reason
    "overhead_us": "int",
    "ttfb_us": "int",
    "total_us": "int",
    "tags": "list",  # name=value
    "arm": "str",  # treated or holdout while a holdout runs, else empty
    "chars": "int",  # characters of the prompt as it came, of what a model reads in the messages
    "retrieved": "counts",  # originals that the model read back, by the transform that had cut them
    "retrieval_nanousd": "int",  # of cost_nanousd, what the further requests for them cost
    "charged_nanousd": "counts",  # the same by transform
    "waste": "counts",  # tokens of the texts that were new, by what is wasteful about them; an estimate
    "policy": "str",  # the rule that held, empty for none
    "policy_version": "str",  # empty where there are no policies
    "shadow_tokens_saved": "int",  # what a request that was forwarded as it came could have saved; in no other figure
    "shadow_saved_nanousd": "int",
    "translated": "str",  # from the client's API to the backend's, empty where they are the same
}
_ERROR_CHARS = 200
_UNKNOWN: dict[Kind, Any] = {"str": str, "bool": bool, "list": list, "counts": list}


def row_of(outcome: Outcome, prices: Prices, usual: Usual | None = None) -> Row:
    """The row of an outcome; every column of COLUMNS, in their order."""
    cost, usage = cost_of(outcome, prices, usual), outcome.usage
    if usual and cost.method == "billed":
        usual.learn(outcome, cost.input or 0)
    values = {
        "schema_version": SCHEMA_VERSION,
        "event_id": outcome.request_id,
        "timestamp": round(1_000_000 * outcome.timestamp),
        "tokens_method": "segments exact, the rest a quarter of its characters",
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "price_version": prices.version,
        "cost_method": cost.method,
        "cache_bust": outcome.turns > 1 and bool(usage.cache_write_tokens) and not usage.cache_read_tokens,
        "cost_nanousd": cost.cost,
        "input_nanousd": cost.input,
        "cache_saved_nanousd": cost.cache_saved,
        "counterfactual_method": POSITION if cost.method in ("billed", "estimated") else "",
        "counterfactual_nanousd": cost.counterfactual,
        "saved_nanousd": cost.saved,
        "shadow_saved_nanousd": cost.shadow_saved,
        "saved_read_tokens": cost.taken.read,
        "saved_write_tokens": cost.taken.write_5m + cost.taken.write_1h,
        "saved_plain_tokens": cost.taken.plain,
        "arm": outcome.arm,
        "holdout": outcome.arm == "holdout",
        "retrieved": _counts(Counter(outcome.retrieved)),
        "retrieval_nanousd": cost.retrieval,
        "charged_nanousd": _counts(_charged(outcome.retrieved, cost.retrieval or 0)),
        "waste": _counts(Counter(dict(outcome.waste))),
        "error": outcome.error[:_ERROR_CHARS],
        "reasons": _counts(Counter(outcome.reasons or ((outcome.skip_reason,) if outcome.skip_reason else ()))),
        "transforms": _counts(Counter(label.removeprefix("router:").partition(":")[0] for label in outcome.transforms)),
        "transform_tokens": _counts(_summed(outcome.transform_tokens)),
        "transform_us": _counts(_summed((name, round(1000 * spent)) for name, spent in outcome.transform_ms)),
        "degraded": [f"{tier}:{reason}" for tier, reason in outcome.degraded],
        "overhead_us": round(1000 * outcome.overhead_ms),
        "ttfb_us": None if outcome.ttfb_ms is None else round(1000 * outcome.ttfb_ms),
        "total_us": round(1000 * outcome.total_ms),
        "tags": [f"{name}={value}" for name, value in outcome.tags],
    }
    return {name: readable(values[name] if name in values else getattr(outcome, name)) for name in COLUMNS}


def readable(value: Any) -> Any:
    """A value of a column without half characters (lone surrogates), which no file takes."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="replace").decode()
    if isinstance(value, list):
        return [readable(item) for item in value]
    if isinstance(value, dict):
        return {name: readable(item) for name, item in value.items()}
    return value


def complete(row: Row) -> Row:
    """The columns of today of a row that another version wrote; what it does not know is empty or null."""
    return {name: row.get(name, _UNKNOWN[kind]() if kind in _UNKNOWN else None) for name, kind in COLUMNS.items()}


def _summed(pairs: Any) -> Counter[str]:
    total: Counter[str] = Counter()
    for name, value in pairs:
        total[name] += value
    return total


def _charged(retrieved: Sequence[str], nanousd: int) -> Counter[str]:
    """What reading back cost, to equal parts for each original; the remainder to the first, so that the sum is exact."""
    if not retrieved or not nanousd:
        return Counter()
    each, rest = divmod(nanousd, len(retrieved))
    return _summed([*((name, each) for name in retrieved), (retrieved[0], rest)])


def _counts(counts: Counter[str]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in sorted(counts.items())]
