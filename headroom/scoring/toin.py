"""What is learned from traffic about the outputs of a tool: how often they were cut and asked for again, and which part of them.

A pattern is a handful of counts per signature: a tool's name and the structure of its outputs. It holds no values: of a query
only where it hit (in which tenth of the output, an error or not, which fields), and field names that do not look like names
become hashes. From the counts follows `Advice`; the advice of all signatures together is a `Snapshot`, whose version is the hash of
what it says. Advice is given when an output was asked for again at least `LEAST` times, in a good share of the times it could have
been; outputs that already follow an advice do not count against it. Counts fade, so that advice which is no longer needed goes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from headroom.content import detect
from headroom.model import NO_ADVICE, Advice, Compressed

LEAST = 5  # times something is asked for again before it counts
SHARE = 0.2  # of the outputs in which it was left out
LEAST_WHOLE = 10  # the same for whole outputs: nothing is saved on a tool that is not compressed
SHARE_WHOLE = 0.7
MOST_TENTHS = 5  # when more than half of an output is wanted, all of it is
MEMORY = 400  # outputs of a tool after which its counts are halved
SIGNATURES = 300  # per owner; above, those with the fewest counts go
_FIELDS = 32  # per signature
_ADVISED_FIELDS = 8
_HITS = 3  # of a query that say what it was about, none far below the best
_SAMPLE = 3000  # characters that tell the structure
_NAME_CHARS = 80
_NAMES = 100  # of counts of one signature, beside those of fields

_KEY = re.compile(r'"([^"\\\n]{1,80})"\s*:')
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z_.-]{0,39}")
_WORD = re.compile(r"\w{3,}")
_ERROR = re.compile(
    r"error|fail|exception|traceback|fatal|critical|panic|denied|refused|timed? ?out|unavailable|crash|abort|rejected", re.IGNORECASE
)

Deltas = Mapping[str, Mapping[str, int]]  # signature -> what to add to its counts
Patterns = Mapping[str, Mapping[str, int]]


def signature(tool: str, text: str) -> str:
    """What outputs of one tool have in common: its name and the keys that most of their records have, or the kind of text they are.

    Empty when there is nothing to go by. Reads the beginning of the text only.
    """
    sample = text[:_SAMPLE]
    keys = Counter(_KEY.findall(sample) if sample.lstrip()[:1] in ("{", "[") else ())
    least = max(keys.values(), default=0) / 2
    common = sorted(key for key, count in keys.items() if count >= least)
    if not tool and not common:
        return ""
    structure = hashlib.sha256("\n".join(common).encode("utf-8", "replace")).hexdigest()[:12] if common else detect(sample, tool, "")
    return f"{_short(tool)}#{structure}"


def field_name(key: str) -> str:
    """A field's name as it may be kept: itself when it looks like one, otherwise a hash."""
    return key if _PLAIN.fullmatch(key) else "~" + hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:8]


def compressed(result: Compressed, advice: Advice) -> Mapping[str, int]:
    """The counts of one output that was looked at; `advice` is what it followed."""
    counts = Counter({"seen": 1, "tokens_before": result.tokens_before, "tokens_after": result.tokens_after})
    if result.text is not None:
        counts.update({"compressed": 1, f"by:{result.transform}": 1})
    if result.cut:
        counts.update({"cut": 1, "items": result.items, "items_kept": result.items_kept})
        counts.update(f"cut:{tenth}" for tenth in range(10) if tenth not in advice.tenths)
        counts.update({"cut:errors": not advice.errors, "cut:fields": not advice.fields})
    return +counts


def read_whole(taught: bool) -> Mapping[str, int]:
    """The counts of one output that was read back whole, `taught` when a model asked for it."""
    return {"asked": 1, "whole": 1} if taught else {"redeemed": 1}


def searched(text: str, query: str, hits: Sequence[tuple[str, float]], advice: Advice) -> Mapping[str, int]:
    """The counts of one search in an output; `hits` are verbatim pieces of `text` and their scores, `advice` what holds now."""
    counts = Counter({"asked": 1, "searched": 1})
    best = max((score for _, score in hits), default=0.0)
    words = set(_WORD.findall(query.lower()))
    tenths, fields = set[int](), set[str]()
    error = False
    for piece, score in hits[:_HITS]:
        if score < best / 2:
            continue
        tenths.add(_tenth(text, piece))
        error = error or bool(_ERROR.search(piece))
        fields.update(_asked_fields(piece, words))
    counts.update(f"at:{tenth}" for tenth in tenths)
    counts.update(f"field:{name}" for name in fields)
    counts["errors"] += error
    counts["again"] += bool(tenths.intersection(advice.tenths))
    return +counts


def _tenth(text: str, piece: str) -> int:
    middle = max(0, text.find(piece)) + len(piece) / 2
    return min(9, int(10 * middle / max(1, len(text))))


