"""Logs and the output of test runs and builds: one line is one unit.

Left out are lines whose like is still readable. Kept, and verbatim, are the first and last lines,
every distinct error with its stack trace, what the question names, what scores high, and the first
and last line of each template as far as they fit. Each gap says which lines it stands for, their
levels and what most of them look like.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headroom.ccr import marker
from headroom.compressors import log_fold
from headroom.compressors.base import Draft, Parsed
from headroom.compressors.log_shapes import ERROR, Mined, mine
from headroom.compressors.named import holding, names, starts
from headroom.model import Fidelity, Segment

_FEWEST_LINES = 12
_EDGE = 2  # lines kept at either end
_TRACE = 60  # lines of one event kept whole; of a longer one the first 40 and the last 12
_NAMED_LINES = 24  # lines kept per name of the question
_MOST_ERRORS = 60  # error shapes told apart word for word; of more, those alike in most words are one
_GAP = 80  # characters that a gap's own words cost
_FEW = 0.2  # share of distinct lines below which the lossless form is tried first
_ENOUGH = 0.1  # a lossless form this small needs nothing left out


@dataclass(slots=True)
class _Selection:
    """Which lines stay, and how many characters of the budget they have taken."""

    lines: Sequence[str]
    kept: bytearray
    spent: int = 0

    def take(self, wanted: Iterable[int], budget: int | None = None) -> bool:
        """Keep the lines if they fit (always, without a budget); whether they are kept now."""
        new = [line for line in wanted if 0 <= line < len(self.kept) and not self.kept[line]]
        cost = sum(len(self.lines[line]) + 1 for line in new)
        if budget is not None and self.spent + cost > budget:
            return not new
        for line in new:
            self.kept[line] = 1
        self.spent += cost
        return True


class Log:
    """Compressor of logs; see the module."""

    label = "log"

    def parse(self, segment: Segment) -> Parsed | None:
        """Units are the lines, without their line feeds; None for a text of few lines."""
        if segment.text.count("\n") < _FEWEST_LINES - 1:
            return None
        mined = mine(segment.text)
        return Parsed(mined.lines, mined)

    def render(self, segment: Segment, parsed: Parsed, scores: Sequence[float], fidelity: Fidelity, hash: str) -> Draft | None:
        mined: Mined = parsed.structure
        count = len(mined.lines)
        if fidelity == "lossless" or len(set(mined.lines)) < _FEW * count:
            folded = log_fold.encode(mined.lines, hash, templates=fidelity == "lossless")
            if fidelity == "lossless" or (folded is not None and len(folded) < _ENOUGH * len(segment.text)):
                return None if folded is None else Draft(folded, count, count)
        kept = _select(segment, mined, scores)
        text = _write(mined, kept, hash)
        return Draft(text, count, sum(kept)) if len(text) < len(segment.text) else None


def budget_of(chars: int) -> int:
    """How many characters of a log may stay: a fifth, less of a very long one."""
    return max(1200, min(chars // 5, 8000 + chars // 16))


def _select(segment: Segment, mined: Mined, scores: Sequence[float]) -> bytearray:
    count = len(mined.lines)
    selection = _Selection(mined.lines, bytearray(count))
    budget = budget_of(len(segment.text))
    selection.take([*range(_EDGE), *range(count - _EDGE, count)])
    _take_named(selection, segment, mined)
    _take_scored(selection, scores, budget)
    _take_errors(selection, mined, budget + selection.spent // 2)
    _take_templates(selection, mined, budget)
    _close_small_gaps(selection)
    return selection.kept


def _take_named(selection: _Selection, segment: Segment, mined: Mined) -> None:
    """Lines with what the question names; of the call's own words only what is rare in the text."""
    offsets = starts(mined.lines)
    for source, most in ((segment.question, _NAMED_LINES), (segment.intent, 6), (segment.arguments, 4)):
        for name in names(source):
            hits = holding(segment.text, offsets, name, 4 * most)
            if len(hits) > most:
                if source is not segment.question:
                    continue
                hits = [*hits[: most // 2], *hits[-most // 2 :]]
            around = 1 if len(hits) <= 3 else 0
            for line in hits:
                selection.take(range(line - around, line + around + 1))


def _take_scored(selection: _Selection, scores: Sequence[float], budget: int) -> None:
    best = max(scores, default=0.0)
    if best <= 0:
        return
    ranked = sorted((line for line, score in enumerate(scores) if score >= 0.5 * best), key=lambda line: (-scores[line], line))[:200]
    for rank, line in enumerate(ranked):
        if rank < 6:
            selection.take((line,))
        if not selection.take((line,), selection.spent + budget // 3 if rank < 6 else budget // 2):
            break


def _take_errors(selection: _Selection, mined: Mined, budget: int) -> None:
    """Each distinct error, rarest first; then their traces whole; then the second and the last of each."""
    alike = _errors_by(mined, mined.shape)
    if len(alike) > _MOST_ERRORS:
        alike = _errors_by(mined, mined.template)
    kinds = sorted(alike, key=lambda found: (len(found), found[0]))
    ends = _event_ends(mined)
    for found in kinds:
        selection.take((mined.event[found[0]], found[0]), budget)
    for found in kinds:
        selection.take(_event(mined, ends, found[0]), budget)
    for found in kinds:
        for line in found[1:] if len(found) <= 3 else (found[1], found[-1]):
            selection.take((mined.event[line], line), budget)


def _errors_by(mined: Mined, kind: Sequence[int]) -> list[list[int]]:
    """The first error line of each event that has one, grouped by the kinds of that line and of the event's start."""
    seen: dict[tuple[int, int], list[int]] = {}
    previous = -1
    for line, start in enumerate(mined.event):
        if start != previous and mined.severity_of(line) == ERROR:
            seen.setdefault((kind[start], kind[line]), []).append(line)
            previous = start
    return list(seen.values())


def _event_ends(mined: Mined) -> dict[int, int]:
    return {start: line + 1 for line, start in enumerate(mined.event)}


def _event(mined: Mined, ends: dict[int, int], line: int) -> list[int]:
    """The lines of the event that holds `line`, with the line before it as context."""
    start = mined.event[line]
    lines = list(range(max(0, start - 1), ends[start]))
    if len(lines) > _TRACE:
        lines = [*lines[:40], line, *lines[-12:]]
    return lines


def _take_templates(selection: _Selection, mined: Mined, budget: int) -> None:
    """First and last line of each template, entries before their continuations, then the rarest, then the severest first."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for line, template in enumerate(mined.template):
        if mined.lines[line]:
            first.setdefault(template, line)
            last[template] = line
    counts = Counter(mined.template)

    def rank(template: int) -> tuple[bool, int, int, int]:
        line = first[template]
        return mined.event[line] != line, counts[template], -mined.severity_of(line), line

    order = sorted(first, key=rank)
    for template in order:
        selection.take((first[template],), budget)
    for template in order:
        selection.take((last[template],), budget)


def _close_small_gaps(selection: _Selection) -> None:
    """A gap that costs more to describe than to keep is kept."""
    gap: list[int] = []
    for line in range(len(selection.kept) + 1):
        if line < len(selection.kept) and not selection.kept[line]:
            gap.append(line)
            continue
        if gap and sum(len(selection.lines[number]) + 1 for number in gap) < _GAP:
            selection.take(gap)
        gap = []


def _write(mined: Mined, kept: bytearray, hash: str) -> str:
    out: list[str] = []
    line, count, said, first = 0, len(kept), "", True
    while line < count:
        if kept[line]:
            out.append(mined.lines[line])
            line += 1
            continue
        end = kept.find(1, line)
        end = count if end < 0 else end
        what, said = _describe(mined, line, end, said)
        out.append(marker.left_out(what, hash) if first else marker.gap(what))
        line, first = end, False
    return "\n".join(out)


def _describe(mined: Mined, line: int, end: int, said: str) -> tuple[str, str]:
    """What a gap stands for, and the template it named (not named twice in a row)."""
    size = end - line
    where = f"line {line + 1}" if size == 1 else f"lines {line + 1}-{end}"
    if line and all(mined.lines[number] == mined.lines[line - 1] for number in range(line, end)):
        return f"{where}: the line above {size} more time{'s' if size > 1 else ''},", said
    facts = []
    levels = Counter(mined.level[mined.shape[number]] for number in range(line, end))
    levels.pop("", 0)
    if levels and (size > 2 or any(name not in ("INFO", "DEBUG", "TRACE") for name in levels)):
        facts += [f"{number} {name}" for name, number in levels.most_common()]
    if errors := sum(1 for number in range(line, end) if mined.is_unnamed_error(number)):
        facts.append(f"{errors} with errors")
    facts = [", ".join(facts)] if facts else []
    if size >= 8:
        common = Counter(mined.template[number] for number in range(line, end)).most_common(1)[0]
        shown = _short(mined.name[common[0]])
        if common[1] >= 0.3 * size and shown and shown != said:
            facts.append(f"mostly `{shown}`")
            said = shown
    detail = "; ".join(facts)
    total = f"{size} lines" if size > 2 else ""
    return " ".join((where + (":" if total or detail else ""), ", ".join(filter(None, (total, detail))))).strip(), said


def _short(name: str) -> str:
    """A template as a gap shows it: without what leads up to its first word, cut at a word."""
    words = name[:300].replace("`", "'").split()
    while words and ("<*>" in words[0] or len(words[0]) < 2):
        words.pop(0)
    text = ""
    for word in words:
        if len(text) + len(word) > 64:
            break
        text += (" " if text else "") + word
    return text
