"""Events are the same whatever the split, and a hostile stream costs no more than its bytes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.sse import MAX_EVENT_BYTES, EventReader, FrameReader, completed, data_of, with_data

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


def frames(*chunks: bytes) -> list[bytes]:
    reader = FrameReader()
    return [*(frame for chunk in chunks for frame in reader.feed(chunk)), reader.rest()]


@given(_STREAMS | st.binary(max_size=60), st.lists(st.integers(0, 200), max_size=6))
def test_frames_joined_are_the_stream_and_hold_its_events(stream: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    found = frames(*(stream[start:end] for start, end in itertools.pairwise(places)))
    assert b"".join(found) == stream
    events = read(stream, b"\n" if stream.endswith(b"\r") else b"")  # a CR at the end may have been half of a line end
    assert [data_of(frame) for frame in found[:-1] if data_of(frame)] == [event for event in events if event]


def test_other_data_in_a_frame() -> None:
    assert with_data(b'event: x\r\ndata: {"a": 1}\r\nid: 1\r\n\r\n', b"{}") == b"event: x\r\ndata: {}\r\nid: 1\r\n\r\n"
    assert data_of(with_data(b"data:a\ndata:b\n\n", b"c")) == b"c"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_last_frame_without_its_blank_line(end: bytes) -> None:
    frame = b"event: x" + end + b"data: a"
    assert completed(frame) == completed(frame + end) == frame + 2 * end
    assert completed(b"data: a") == b"data: a\n\n"


def test_an_overlong_frame_comes_in_pieces() -> None:
    blob = b"x" * (MAX_EVENT_BYTES // 2)
    found = frames(b"data: a\n\ndata: ", *[blob] * 5, b"\n\ndata: next\n\n")
    assert b"".join(found) == b"data: a\n\ndata: " + blob * 5 + b"\n\ndata: next\n\n"
    assert max(map(len, found)) < 2 * MAX_EVENT_BYTES
    assert b"data: next\n\n" in found
