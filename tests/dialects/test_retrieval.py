"""An answer with calls of ours, cut anywhere: the client gets the same, and everything that is not ours as it came."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headroom.ccr.marker import TOOL_NAME
from headroom.ccr.tool import Reply
from headroom.dialects import DIALECTS, RETRIEVALS, wire
from headroom.dialects.retrieval import GONE, Answer, edited, summed
from headroom.sse import FrameReader, data_of
from tests.scripted import SPEAKERS, Anthropic, Chat, Part, Say, Speaker, Think, Use

OURS, THEIRS = Use("call-of-ours", TOOL_NAME, '{"hash": "x"}'), Use("c", "look", '{"a": "{[\\u00e9"}')
_SAID = st.sampled_from(
    [Say("some words"), Say("\u00e9\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")), Think("hm"), THEIRS]
)
_PARTS = st.lists(_SAID, max_size=3, unique_by=str)


def answer_of(speaker: Speaker) -> Answer:
    return RETRIEVALS[DIALECTS[speaker.path]].answer()


def fed(answer: Answer, stream: bytes, cuts: list[int]) -> bytes:
    """What the client gets of a round, before its end."""
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    reader = FrameReader()
    shown = [out for start, end in itertools.pairwise(places) for frame in reader.feed(stream[start:end]) for out in answer.frame(frame)]
    return b"".join((*shown, *answer.rest(reader.rest())))


def followed(speaker: Speaker, rounds: list[bytes], cuts: list[int]) -> bytes:
    """All that the client gets; every round but the last ends with a call of ours."""
    answer, shown = answer_of(speaker), b""
    for number, stream in enumerate(rounds):
        shown += fed(answer, stream, cuts)
        if number + 1 < len(rounds):
            assert answer.goes_on()
            answer.continued('{"messages": [], "input": []}', [Reply(ask.id, "text") for ask in answer.asks()])
    if answer.touched:
        answer.ended([Reply(ask.id, "text") for ask in answer.asks()])
        shown += b"".join(answer.tail())
    return shown


def stream_of(speaker: Speaker, parts: list[Part], id: str) -> bytes:
    return b"".join(speaker.script(*parts, id=id).events or ())


@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)
@given(parts=_PARTS, cuts=st.lists(st.integers(0, 3000), max_size=5), lost=st.integers(0, 400))
def test_an_answer_without_our_calls_is_untouched(speaker: Speaker, parts: list[Part], cuts: list[int], lost: int) -> None:
    """Also one that ends in the middle of an event."""
    stream = stream_of(speaker, parts, "id")
    stream = stream[: len(stream) - lost]
    assert followed(speaker, [stream], cuts) == stream


@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)
@given(before=_PARTS, after=_PARTS, cuts=st.lists(st.integers(0, 3000), max_size=5))
def test_any_split_gives_the_client_the_same(speaker: Speaker, before: list[Part], after: list[Part], cuts: list[int]) -> None:
    first = [part for part in before if part != THEIRS]
    rounds = [stream_of(speaker, [*first, OURS], "one"), stream_of(speaker, after, "two")]
    shown = followed(speaker, rounds, cuts)
    assert shown == followed(speaker, rounds, [])
    assert OURS.id.encode() not in shown
    once = stream_of(speaker, [*first, *after], "one")
    assert parts_of(shown) == parts_of(once)


@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("lacks", [1, 2])
def test_a_last_event_without_its_blank_line_is_one(speaker: Speaker, end: bytes, lacks: int) -> None:
    rounds = [stream_of(speaker, parts, "id").replace(b"\n", end) for parts in ([Say("Look "), OURS], [OURS], [Say("is")])]
    cut = [stream[: -lacks * len(end)] for stream in rounds]
    shown = followed(speaker, cut, [])
    assert shown.replace(b"\r\n", b"\n") == followed(speaker, rounds, []).replace(b"\r\n", b"\n")


@pytest.mark.parametrize("speaker", [Anthropic(), Chat()], ids=lambda speaker: speaker.name)
@pytest.mark.parametrize("more", [b": keep-alive\n", b"\n", b'data: {"type": "content_block_delta", "index"', b"\xff"])
def test_what_is_no_event_stands_at_the_end_or_nowhere(speaker: Speaker, more: bytes) -> None:
    """A next event behind it would not be read."""
    rounds = [stream_of(speaker, parts, "id") for parts in ([Say("Look "), OURS], [Say("is")])]
    assert followed(speaker, [stream + more for stream in rounds], []) == followed(speaker, rounds, []) + more


@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)
@given(lost=st.integers(0, 1500))
def test_a_call_of_ours_that_is_cut_is_not_shown_as_an_event(speaker: Speaker, lost: int) -> None:
    """Wherever the provider ends: the client reads events of its own only."""
    stream = stream_of(speaker, [Say("Look "), OURS], "id")
    answer = answer_of(speaker)
    shown = fed(answer, stream[: max(0, len(stream) - lost)], [])
    if answer.touched:
        finished(answer)
    assert OURS.id.encode() not in b"".join(FrameReader().feed(shown))


def parts_of(stream: bytes) -> dict[Any, str]:
    """What a client puts together: the pieces of each block or call, by its place."""
    pieces: dict[Any, str] = {}

    def add(place: Any, piece: Any) -> None:
        if isinstance(piece, str):
            pieces[place] = pieces.get(place, "") + piece

    for frame in FrameReader().feed(stream):
        data = data_of(frame)
        event = json.loads(data) if data.startswith(b"{") else {}
        if str(event.get("type")).endswith(".delta"):
            add((event["output_index"], event["type"]), event["delta"])
        add("id", event.get("message", {}).get("id"))
        block = event.get("content_block") or event.get("delta")
        for key in ("text", "thinking", "signature", "id", "name", "partial_json"):
            add((event.get("index"), key), block.get(key) if isinstance(block, dict) else None)
        for choice in event.get("choices") or ():
            add("role", choice["delta"].get("role"))
            add("content", choice["delta"].get("content"))
            for call in choice["delta"].get("tool_calls") or ():
                add((call["index"], "id"), call.get("id"))
                add((call["index"], "arguments"), call["function"].get("arguments"))
    return {place: text for place, text in pieces.items() if text}


def test_only_what_must_change_changes() -> None:
    frame = b'event: e\ndata: {"odd" : 1e5,\t"index":0 , "x":{"index":0},"u":"\\u00e9"}\n\n'
    assert edited(frame, [(("index",), 2), (("gone", 0), 1)]) == frame.replace(b'"index":0 ,', b'"index":2 ,')
    assert edited(frame, [(("index",), GONE), (("x", "index"), GONE)]) == b'event: e\ndata: {"odd" : 1e5,\t"x":{},"u":"\\u00e9"}\n\n'
    assert edited(frame, [(("u",), GONE)]) == frame.replace(b',"u":"\\u00e9"', b"")


def test_what_is_not_changed_stays_in_its_lines() -> None:
    frame = b'data: {"index": 0,\ndata:  "flag": true}\n\n'
    assert edited(frame, [(("gone",), 1), (("flag",), 1), (("gone",), GONE)]) == frame
    assert edited(frame, [(("index",), 2)]) == b'data: {"index": 2,  "flag": true}\n:\n\n'


@pytest.mark.parametrize("odd", ["NaN", "-Infinity", f"[{'0,' * wire.MOST_VALUES}0]"], ids=["NaN", "-Infinity", "many values"])
def test_what_is_not_read_in_place_is_written_anew(odd: str) -> None:
    frame = f'event: e\ndata: {{"a": {{"index": 0, "role": "r"}},\ndata: "flag": null, "odd": {odd}}}\nid: 1\n\n'.encode()
    changes = [(("a", "index"), 2), (("a", "role"), GONE), (("flag",), 1), (("gone", 0), 1), (("gone",), GONE)]
    shown = f'event: e\ndata: {{"a":{{"index":2}},"flag":null,"odd":{odd}}}\n:\nid: 1\n\n'.encode()
    assert edited(frame, changes) == shown
    assert edited(frame, changes[2:]) == frame


@pytest.mark.parametrize("data", [b"[DONE]", b'{"index": 0, "te', b"", b'{"index": 0}}', b"\xff"])
def test_what_is_no_event_stays(data: bytes) -> None:
    frame = b"data: " + data + b"\n\n"
    assert edited(frame, [(("index",), 2)]) == frame


def in_lines(event: bytes) -> bytes:
    """The event over several data lines."""
    return event.replace(b", ", b",\ndata: ")


def with_a_number_that_is_none(event: bytes) -> bytes:
    return event.replace(b"data: {", b'data: {"odd": -Infinity, ')


@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)
@pytest.mark.parametrize("form", [in_lines, with_a_number_that_is_none])
def test_an_answer_in_odd_json_goes_on(speaker: Speaker, form: Callable[[bytes], bytes]) -> None:
    """The client puts together what it would of plain JSON; every event is one."""
    rounds = [(Say("Look "), OURS), (Say("is "), Think("hm"), THEIRS)]
    plain = [stream_of(speaker, list(parts), f"id_{number}") for number, parts in enumerate(rounds)]
    odd = [b"".join(form(event) + b"\n\n" for event in stream.split(b"\n\n")[:-1]) for stream in plain]
    shown, expected = followed(speaker, odd, []), followed(speaker, plain, [])
    assert parts_of(shown) == parts_of(expected)
    assert [dict(event, odd=0) for event in events_of(shown)] == [dict(event, odd=0) for event in events_of(expected)]


def events_of(stream: bytes) -> list[dict[str, Any]]:
    """Every event; each frame but the end mark holds one whole."""
    return [json.loads(data) for frame in FrameReader().feed(stream) if (data := data_of(frame)) != b"[DONE]"]


def test_usage_adds_up() -> None:
    one = {"a": 1, "deep": {"b": 2, "none": None}, "tier": "standard"}
    two = {"a": 2, "deep": {"b": 3, "c": 4}, "tier": "batch", "none": None}
    assert summed([one, two]) == {"a": 3, "deep": {"b": 5, "none": None, "c": 4}, "tier": "batch", "none": None}


_ODD = st.sampled_from([None, True, 0, -1, 1e300, "", "tool_use", TOOL_NAME, [], [None], {}, {"type": "tool_use", "name": TOOL_NAME}])


@st.composite
def odd(draw: st.DrawFn, value: Any) -> Any:
    """The value with one part of it replaced or gone."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 3)) == 0:
        return draw(_ODD)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw(st.sampled_from(keys))
    if draw(st.integers(0, 4)) == 0:
        return {k: v for k, v in value.items() if k != key} if isinstance(value, dict) else value[:key] + value[key + 1 :]
    changed = draw(odd(value[key]))
    return value | {key: changed} if isinstance(value, dict) else [*value[:key], changed, *value[key + 1 :]]


