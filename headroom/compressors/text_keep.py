"""Decides which units of a text stay: what is asked for, what is wrong, what frames the rest, one of each shape.

A unit's kind is its wording without words and numbers, or its key where it is a `key: value` line;
its shape is the wording without numbers. Both are found by passes over the whole text, so that a
list of a million names costs no more than a million times the same line.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from headroom.compressors.named import holding, names, starts
from headroom.compressors.text_units import Units
from headroom.model import Segment

_EDGE = 3  # units kept at either end
_SMALL_GAP = 60  # characters that cost less to keep than to describe
_PARENTS = 4  # levels of headings kept above a unit that is wanted
_NAMED = ((24, True), (6, False), (4, False))  # units kept per name of question, intent, arguments; whether more hits are cut or dropped
_SIGNALS = 6000  # characters of signals that always stay
_ORDINARY = 0.3  # share of units with a signal from which a signal says nothing
_VARIED = 0.5  # share of distinct kinds from which a kind says nothing
_COLUMNS = 4  # numbers of a unit that are compared with those of its like
_REPEATED = 4  # times from which the same heading tells nothing
_LIKE = 12  # units of one kind from which the extremes of their numbers stay
_LOOKED_AT = 400  # characters of a unit that decide its shape

_DIGITS = re.compile(r"[A-Za-z_]*+\d[\w.:,/+-]*+", re.ASCII)
_WORDS = re.compile(r"[^\W\d_]++(?:[ _'.&/\u2019-]{1,2}[^\W\d_]++)*+")
_KEY = re.compile(r"[ \t]*(?:- )?([\w./()-]++(?: [\w./()-]++){0,4}+)[ \t]*+(?::[ \t]|:$|=)")
_NUMBER = re.compile(r"(?<![\w.-])-?\d{1,18}(?:\.\d{1,12})?(?![\w-])")

_HINTS = (
    "error", "exception", "fatal", "traceback", "panic", "fail", "crash", "abort", "denied", "refused", "timed out", "timeout",
    "not found", "no such", "cannot", "can't", "could not", "couldn't", "unable", "killed", "undefined", "warn", "deprecat",
    "unhealthy", "backoff", "not ok", "invalid", "exit code", "exited with", "exit status", "evicted", "pending", "unresolved",
    "\u2717", "\u2718", "\u2716", "\u00d7", "\u274c", "\u26a0",
)  # fmt: skip
_SIGNAL = re.compile(
    r"(?:error|exception|warning)s?\b|\b(?:fatal|traceback|panic|fail|crash|abort|denied|refused|timed out|timeout|not found|no such|cannot"
    r"|can't|could ?n[o']t|unable|killed|undefined|warn|deprecat|unhealthy|not ok|invalid|evicted|pending|unresolved)|backoff"
    r"|\bexit(?:ed)?(?: code| status| with)?\b[^\w\n-]{0,40}-?[1-9]|[\u2717\u2718\u2716\u00d7\u274c\u26a0]",
    re.IGNORECASE,
)
_PLAIN_SIGNAL = re.compile(r"error|fatal|exception|fail|panic|[\u2717\u2718\u2716\u00d7\u274c]", re.IGNORECASE)
_DENIED = re.compile(
    r"\b(?:0|no|without) (?:errors?|warnings?|failures?|failed|exceptions?)\b"
    r"|\b(?:errors?|warnings?|failures?|failed|exceptions?)\W{1,4}(?:0\b|none|null|nil|false|\[\])",
    re.IGNORECASE,
)
_CAPITALS = re.compile(r"[A-Z][A-Z0-9]{2,}[A-Z0-9 _/&-]{0,60}:?$")
_TITLE = re.compile(r"#{1,6} \S|[=*-]{3,} \S|[>$] \S|\S.{0,60}/:$")
_UNDERLINE = re.compile(r"[ \t]*([-=~^*#])\1{3,}[ \t]*$")
_DEFINITION = re.compile(
    r"[ \t\d:|\u2192]*(?:export |public |pub |async |static |abstract )*(?:def|class|func|fn|function|interface|struct|impl|type) \w"
)


@dataclass(slots=True)
class _Selection:
    """Which units stay, and how many characters they take."""

    texts: Sequence[str]
    kept: bytearray
    spent: int = 0

    def take(self, wanted: Iterable[int], limit: int | None = None) -> bool:
        """Keep the units if all of them fit (always, without a limit); whether they are kept now."""
        new = [unit for unit in wanted if 0 <= unit < len(self.kept) and not self.kept[unit]]
        cost = sum(len(self.texts[unit]) + 1 for unit in new)
        if limit is not None and self.spent + cost > limit:
            return not new
        for unit in new:
            self.kept[unit] = 1
        self.spent += cost
        return True


def select(segment: Segment, units: Units, scores: Sequence[float], budget: int) -> bytearray:
    """One byte per unit, 1 for those that stay; `budget` is how many characters may stay beside what must."""
    count = len(units.texts)
    selection = _Selection(units.texts, bytearray(count))
    parents = _parents(units.texts)
    joined = "\n".join(units.texts)
    selection.take((*range(min(_EDGE, count)), *range(max(0, count - _EDGE), count)), budget)
    _take_named(selection, segment, joined, parents)
    _take_scored(selection, scores, parents, budget)
    _take_signals(selection, joined, parents, budget)
    for unit in _headings(units.texts):
        selection.take((unit,), budget // 2 + selection.spent // 2)
    _take_shapes(selection, joined, budget)
    _close_small_gaps(selection)
    return selection.kept


def _parents(texts: Sequence[str]) -> list[int]:
    """For each unit the nearest one before it that is indented less, -1 for none."""
    parents: list[int] = []
    open_: list[tuple[int, int]] = []
    for unit, text in enumerate(texts):
        bare = text.lstrip(" \t")
        indent = len(text) - len(bare)
        if bare:
            while open_ and open_[-1][0] >= indent:
                open_.pop()
        parents.append(open_[-1][1] if open_ else -1)
        if bare:
            open_.append((indent, unit))
    return parents


def _with_parents(unit: int, parents: Sequence[int]) -> list[int]:
    found = [unit]
    while len(found) <= _PARENTS and (unit := parents[unit]) >= 0:
        found.append(unit)
    return found


def _take_named(selection: _Selection, segment: Segment, joined: str, parents: Sequence[int]) -> None:
    """Units with what the question names; of the words of the call and before it only what is rare in the text."""
    offsets = starts(selection.texts)
    for source, (most, cut) in zip((segment.question, segment.intent, segment.arguments), _NAMED, strict=True):
        for name in names(source):
            hits = holding(joined, offsets, name, 4 * most)
            if len(hits) > most:
                hits = [*hits[: most // 2], *hits[-most // 2 :]] if cut else []
            around = 1 if len(hits) <= 3 else 0
            for unit in hits:
                selection.take((*range(unit - around, unit + around + 1), *_with_parents(unit, parents)))


def _take_scored(selection: _Selection, scores: Sequence[float], parents: Sequence[int], budget: int) -> None:
    best = max(scores, default=0.0)
    if best <= 0:
        return
    ranked = sorted((unit for unit, score in enumerate(scores) if score >= 0.5 * best), key=lambda unit: (-scores[unit], unit))[:200]
    for rank, unit in enumerate(ranked):
        if rank < 6:
            selection.take(_with_parents(unit, parents))
            selection.take((unit - 1, unit + 1), selection.spent + budget // 12)
        elif not selection.take((unit,), budget // 2):
            break


def _take_signals(selection: _Selection, joined: str, parents: Sequence[int], budget: int) -> None:
    """What went wrong: one of each wording first, rarest first, then all of it as far as it fits."""
    found = _signals(joined, starts(selection.texts))
    ordinary = len(found) > max(20, _ORDINARY * len(selection.texts))
    if ordinary:
        found = [unit for unit in found if _PLAIN_SIGNAL.search(selection.texts[unit])]
    limit = selection.spent + _SIGNALS + budget // 2
    shapes = [_DIGITS.sub("", selection.texts[unit][:_LOOKED_AT].strip()) for unit in found]
    uses = Counter(shapes)
    first = dict(zip(reversed(shapes), reversed(found), strict=True))
    for shape in sorted(first, key=lambda shape: (uses[shape], first[shape])):
        unit = first[shape]
        if not ordinary:
            selection.take((unit - 1, *_with_parents(unit, parents), unit + 1), limit)
        selection.take((unit,), limit)
    for unit in found:
        selection.take((unit,), limit)


def _signals(joined: str, offsets: Sequence[int]) -> list[int]:
    """The units that tell of an error, a warning or a failure, ascending."""
    lower = joined.replace("\u0130", "I").lower()
    candidates: set[int] = set()
    for hint in _HINTS:
        at = lower.find(hint)
        while at >= 0:
            unit = bisect_right(offsets, at) - 1
            candidates.add(unit)
            at = lower.find(hint, offsets[unit + 1]) if unit + 1 < len(offsets) else -1
    return [unit for unit in sorted(candidates) if _tells(joined, offsets, unit)]


def _tells(joined: str, offsets: Sequence[int], unit: int) -> bool:
    end = offsets[unit + 1] if unit + 1 < len(offsets) else len(joined)
    return bool(_SIGNAL.search(joined, offsets[unit], end)) and not _DENIED.search(joined, offsets[unit], end)


def _headings(texts: Sequence[str]) -> list[int]:
    """Lines that name what stands below them: `Name:` over indented lines, underlined, in capitals, marked or boxed."""
    found: list[int] = []
    uses = Counter(text for text in texts if text.endswith(":"))
    indents = [len(text) - len(text.lstrip(" \t")) for text in texts]
    for unit, text in enumerate(texts):
        if not text or len(text) > 160 or uses[text] > _REPEATED:
            continue
        bare = text.strip()
        below = texts[unit + 1] if unit + 1 < len(texts) else ""
        if bare.endswith(":"):
            opens = below.strip() and indents[unit + 1] > indents[unit]
            heading = bool(opens or not unit or not texts[unit - 1].strip())
        else:
            heading = bool(_TITLE.match(bare) or _UNDERLINE.match(below) or (not indents[unit] and _CAPITALS.match(bare)))
        if heading or _DEFINITION.match(text):
            found.append(unit)
    return found if len(found) <= _ORDINARY * len(texts) + 8 else []


def _take_shapes(selection: _Selection, joined: str, budget: int) -> None:
    """The extremes of numbers, one of each kind, rare ones first, one of each shape, and the ends."""
    kinds, shapes = _kinds(selection.texts, joined)
    counts = Counter(kinds)
    varied = len(counts) > _VARIED * len(kinds)
    first: dict[str, int] = {}
    for unit in range(len(kinds) - 1, -1, -1):
        first[kinds[unit]] = unit
    if not varied:
        for kind in sorted(first, key=lambda kind: (counts[kind], first[kind])):
            selection.take((first[kind],), budget)
        for unit in _extremes(selection.texts, kinds, counts):
            selection.take((unit,), budget)
    room = budget - selection.spent
    for unit in range(len(kinds) - 1, -1, -1):
        if not selection.take((unit,), budget - 7 * room // 8):
            break
    seen: set[str] = {shapes[unit] for unit in range(len(shapes)) if selection.kept[unit]}
    for unit, shape in enumerate(shapes):
        if shape not in seen and not selection.take((unit,), budget - room // 4):
            break
        seen.add(shape)


def _kinds(texts: Sequence[str], joined: str) -> tuple[list[str], list[str]]:
    """Kind and shape of each unit; a text of units without line feeds."""
    masked = _DIGITS.sub("0", joined).split("\n")
    worded = _WORDS.sub("a", "\n".join(masked)).split("\n")
    shapes = [line[:_LOOKED_AT].strip() for line in masked]
    kinds = [line[:_LOOKED_AT].strip() for line in worded]
    for unit, text in enumerate(texts):
        key = _KEY.match(text)
        if key:
            kinds[unit] = key[1]
    return kinds, shapes


def _extremes(texts: Sequence[str], kinds: Sequence[str], counts: Counter[str]) -> Iterator[int]:
    """The units with the least and the greatest number of each column, among those of one kind."""
    least: dict[tuple[str, int], tuple[float, int]] = {}
    greatest: dict[tuple[str, int], tuple[float, int]] = {}
    for unit, kind in enumerate(kinds):
        if counts[kind] < _LIKE:
            continue
        for column, match in enumerate(_NUMBER.findall(texts[unit][:_LOOKED_AT])[:_COLUMNS]):
            value = (float(match), unit)
            place = (kind, column)
            least[place] = min(least.get(place, value), value)
            greatest[place] = max(greatest.get(place, value), value)
    for place in least:
        yield greatest[place][1]
        yield least[place][1]


def _close_small_gaps(selection: _Selection) -> None:
    """A gap that costs more to describe than to keep is kept."""
    gap: list[int] = []
    for unit in range(len(selection.kept) + 1):
        if unit < len(selection.kept) and not selection.kept[unit]:
            gap.append(unit)
            continue
        if gap and sum(len(selection.texts[at]) + 1 for at in gap) < _SMALL_GAP:
            selection.take(gap)
        gap = []
