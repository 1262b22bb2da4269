"""Events are the same whatever the split, and a hostile stream costs no more than its bytes."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from headroom.sse import MAX_EVENT_BYTES, EventReader

_LINES = st.sampled_from([b"data: a", b"data:b", b"data:  c", b"data", b": comment", b"event: x", b"id: 1", b"", b"", b'data: {"x": 1}'])
_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
_STREAMS = st.lists(st.tuples(_LINES, _ENDS), max_size=20).map(lambda parts: b"".join(line + end for line, end in parts))


def read(*chunks: bytes) -> list[bytes]:
    reader = EventReader()
    return [event for chunk in chunks for event in reader.feed(chunk)]


@given(_STREAMS | st.binary(max_size=60), st.lists(st.integers(0, 200), max_size=6))
def test_any_split_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(places)]
    assert read(*pieces) == read(stream)
    assert read(*(stream[n : n + 1] for n in range(len(stream)))) == read(stream)


def test_grammar() -> None:
    assert read(b"data: a\ndata:b\n\n: note\nevent: x\ndata: c\r\n\r\ndata: d\r\rdata: unfinished") == [b"a\nb", b"c", b"d"]
    assert read(b"\n\n\nevent: ping\n\ndata:\n\n") == [b""]


def test_an_overlong_event_is_passed_over_and_the_next_one_read() -> None:
    blob = b"x" * (MAX_EVENT_BYTES // 8)
    assert read(b"data: ", *[blob] * 9, b"\ndata: tail\n\ndata: next\n\n") == [b"next"]
    assert read(b"data: a\n", *[b"data: " + blob + b"\n"] * 9, b"\ndata: next\n\n") == [b"next"]


def test_an_overlong_line_is_not_kept() -> None:
    reader = EventReader()
    for _ in range(40):
        assert list(reader.feed(b"y" * 1_000_000)) == []
    assert sum(map(len, reader._line)) <= MAX_EVENT_BYTES
