"""Reads the output of grep, git grep, ripgrep and find: which file, which line, which text.

Forms: `path:12:text`, context `path-12-text`, `path:text`, Windows drives in any of them, the
heading form (a path, then `12:text` lines), and plain paths. Every line of the output becomes one
hit, so the output can be put together again byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_LOOKED_AT = 400  # characters of a line in which its path and number must end
_NUMBERED = re.compile(r"((?:[A-Za-z]:[\\/])?[^:\x00]{1,300}):(\d{1,9}):")
_HEADED = re.compile(r"(\d{1,9})([:-])")
_CONTEXT = re.compile(r"-(\d{1,9})-")
_BARE = re.compile(r"((?:[A-Za-z]:[\\/])?[^:\s\x00]{1,300}):")
_PATH = re.compile(r"[/\\]|\.\w{1,10}$")
_SLASH = re.compile(r"[/\\](?=[^/\\\r])")
_NO_PATH = re.compile(r"[\d\W]*$|\[?\d{2,4}[-/.]\d\d[-/.]\d\d|https?$")


@dataclass(frozen=True, slots=True)
class Hit:
    """One line of the output. `sign` is ":" for a match, "-" for context, "" for anything else.

    `path` is empty for lines outside any file; `number` is empty where the form has none; `text`
    is what follows the prefix, or the whole line.
    """

    path: str
    number: str
    sign: str
    text: str


@dataclass(frozen=True, slots=True)
class Listing:
    """An output taken apart: `lines` as they came and one hit each. `headed` says that paths stand on their own lines."""

    lines: list[str]
    hits: list[Hit]
    headed: bool = False
    paths_only: bool = False


def read(text: str) -> Listing | None:
    """The listing in its one form, or None when most lines have none of the forms."""
    lines = text.split("\n")
    body = lines if lines[-1] else lines[:-1]
    if len(body) < 4:
        return None
    numbered = [match if (match := _NUMBERED.match(line[:_LOOKED_AT])) and not _NO_PATH.match(match[1]) else None for line in lines]
    matches = sum(map(bool, numbered))
    if matches >= 0.25 * len(body):
        hits = _prefixed(lines, numbered)
        if sum(1 for hit in hits if hit.sign or hit.text == "--") >= 0.5 * len(body):
            return Listing(lines, hits)
    return _headed(lines, body) or _bare(lines, body) or _paths(lines, body)


def _prefixed(lines: Sequence[str], numbered: Sequence[re.Match[str] | None]) -> list[Hit]:
    paths = {match[1] for match in numbered if match}
    hits = []
    for line, match in zip(lines, numbered, strict=True):
        if match:
            hits.append(Hit(match[1], match[2], ":", line[match.end() :]))
            continue
        places = [found for found in _CONTEXT.finditer(line[:_LOOKED_AT]) if line[: found.start()] in paths]
        if places:
            context = places[-1]  # the longest path: a shorter one may begin it
            hits.append(Hit(line[: context.start()], context[1], "-", line[context.end() :]))
        else:
            hits.append(Hit("", "", "", line))
    return hits


def _headed(lines: list[str], body: Sequence[str]) -> Listing | None:
    heads = [match[0] if (match := _HEADED.match(line)) else "" for line in lines]
    count = sum(map(bool, heads))
    if count < 0.4 * len(body):
        return None
    hits, path, files = [], "", 0
    for at, line in enumerate(lines):
        if heads[at]:
            number, sign = heads[at][:-1], heads[at][-1]
            hits.append(Hit(path, number, sign, line[len(heads[at]) :]))
        else:
            if at + 1 < len(lines) and heads[at + 1] and _PATH.search(line.rstrip("\r")):
                path, files = line.rstrip("\r"), files + 1
            hits.append(Hit("", "", "", line))
    return Listing(lines, hits, headed=True) if files and all(hit.path for hit in hits if hit.sign) else None


def _bare(lines: list[str], body: Sequence[str]) -> Listing | None:
    found = [_BARE.match(line[:_LOOKED_AT]) for line in lines]
    good = sum(1 for match in found if match and _PATH.search(match[1]))
    if good < 0.8 * len(body):
        return None
    hits = [
        Hit(match[1], "", ":", line[match.end() :]) if match and _PATH.search(match[1]) else Hit("", "", "", line)
        for line, match in zip(lines, found, strict=True)
    ]
    return Listing(lines, hits)


def _paths(lines: list[str], body: Sequence[str]) -> Listing | None:
    """One path per line: its directory stands as the hit's path, its name as the text."""
    good = sum(1 for line in body if ("/" in line or "\\" in line) and len(line) < _LOOKED_AT and line.count(" ") < 4)
    if good < 0.8 * len(body):
        return None
    cuts = _cuts(lines)
    hits = [Hit(line[:cut], "", "/", line[cut:]) if cut else Hit("", "", "", line) for line, cut in zip(lines, cuts, strict=True)]
    return Listing(lines, hits, paths_only=True)


def _cuts(lines: Sequence[str]) -> list[int]:
    """Where each path is cut in two: behind its directory, or further up where nearly every path has a directory of its own."""
    parts = [[at.end() for at in _SLASH.finditer(line[:_LOOKED_AT])] for line in lines]
    cuts: list[int] = []
    for depth in (None, 4, 3, 2):
        cuts = [(ends[:depth] or [0])[-1] for ends in parts]
        if len({line[:cut] for line, cut in zip(lines, cuts, strict=True)}) <= len(lines) // 3:
            break
    return cuts
