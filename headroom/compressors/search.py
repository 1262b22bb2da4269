"""Search output: one line of grep, ripgrep or find is one unit.

Every file stays named, with the number of its matches. Of the matches stay, verbatim and with
their line numbers, what the question names, definitions of what was searched, the best scores, and
the first and last of each file as far as they fit. What is left out is counted in place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from headroom.ccr import marker
from headroom.compressors import search_groups
from headroom.compressors.base import Draft, Parsed
from headroom.compressors.named import holding, names, starts
from headroom.compressors.search_lines import Hit, Listing, read
from headroom.model import Fidelity, Segment

_FEWEST_LINES = 8
_NAMED = 12  # matches kept per name of the question
_DEFINITIONS = 30
_HEADER = 14  # characters of the line that names a file, beside its path
_SHOWN = 6  # names of a directory shown before they are only counted
_ENOUGH = 0.3  # a complete form this small needs nothing left out
_WORD = re.compile(r"[A-Za-z_$][\w$]{2,80}")
_DEFINES = re.compile(
    r"\b(?:def|class|func|fn|function|type|struct|interface|enum|trait|impl|const|let|var|val|module|namespace|record|object|macro_rules!"
    r"|public|private|protected|static|abstract|export|pub|CREATE TABLE|#define)\s"
)
_ASSIGNED = re.compile(r"\s*[A-Za-z_$][\w$.]*\s*(?::[^=]{1,60})?(?::?=)(?!=)")


@dataclass(slots=True)
class _Group:
    """Consecutive lines of the output that belong to one file."""

    path: str
    lines: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Selection:
    kept: bytearray
    costs: list[int]
    spent: int = 0

    def take(self, wanted: Iterable[int], budget: int | None = None) -> None:
        for line in wanted:
            if not self.kept[line] and (budget is None or self.spent + self.costs[line] <= budget):
                self.kept[line] = 1
                self.spent += self.costs[line]


class Search:
    """Compressor of search output; see the module."""

    label = "search"

    def parse(self, segment: Segment) -> Parsed | None:
        """Units are the output's lines; None when the text has no form of search output."""
        if segment.text.count("\n") < _FEWEST_LINES - 1:
            return None
        listing = read(segment.text)
        return None if listing is None else Parsed(listing.lines, listing)

    def render(self, segment: Segment, parsed: Parsed, scores: Sequence[float], fidelity: Fidelity, hash: str) -> Draft | None:
        listing: Listing = parsed.structure
        count = len(listing.lines)
        if fidelity == "lossless":
            whole = search_groups.encode(listing, hash)
            return None if whole is None else Draft(whole, count, count)
        kept = _select(segment, listing, scores)
        text = _write(listing, kept, hash)
        whole = search_groups.encode(listing, hash, {line for line in range(count) if kept[line]} if listing.paths_only else ())
        if whole is not None and (len(whole) < _ENOUGH * len(segment.text) or len(text) > 0.9 * len(whole)):
            return Draft(whole, count, count)
        return Draft(text, count, sum(kept)) if len(text) < 0.9 * len(segment.text) else None


