"""The bodies read lately, so that the next turn of a conversation is read from where it differs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from headroom.dialects.documents import Document, parse
from headroom.recent import Recent

_MOST_BYTES = 64_000_000
_LEAST_CHARS = 2_000  # a shorter body is read faster than found
_FIRST_MARK, _NEXT_MARK = 512, 1.25
_MARK_CHARS = 48
_VALUE_BYTES = 400  # of a value in memory, beside its text


class Readings:
    """At most `most_bytes` of documents, and those of running conversations only. May be used from any thread.

    A document is found by samples of its text at ever larger distances; whether it really begins like another is up to `parse`.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._kept = Recent[int, Document](most_bytes, weigh=_size)

    def reader(self, owner: str) -> Callable[[str], Document]:
        """Reads texts; nothing passes from one owner to another."""
        return lambda text: self._read(text, owner)

    def _read(self, text: str, owner: str) -> Document:
        if len(text) < _LEAST_CHARS:
            return parse(text)
        marks = list(_marks(text, owner))
        known = (self._kept.get(mark) for _, mark in reversed(marks))
        document = parse(text, next((earlier for earlier in known if earlier), None))
        if document.rows and not document.duplicate_keys:
            lasting = document.lasting()
            places = [mark for at, mark in marks if at <= lasting]
            self._kept.put(dict.fromkeys(places[-1:], document))
        return document


def _marks(text: str, owner: str) -> Iterator[tuple[int, int]]:
    """Positions, and what stands at them and at those before."""
    mark, end = hash(owner), _FIRST_MARK
    while end <= len(text):
        mark = hash((mark, text[end - _MARK_CHARS : end]))
        yield end, mark
        end = int(end * _NEXT_MARK)


def _size(document: Document) -> int:
    """Bytes that it takes in memory, roughly: its text, what was read from it, and notes."""
    return int(2.5 * sys.getsizeof(document.text)) + _VALUE_BYTES * document.values
