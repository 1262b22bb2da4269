"""References to text that stands earlier in a request, under a cut: where that text has left, the reference gives way to its original.

Compression writes them (`repeats.py`, `compressors/json_delta.py`) before anybody knows what will leave. Sans-I/O.
"""

from __future__ import annotations

from collections.abc import Iterator

from headroom.ccr import marker
from headroom.compressors import json_delta
from headroom.context.cut import Cut, Smaller
from headroom.context.view import View
from headroom.model import content_hash


def restored(seen: View, cut: Cut) -> Iterator[Smaller]:
    """The tools' texts that point at something which is not forwarded under this cut, as they came."""
    gone = cut.gone
    if not gone:
        return
    done = {(item.message, item.slot): item.text for item in cut.smaller}
    shown: list[str] = []
    signatures: set[str] = set()
    torn = False  # something has left from between results that stay, so that they cannot be counted
    for number, message in enumerate(seen.messages):
        if number in gone:
            torn = torn or bool(signatures)
            continue
        now = {id(text): text for text in message.texts}
        for slot, text in enumerate(seen.slots(number)):
            original = seen.slot(number, slot)
            refers = marker.refers(text) and (number, slot) not in done
            if refers and ((torn and marker.counts_back(text)) or _dangles(text, original, "\n".join(shown), signatures)):
                yield Smaller(number, slot, content_hash(original), original)
            now[id(text)] = original if refers else done.get((number, slot), text)
            signatures.add(json_delta.signature(original))
        shown += now.values()


def _dangles(text: str, original: str, shown: str, signatures: set[str]) -> bool:
    """Whether a text refers to lines, or to an object, that are not in what is shown before it."""
    if marker.refers_to_object(text):
        return json_delta.signature(original) not in signatures
    lines = original.split("\n")
    return any("\n".join(lines[start - 1 : end]) not in shown for start, end in marker.repeated_lines(text))