def _asked_fields(piece: str, words: set[str]) -> list[str]:
    """The fields of a record that the query's words name or stand in."""
    try:
        record = json.loads(piece)
    except (ValueError, RecursionError):
        return []
    if not isinstance(record, dict):
        return []
    found = [key for key, value in record.items() if key.lower() in words or words.intersection(_WORD.findall(str(value).lower()))]
    return [field_name(key) for key in found[:_HITS]]


def named(patterns: Patterns) -> Patterns:
    """Counts that come from elsewhere, under names no longer than ours."""
    found: dict[str, Counter[str]] = {}
    for signature, counts in patterns.items():
        tool, _, structure = signature.rpartition("#")
        known = found.setdefault(f"{_short(tool)}#{_short(structure)}" if tool else _short(signature), Counter())
        for name, count in counts.items():
            known[_short(name)] += count
    return found


def _short(name: str) -> str:
    return name[:_NAME_CHARS].encode("utf-8", "replace").decode()


def merged(patterns: Patterns, deltas: Deltas) -> Patterns:
    """The counts after these events, faded and bounded."""
    added = {name: _bounded(Counter(patterns.get(name, {})) + Counter(counts)) for name, counts in deltas.items()}
    after = {**patterns, **added}
    if len(after) <= SIGNATURES:
        return after
    busiest = sorted(after, key=lambda name: (-after[name].get("seen", 0) - after[name].get("asked", 0), name))[:SIGNATURES]
    return {name: after[name] for name in busiest}


def _bounded(counts: Counter[str]) -> Mapping[str, int]:
    if counts["seen"] >= MEMORY:
        counts = +Counter({name: count // 2 for name, count in counts.items()})
    fields = sorted((name for name in counts if name.startswith("field:")), key=lambda name: (-counts[name], name))
    others = sorted(counts.keys() - set(fields), key=lambda name: (-counts[name], name))
    for name in fields[_FIELDS:] + others[_NAMES:]:
        del counts[name]
    return counts


def advice_from(counts: Mapping[str, int]) -> Advice:
    """What follows from the counts of one signature."""
    asked = min(10, 10 * counts.get("asked", 0) // max(1, counts.get("cut", 0))) if counts.get("asked", 0) >= LEAST else 0
    whole = _often(counts, "whole", "cut", LEAST_WHOLE, SHARE_WHOLE) or counts.get("again", 0) >= LEAST
    tenths = tuple(tenth for tenth in range(10) if _often(counts, f"at:{tenth}", f"cut:{tenth}"))
    if whole or len(tenths) > MOST_TENTHS:
        return Advice(asked=asked, whole=True)
    named = sorted((-count, name[6:]) for name, count in counts.items() if name.startswith("field:") and _often(counts, name, "cut:fields"))
    return Advice(asked, False, tenths, _often(counts, "errors", "cut:errors"), tuple(name for _, name in named[:_ADVISED_FIELDS]))


def _often(counts: Mapping[str, int], what: str, of: str, least: int = LEAST, share: float = SHARE) -> bool:
    return counts.get(what, 0) >= max(least, share * counts.get(of, 0))


@dataclass(frozen=True)
class Snapshot:
    """The advice for every signature about which there is any; equal versions mean equal advice."""

    advice: Mapping[str, Advice] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """16 hex digits; empty when there is no advice."""
        return hashlib.sha256(self.dump()).hexdigest()[:16] if self.advice else ""

    def for_output(self, tool: str, text: str) -> Advice:
        """What was learned about such an output; no advice when nothing was."""
        return self.advice.get(signature(tool, text), NO_ADVICE) if self.advice else NO_ADVICE

    def dump(self) -> bytes:
        return json.dumps({name: asdict(advice) for name, advice in self.advice.items()}, sort_keys=True, separators=(",", ":")).encode()


def snapshot(patterns: Patterns) -> Snapshot:
    """What follows from all counts of one owner."""
    given = {name: advice_from(counts) for name, counts in patterns.items()}
    return Snapshot({name: advice for name, advice in given.items() if advice != NO_ADVICE})


def load(data: bytes) -> Snapshot:
    """Raises ValueError when another version of `Advice` wrote it."""
    try:
        raw: dict[str, dict[str, Any]] = json.loads(data)
        return Snapshot({name: _advice(fields) for name, fields in raw.items()})
    except (TypeError, AttributeError) as failure:
        raise ValueError(f"not a snapshot: {failure}") from None


def _advice(fields: Mapping[str, Any]) -> Advice:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return Advice(**values)


def boosted(scores: Sequence[float], advice: Advice) -> Sequence[float]:
    """Scores with which the tenths that are asked for again rank behind what the question names, and before all else."""
    if not advice.tenths:
        return scores
    floor = 0.6 * max(scores, default=0.0) or 1.0
    many = max(1, len(scores))
    return [max(score, floor) if 10 * place // many in advice.tenths else score for place, score in enumerate(scores)]