def finished(answer: Answer) -> None:
    """All that may be asked of an answer after its last byte."""
    if answer.goes_on():
        answer.continued('{"messages": [], "input": []}', [Reply(ask.id, "text") for ask in answer.asks()])
    answer.ended([Reply(ask.id, "text") for ask in answer.asks()])
    b"".join(answer.tail())
    answer.failure({"error": {"message": "no"}})


@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)
@given(data=st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_provider_sends_is_survived(speaker: Speaker, data: st.DataObject) -> None:
    events = list(speaker.script(Say("words"), OURS, THEIRS).events or ())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(events) - 1))
        text = data_of(events[place])
        if text.startswith(b"{"):
            events[place] = b"data: " + json.dumps(data.draw(odd(json.loads(text)))).encode() + b"\n\n"
    answer = answer_of(speaker)
    fed(answer, b"".join(events), [])
    if answer.touched:
        finished(answer)


@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)
@given(data=st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_provider_answers_is_survived(speaker: Speaker, data: st.DataObject) -> None:
    body = json.loads(speaker.script(Say("words"), OURS, THEIRS, stream=False).body or b"")
    body = data.draw(odd(body))
    if isinstance(body, dict):
        answer = answer_of(speaker)
        answer.whole(body)
        if answer.touched:
            finished(answer)
            answer.body()


SENT_BACK: dict[str, list[dict[str, Any]]] = {
    "anthropic": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [{"type": "text", "text": "words"}, {"type": "tool_use", "id": "c", "name": "look", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]},
    ],
    "openai": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "words", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "r"},
    ],
    "openai_responses": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "words"}]},
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "r"},
    ],
}


@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)
@given(data=st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_client_makes_of_an_answer_it_is_put_back_in_valid_json_or_not(speaker: Speaker, data: st.DataObject) -> None:
    dialect = DIALECTS[speaker.path]
    retrieval, answer = RETRIEVALS[dialect], answer_of(speaker)
    fed(answer, stream_of(speaker, [OURS], "one"), [])
    answer.continued('{"messages": [], "input": []}', [Reply(OURS.id, "read")])
    fed(answer, stream_of(speaker, [Say("words"), THEIRS, OURS], "two"), [])
    record = answer.ended([Reply(OURS.id, "read again")])

    def put(history: list[Any]) -> Any:
        call = dialect.read(json.dumps({"model": "m", "messages": history, "input": history}).encode())
        edits = [edit for said in retrieval.said(call) for edit in retrieval.put_back(call, said, record.text)]
        return json.loads(wire.splice(call.text, edits))

    history = SENT_BACK[speaker.name]
    assert json.dumps(put(history)).count("read again") == 1
    changed = data.draw(odd(history))
    if isinstance(changed, list) and changed and all(isinstance(entry, dict) for entry in changed):
        put(changed)
