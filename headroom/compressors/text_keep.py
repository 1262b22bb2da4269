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

_INDENTED = re.compile(r"^[ \t]", re.MULTILINE)
_DIGITS = re.compile(r"\b[A-Za-z_]*+\d[\w.:,/+-]*+", re.ASCII)
_WORDS = re.compile(r"[^\W\d_]++(?:[ _'.&/\u2019-]{1,2}[^\W\d_]++)*+")
_KEY = re.compile(r"[ \t]*(?:- )?([\w./()-]++(?: [\w./()-]++){0,4}+)[ \t]*+(?::[ \t]|:$|=)")
_NUMBER = re.compile(r"(?<![\w.-])-?\d{1,18}(?:\.\d{1,12})?(?![\w-])")

# what tells of something wrong, in lower case: plainly, or only where few units say so
_PLAIN = (
    "error", "exception", "fatal", "traceback", "panic", "fail", "crash", "unhealthy", "not ok", "\u2717", "\u2718", "\u2716", "\u274c",
    "exit code", "exit status", "exited with",
)  # fmt: skip
_VAGUE = (
    "warning", "warn:", "backoff", "abort", "denied", "refused", "timed out", "timeout", "not found", "no such", "cannot", "can't",
    "could not", "couldn't", "unable", "killed", "undefined", "deprecat", "invalid", "evicted", "pending", "unresolved", "\u00d7", "\u26a0",
)  # fmt: skip
_INSIDE = frozenset(("error", "exception", "warning", "backoff"))  # also at the end of a longer word
_ENDED = frozenset(("exit code", "exit status", "exited with"))
_EXIT = re.compile(r"exit(?:ed)? (?:code|status|with)[^\d\n]{0,40}[1-9]")
_DENIED = ("no ", "without ", "0 ")  # before a word of trouble
_DENIED_BEHIND = re.compile(r"\w{0,4}[^\w\n]{1,4}(?:0\b|none|null|nil|false|\[\])")
_CAPITALS = re.compile(r"[A-Z][A-Z0-9]{2,}[A-Z0-9 _/&-]{0,60}:?$")
_TITLE = re.compile(r"#{1,6} \S|[=*-]{3,} \S|[>$] \S|\S.{0,60}/:$")
_UNDERLINE = re.compile(r"[ \t]*([-=~^*#])\1{3,}[ \t]*$")
_MARKS, _LINES = "#=*->$./", "-=~^*# "  # first characters of a marked heading, of an underline


@dataclass(slots=True)
class _Selection:
    """Which units stay, and how many characters they take."""

    texts: Sequence[str]
    kept: bytearray
    parents: Sequence[int]
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

    def take_each(self, wanted: Iterable[int], limit: int) -> None:
        """Keep one unit after the other until the limit is reached."""
        for unit in wanted:
            if not self.take((unit,), limit) and self.spent + _SMALL_GAP > limit:
                return

    def with_parents(self, unit: int) -> list[int]:
        """The unit and the headings above it."""
        found = [unit]
        while self.parents and len(found) <= _PARENTS and (unit := self.parents[unit]) >= 0:
            found.append(unit)
        return found