def budget_of(chars: int) -> int:
    """How many characters of matches may stay."""
    return max(800, min(chars // 4, 6000 + chars // 16))


def _select(segment: Segment, listing: Listing, scores: Sequence[float]) -> bytearray:
    selection = _Selection(bytearray(len(listing.lines)), [len(hit.text) + 8 for hit in listing.hits])
    budget = budget_of(len(segment.text))
    for line, hit in enumerate(listing.hits):
        if not hit.sign and hit.text and hit.text != "--" and not listing.headed:
            selection.take((line,), budget // 4)  # messages of the tool itself
    _take_named(selection, segment, listing)
    selection.take(_definitions(segment, listing), budget)
    best = max(scores, default=0.0)
    if best > 0:
        good = (line for line, score in enumerate(scores) if score >= 0.3 * best and listing.hits[line].sign)
        ranked = sorted(good, key=lambda line: (-scores[line], line))
        selection.take(ranked[:5])
        selection.take(ranked[5:400], (budget + selection.spent) // 2)
    if listing.paths_only:
        return selection.kept
    groups = [group for group in _groups(listing) if group.path]
    relevance = {id(group): max((scores[line] for line in group.lines), default=0.0) for group in groups}
    order = sorted(groups, key=lambda group: -relevance[id(group)])
    for group in order:
        if not any(selection.kept[line] for line in group.lines):
            selection.costs[group.lines[0]] += _HEADER + len(group.path)
        selection.take(group.lines[:1], budget)
    selection.take((group.lines[-1] for group in order if selection.kept[group.lines[0]]), budget)
    for group in groups:
        _close_small_gaps(selection, group)
    return selection.kept


def _close_small_gaps(selection: _Selection, group: _Group) -> None:
    """A gap that costs more to count than to keep is kept; in a file with nothing kept there is no gap."""
    if not any(selection.kept[line] for line in group.lines):
        return
    gap: list[int] = []
    for line in (*group.lines, -1):
        if line >= 0 and not selection.kept[line]:
            gap.append(line)
            continue
        if sum(selection.costs[at] for at in gap) < 40:
            selection.take(gap)
        gap = []


def _take_named(selection: _Selection, segment: Segment, listing: Listing) -> None:
    """Matches with what the question names; a path and a line number together name one match."""
    text = "\n".join(listing.lines)
    offsets = starts(listing.lines)
    asked = names(segment.question)
    numbers = set(re.findall(r"(?<![\w.])\d{1,9}(?![\w.]\w)", segment.question[-4000:]))
    files = {hit.path for hit in listing.hits if hit.sign}
    wanted = {path for path in files if any(name in path for name in asked if len(name) > 3)}
    selection.take(line for line, hit in enumerate(listing.hits) if hit.number in numbers and hit.path in wanted)
    for name in asked:
        hits = holding(text, offsets, name, 4 * _NAMED)
        if len(hits) <= _NAMED:
            selection.take(hits)


def _definitions(segment: Segment, listing: Listing) -> list[int]:
    """Lines that define a word of the question or of the search, then other defining lines if they are few."""
    asked = set(_WORD.findall(f"{segment.question[-2000:]} {segment.arguments[:2000]} {segment.intent[-1000:]}"))
    named: list[int] = []
    others: list[int] = []
    for line, hit in enumerate(listing.hits):
        if hit.sign != ":":
            continue
        text = hit.text[:300]
        keyword = _DEFINES.search(text)
        if keyword:
            (named if asked.intersection(_defined(text[keyword.start() :])) else others).append(line)
        elif (assigned := _ASSIGNED.match(text)) and asked.intersection(_WORD.findall(assigned[0])):
            others.append(line)
    few = others if len(others) <= len(listing.hits) // 5 else []
    return [*named[:_DEFINITIONS], *few[:_DEFINITIONS]]


def _defined(text: str) -> list[str]:
    """The names that a defining line may define: those before what follows a name (`=`, `{`, `:`), parameters aside."""
    before = re.split(r"[={;]", text, maxsplit=1)[0]
    before = re.sub(r"^func \([^)]*\)", "", before)
    return _WORD.findall(re.split(r"(?<=[\w>\]])[(:]", before, maxsplit=1)[0])


def _groups(listing: Listing) -> list[_Group]:
    groups: list[_Group] = []
    for line, hit in enumerate(listing.hits):
        if not hit.sign:
            if hit.text != "--" and not listing.headed and hit.text:
                groups.append(_Group("", [line]))
            continue
        if not groups or groups[-1].path != hit.path:
            groups.append(_Group(hit.path))
        groups[-1].lines.append(line)
    return groups


def _write(listing: Listing, kept: bytearray, hash: str) -> str:
    hits = listing.hits
    base = search_groups.common_base(hits)
    out: list[str] = []
    if base:
        out.append(f"@~ {base} (begins every path after @)")
    bare: list[_Group] = []
    for group in [*_groups(listing), _Group("")]:
        if group.path and not listing.paths_only and not any(kept[line] for line in group.lines):
            bare.append(group)
            continue
        out.extend(_write_bare(bare, hits, base))
        bare = []
        if listing.paths_only and group.path:
            out.extend(_write_directory(group, hits, kept, base))
        elif group.path:
            out.extend(_write_group(group, hits, kept, base))
        else:
            out.extend(hits[line].text for line in group.lines if kept[line])
    return "\n".join((marker.left_out(_left_out(listing, kept), hash), *out))


def _left_out(listing: Listing, kept: bytearray) -> str:
    matches = [line for line, hit in enumerate(listing.hits) if hit.sign in (":", "/")]
    left = sum(1 for line in matches if not kept[line])
    places = len({listing.hits[line].path for line in matches})
    what, place = ("paths", "directory") if listing.paths_only else ("matches", "file")
    return f"{left} of {len(matches)} {what} (in {places} places, each {place} named below with its count)"


def _write_bare(groups: Sequence[_Group], hits: Sequence[Hit], base: str) -> Iterator[str]:
    """Files of which no line stays: one line per directory, each file with its count of matches."""
    by_directory: dict[str, list[str]] = {}
    for group in groups:
        name = group.path[len(base) :]
        cut = max(name.rfind("/"), name.rfind("\\")) + 1
        count = sum(1 for line in group.lines if hits[line].sign == ":")
        by_directory.setdefault(name[:cut], []).append(f"{name[cut:]} {count}")
    for directory, files in by_directory.items():
        if len(files) == 1:
            name, _, matches = files[0].rpartition(" ")
            yield f"@ {directory}{name}: {matches} left out"
        else:
            yield f"@ {directory} left out: {', '.join(files)}"


def _write_directory(group: _Group, hits: Sequence[Hit], kept: bytearray, base: str) -> Iterator[str]:
    """A directory of a list of paths: what stays as whole paths, then the names, all of a few, else their count and the ends."""
    name = group.path[len(base) :] or "."
    names = [hits[line].text.rstrip("\r") for line in group.lines if not kept[line]]
    for line in group.lines:
        if kept[line]:
            yield hits[line].path + hits[line].text
    if len(names) > _SHOWN:
        yield f"@ {name}: {len(group.lines)} paths, {len(names)} not shown: {names[0]} ... {names[-1]}"
    elif names:
        for line in group.lines:
            kept[line] = 1
        yield f"@ {name}: {', '.join(names)}"


def _write_group(group: _Group, hits: Sequence[Hit], kept: bytearray, base: str) -> Iterator[str]:
    """A file with what stays of its lines, and each gap's count in place."""
    matches = sum(1 for line in group.lines if hits[line].sign == ":")
    complete = all(kept[line] for line in group.lines)
    yield f"@ {group.path[len(base) :]}" + ("" if complete else f": {matches} matches")
    gap: list[int] = []
    for line in (*group.lines, -1):
        if line >= 0 and not kept[line]:
            gap.append(line)
            continue
        if gap:
            yield f"... {sum(1 for at in gap if hits[at].sign == ':')} more{_where(gap, hits)}"
            gap = []
        if line >= 0:
            yield search_groups.entry(hits[line])


def _where(lines: Sequence[int], hits: Sequence[Hit]) -> str:
    """The line numbers of some matches: all of a few, else the range."""
    numbers = [hits[line].number for line in lines if hits[line].sign == ":" and hits[line].number]
    if not numbers:
        return ""
    if len(numbers) <= 3:
        return f" (line{'s' if len(numbers) > 1 else ''} {', '.join(numbers)})"
    return f" (lines {numbers[0]}-{numbers[-1]})"
