"""Writes search output with each path once, and reads it back byte for byte.

After a head that states these rules:

    @ path        the file of the lines below (in a list of paths: their directory)
    12:text       a match in line 12 of that file, 12-text a line of context
    :text         a match without a number; in a list of paths: a name in that directory
    ...           any other line; `\\` stands before it where it could be taken for one of the above

A common beginning of all paths is written once, in the head line `@~ beginning`.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

from headroom.ccr import marker
from headroom.compressors.search_lines import Hit, Listing

_ENTRY = re.compile(r"(\d{0,9})([:-])")
_UNCLEAR = re.compile(r"[@\\]|\d{0,9}[:-]")


def encode(listing: Listing, hash: str, verbatim: Container[int] = ()) -> str | None:
    """The grouped text under its marker, or None when it would not be smaller or could not be read back.

    The lines in `verbatim` stay as they came.
    """
    if listing.headed:
        return None
    hits = listing.hits
    base = common_base(hits)
    out = [marker.re_encoded(head(hits, base, paths_only=listing.paths_only), hash)]
    if base:
        out.append(f"@~ {base}")
    path = ""
    for line, hit in enumerate(hits):
        if not hit.sign or line in verbatim:
            text = listing.lines[line]
            out.append("\\" + text if _UNCLEAR.match(text) and text != "--" else text)
            continue
        if hit.path != path:
            path = hit.path
            out.append(f"@ {path[len(base) :]}")
        out.append(entry(hit))
    folded = "\n".join(out)
    text = "\n".join(listing.lines)
    return folded if len(folded) < 0.95 * len(text) and decode(folded) == text else None


def decode(folded: str) -> str:
    """The text of the listing that `encode` was given. Raises ValueError for a text that it did not write."""
    first, *lines = folded.split("\n")
    names = " paths," in first
    base = path = ""
    out: list[str] = []
    for line in lines:
        if line.startswith("@~ "):
            base = line[3:]
        elif line.startswith("@ "):
            path = base + line[2:]
        elif line.startswith("\\"):
            out.append(line[1:])
        elif line != "--" and (match := _ENTRY.match(line)):
            if not path:
                raise ValueError("a match before its path")
            number, sign, text = match[1], match[2], line[match.end() :]
            out.append(path + text if names else f"{path}{sign}{number}{sign}{text}" if number else f"{path}{sign}{text}")
        else:
            out.append(line)
    return "\n".join(out)


def head(hits: Sequence[Hit], base: str, *, paths_only: bool) -> str:
    """What the marker says of a complete grouped text."""
    files = len({hit.path for hit in hits if hit.sign})
    matches = sum(1 for hit in hits if hit.sign in (":", "/"))
    under = "; paths begin with the text after @~" if base else ""
    if paths_only:
        return f"{matches} paths, complete, grouped by directory: @ directory, then :name{under}"
    return f"{matches} matches in {files} files, complete, grouped: @ path, then line:text{under}"


def entry(hit: Hit) -> str:
    """A hit as it stands below its path."""
    return f"{hit.number}{':' if hit.sign == '/' else hit.sign}{hit.text}"


def common_base(hits: Sequence[Hit]) -> str:
    """The directory that all paths begin with, when writing it once pays; else an empty string."""
    paths = {hit.path for hit in hits if hit.sign}
    if len(paths) < 3:
        return ""
    first, last = min(paths), max(paths)  # what these share, all between them share
    alike = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), min(len(first), len(last)))
    shared = first[:alike]
    shared = shared[: max(shared.rfind("/"), shared.rfind("\\")) + 1]
    return shared if len(shared) * len(paths) > 80 else ""