def select(segment: Segment, units: Units, scores: Sequence[float], budget: int) -> bytearray:
    """One byte per unit, 1 for those that stay; `budget` is how many characters may stay beside what must."""
    count = len(units.texts)
    joined = "\n".join(units.texts)
    offsets = starts(units.texts)
    selection = _Selection(units.texts, bytearray(count), _parents(units.texts) if _INDENTED.search(joined) else ())
    shapes = _DIGITS.sub("0", joined).split("\n")
    selection.take((*range(min(_EDGE, count)), *range(max(0, count - _EDGE), count)), budget)
    _take_named(selection, segment, joined, offsets)
    _take_scored(selection, scores, budget)
    _take_signals(selection, joined, offsets, shapes, budget)
    if units.lines > 1:
        selection.take_each(_headings(units.texts), selection.spent + budget // 3)
    _take_shapes(selection, shapes, max(budget, selection.spent + budget // 4))
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


def _take_named(selection: _Selection, segment: Segment, joined: str, offsets: Sequence[int]) -> None:
    """Units with what the question names; of the words of the call and before it only what is rare in the text."""
    for source, (most, cut) in zip((segment.question, segment.intent, segment.arguments), _NAMED, strict=True):
        for name in names(source):
            hits = holding(joined, offsets, name, 4 * most)
            if len(hits) > most:
                hits = [*hits[: most // 2], *hits[-most // 2 :]] if cut else []
            around = 1 if len(hits) <= 3 else 0
            for unit in hits:
                selection.take((*range(unit - around, unit + around + 1), *selection.with_parents(unit)))


def _take_scored(selection: _Selection, scores: Sequence[float], budget: int) -> None:
    best = max(scores, default=0.0)
    if best <= 0:
        return
    ranked = sorted((unit for unit, score in enumerate(scores) if score >= 0.5 * best), key=lambda unit: (-scores[unit], unit))[:200]
    first = {selection.texts[unit]: unit for unit in reversed(ranked)}
    for rank, unit in enumerate(sorted(first.values(), key=lambda unit: (-scores[unit], unit))):
        if rank < 6:
            selection.take(selection.with_parents(unit))
            selection.take((unit - 1, unit + 1), selection.spent + budget // 12)
        elif not selection.take((unit,), budget // 2):
            break


def _take_signals(selection: _Selection, joined: str, offsets: Sequence[int], shapes: Sequence[str], budget: int) -> None:
    """What went wrong: one of each wording first, rarest first, then all of it as far as it fits."""
    lower = joined.replace("\u0130", "I").lower()
    plain = _telling(lower, offsets, _PLAIN)
    found = sorted(plain | _telling(lower, offsets, _VAGUE))
    ordinary = len(found) > max(20, _ORDINARY * len(selection.texts))
    if ordinary:
        found = sorted(plain)
    limit = selection.spent + _SIGNALS + budget // 2
    uses = Counter(shapes[unit] for unit in found)
    first = {shapes[unit]: unit for unit in reversed(found)}
    order = sorted(first.values(), key=lambda unit: (uses[shapes[unit]], unit))
    if not ordinary:
        for unit in order:
            selection.take((unit - 1, *selection.with_parents(unit), unit + 1), limit)
    selection.take_each(order, limit)
    selection.take_each(found, limit)


def _telling(lower: str, offsets: Sequence[int], words: Iterable[str]) -> set[int]:
    """The units that tell of an error, a warning or a failure in these words; each is looked at once per word."""
    found: set[int] = set()
    for word in words:
        at = lower.find(word)
        while at >= 0:
            if not _tells(lower, at, word):
                at = lower.find(word, at + len(word))
                continue
            unit = bisect_right(offsets, at) - 1
            found.add(unit)
            at = lower.find(word, offsets[unit + 1]) if unit + 1 < len(offsets) else -1
    return found


def _tells(lower: str, at: int, word: str) -> bool:
    """Whether the word that stands at `at` says that something went wrong."""
    if word in _ENDED:
        return bool(_EXIT.match(lower, at))
    if at and word not in _INSIDE and (lower[at - 1].isalnum() or lower[at - 1] == "_"):
        return False
    before = lower[max(0, at - 8) : at]
    if before.endswith(_DENIED) and not before[-3:-1].isdigit():
        return False
    return not _DENIED_BEHIND.match(lower, at + len(word))


def _headings(texts: Sequence[str]) -> list[int]:
    """Lines that name what stands below them: `Name:` over indented lines, underlined, in capitals, marked or boxed."""
    found: list[int] = []
    uses = Counter(text for text in texts if text.endswith(":"))
    last = len(texts) - 1
    for unit, text in enumerate(texts):
        if not text or len(text) > 160:
            continue
        below = texts[unit + 1] if unit < last else ""
        if text.endswith(":"):
            if uses[text] > _REPEATED:
                continue
            heading = _indent(below) > _indent(text) or not unit or not texts[unit - 1].strip()
        else:
            heading = (text[0] in _MARKS and bool(_TITLE.match(text))) or (text[0].isupper() and bool(_CAPITALS.match(text)))
        if heading or (below[:1] in _LINES and below and _UNDERLINE.match(below)):
            found.append(unit)
    return found if len(found) <= _ORDINARY * len(texts) + 8 else []


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" \t"))


def _take_shapes(selection: _Selection, shapes: Sequence[str], budget: int) -> None:
    """One of each kind, rare ones first, the extremes of numbers, the ends, and one of each shape."""
    kinds = _kinds(selection.texts, shapes)
    counts = Counter(kinds)
    if len(counts) <= _VARIED * len(kinds):
        first = {kind: unit for unit, kind in zip(range(len(kinds) - 1, -1, -1), reversed(kinds), strict=True)}
        selection.take_each(sorted(first.values(), key=lambda unit: (counts[kinds[unit]], unit)), budget)
        selection.take_each(_extremes(selection.texts, kinds, counts), budget)
    room = budget - selection.spent
    for run, share in ((range(len(kinds)), 5 * room // 8), (range(len(kinds) - 1, -1, -1), room // 2)):
        for unit in run:
            if not selection.take((unit,), budget - share):
                break
    seen = {shape for shape, kept in zip(shapes, selection.kept, strict=True) if kept}
    for unit, shape in enumerate(shapes):
        if shape not in seen:
            if not selection.take((unit,), budget - room // 4):
                break
            seen.add(shape)


def _kinds(texts: Sequence[str], shapes: Sequence[str]) -> list[str]:
    """The wording of each unit without its words; the key where it has one."""
    kinds = [line[:_LOOKED_AT].strip() for line in _WORDS.sub("a", "\n".join(shapes)).split("\n")]
    for unit, text in enumerate(texts):
        if ":" in text or "=" in text:
            key = _KEY.match(text)
            if key:
                kinds[unit] = key[1]
    return kinds


def _extremes(texts: Sequence[str], kinds: Sequence[str], counts: Counter[str]) -> Iterator[int]:
    """The units with the least and the greatest number of each column, among those of one kind."""
    least: dict[tuple[str, int], tuple[float, int]] = {}
    greatest: dict[tuple[str, int], tuple[float, int]] = {}
    for unit, kind in enumerate(kinds):
        if counts[kind] < _LIKE:
            continue
        for column, digits in enumerate(_NUMBER.findall(texts[unit], 0, _LOOKED_AT)[:_COLUMNS]):
            value, place = float(digits), (kind, column)
            if place not in least:
                least[place] = greatest[place] = (value, unit)
            elif value < least[place][0]:
                least[place] = (value, unit)
            elif value > greatest[place][0]:
                greatest[place] = (value, unit)
    for place, (_, unit) in greatest.items():
        yield unit
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
