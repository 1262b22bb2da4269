"""A body that begins like an earlier one is read as if there had been none, only faster."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.conversation import read_conversation
from headroom.dialects import ANTHROPIC, OPENAI_CHAT, OPENAI_RESPONSES, Dialect, documents, wire
from headroom.dialects.base import Parse
from headroom.dialects.outline import chain, outline
from headroom.model import Call, Policy, Segment
from tests.dialects.test_wire import framed, plain
from tests.test_conversation import anthropic, openai, responses

_BESIDE = ("tools", "functions", "system", "instructions")
_WORDS = st.text(alphabet='ab"\\é\n😀 ', max_size=12)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | _WORDS | _WORDS.map(lambda text: 60 * text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "content", "messages"]), inner, max_size=3),
    max_leaves=8,
)
_ROWS = st.lists(st.dictionaries(st.sampled_from(["role", "content", "x"]), _VALUES, max_size=3) | st.integers(1, 3), max_size=6)
_BODIES = st.lists(
    st.tuples(st.sampled_from(["messages", "input"]), _ROWS) | st.tuples(st.sampled_from(["model", *_BESIDE]), _VALUES), max_size=6
).map(lambda members: f"{{{', '.join(f'{json.dumps(key)}: {json.dumps(value)}' for key, value in members)}}}")


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, str]:
    """A text, and one that is like it up to some place, and perhaps again behind another."""
    text = draw(_BODIES)
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 40)))
    new = draw(
        st.sampled_from(["", ",", "]", "}", "1", '"', '{"role": "a"}', ', {"role": "b"}', "[1, 2]", '"messages": [],', " "]) | _BODIES
    )
    return text, text[:start] + new + text[end:]


def read(text: str, before: documents.Document | None, most: int) -> documents.Document | str:
    try:
        return documents.parse(text, before, most)
    except wire.TooManyValues:
        return "too many"
    except json.JSONDecodeError as failure:
        return str(failure)


def places(value: Any) -> list[Any]:
    """Where everything stands; of what may be taken over as a whole only itself."""
    if not isinstance(value, wire.Obj):
        return [(inner.start, inner.end) for inner in framed(value)]
    found: list[Any] = [(value.start, value.end)]
    for key, inner in value.items():
        found += [framed(inner)[:1] and (inner.start, inner.end)] if key in _BESIDE else places_in(inner)
    return found


def places_in(value: Any) -> list[Any]:
    return [(inner.start, inner.end) for inner in framed(value)]


@given(pairs(), st.integers(1, 60) | st.just(10**6))
def test_what_is_taken_over_is_what_would_have_been_read(texts: tuple[str, str], most: int) -> None:
    first, second = texts
    before = read(first, None, most)
    if isinstance(before, str) or before.duplicate_keys:
        return
    alone, shared = read(second, None, most), read(second, before, most)
    if isinstance(alone, str) or isinstance(shared, str):
        assert alone == shared
        return
    assert plain(shared.root) == plain(alone.root) == json.loads(second)
    assert places(shared.root) == places(alone.root)
    assert (shared.values, shared.counts, shared.duplicate_keys) == (alone.values, alone.counts, alone.duplicate_keys)
    assert (shared.rows is None) == (alone.rows is None)


@given(_BODIES | st.text(max_size=20), st.integers(1, 40))
def test_reads_what_the_reader_of_json_reads(text: str, most: int) -> None:
    found, expected = read(text, None, most), read(f"[{text}]", None, most + 1)  # whose members are read by `wire` alone
    if isinstance(found, str) or isinstance(expected, str):
        assert isinstance(found, str)
        assert isinstance(expected, str) or not text.strip(" \t\r\n")
        return
    assert [plain(found.root)] == plain(expected.root)
    assert found.duplicate_keys == expected.duplicate_keys
    assert found.values == expected.values - 1


def marked(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With a cache mark on the last two messages of the user, as agents set them."""
    found = copy.deepcopy(messages)
    for message in [message for message in found if message["role"] == "user"][-2:]:
        if isinstance(message["content"], str):
            message["content"] = [{"type": "text", "text": message["content"]}]
        message["content"][-1]["cache_control"] = {"type": "ephemeral"}
    return found


def by_a_program(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = copy.deepcopy(messages)
    for message in found[::5]:
        for block in message["content"] if isinstance(message["content"], list) else ():
            if block["type"] == "tool_use":
                block["caller"] = {"type": "code_execution", "tool_id": "x"}
    return found


_RESPONSES = [item for piece in responses() for item in piece]
_TALKS: dict[str, tuple[Dialect, list[list[dict[str, Any]]]]] = {
    "anthropic": (ANTHROPIC, [anthropic()[:end] for end in range(1, 21)]),
    "marked": (ANTHROPIC, [marked(anthropic()[:end]) for end in range(1, 21)]),
    "programs": (ANTHROPIC, [by_a_program(anthropic())[:end] for end in range(1, 21)]),
    "openai": (OPENAI_CHAT, [openai()[:end] for end in range(1, 22)]),
    "responses": (OPENAI_RESPONSES, [_RESPONSES[:end] for end in range(1, len(_RESPONSES) + 1)]),
}


def bodies(dialect: Dialect, turns: list[list[dict[str, Any]]]) -> Iterator[bytes]:
    tools = [{"name": f"tool_{n}", "description": "It does what its name says. " * 9} for n in range(9)]
    for messages in turns:
        yield json.dumps({"model": "m", "input" if dialect is OPENAI_RESPONSES else "messages": messages, "tools": tools}).encode()


def after(before: documents.Document | None) -> Parse:
    return lambda text: documents.parse(text, before)


def bare(call: Call) -> Call:
    return dataclasses.replace(call, document=None)


@pytest.mark.parametrize("compared", [0, 10**9], ids=["compared", "hashed"])
@pytest.mark.parametrize("step", [1, 3, -1])
@pytest.mark.parametrize("kind", _TALKS)
def test_what_was_found_out_about_a_beginning_holds_for_what_goes_on(
    kind: str, step: int, compared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headroom.conversation._WORTH_CHARS", compared)
    dialect, turns = _TALKS[kind]
    before: documents.Document | None = None
    most_shared = 0
    for raw in bodies(dialect, turns[::step]):
        call = dialect.read(raw, after(before))
        alone = dialect.read(raw)
        assert isinstance(call.document, documents.Document)
        assert read_conversation(dialect, call, Policy(), "a") == read_conversation(dialect, bare(alone), Policy(), "a")
        assert outline(call) == outline(bare(alone))
        assert chain(call, "salt") == chain(bare(alone), "salt")
        assert dialect.chars(call) == sum(map(len, dialect.texts(alone)))
        before = call.document
        most_shared = max(most_shared, before.shared)
        assert before.shared == 0 or call.fresh < len(call.text) - 2000  # the tools, and what the conversation has behind it
    assert most_shared >= len(turns) - 8 if step > 0 else most_shared > 0


def test_notes_are_kept_apart_by_what_they_depend_on() -> None:
    raw = next(bodies(ANTHROPIC, [anthropic()]))
    first = ANTHROPIC.read(raw)
    one = read_conversation(ANTHROPIC, first, Policy(), "one")
    again = ANTHROPIC.read(raw, after(first.document))
    assert again.document.shared == len(anthropic())
    assert read_conversation(ANTHROPIC, again, Policy(), "one") == one
    other = read_conversation(ANTHROPIC, again, Policy(), "two")
    assert not set(other.keys) & set(filter(None, one.keys))
    strict = read_conversation(ANTHROPIC, again, Policy(min_tokens=100_000), "one")
    assert set(strict.reasons) == {"too_small"} != set(one.reasons)


def test_a_large_text_is_hashed_once_and_another_at_its_place_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    def asking(output: str) -> bytes:
        result = {"type": "tool_result", "tool_use_id": "t1", "content": output}
        call = {"type": "tool_use", "id": "t1", "name": "read", "input": {}}
        messages = [{"role": "user", "content": "go"}, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
        return json.dumps({"model": "m", "messages": messages}).encode()

    hashed = list[str]()
    memo_key = Segment.memo_key
    monkeypatch.setattr(Segment, "memo_key", lambda self, *args: hashed.append(self.text) or memo_key(self, *args))
    before: documents.Document | None = None
    for output, times in (("a" * 20_000, 1), ("a" * 20_000, 1), ("a" * 19_999 + "b", 2), ("a" * 19_999 + "b", 2)):
        call = ANTHROPIC.read(asking(output), after(before))
        found = read_conversation(ANTHROPIC, call, Policy(), "a")
        assert len(hashed) == times
        assert found.keys == read_conversation(ANTHROPIC, bare(call), Policy(), "a").keys
        hashed.pop()
        before = call.document


def test_a_document_holds_no_chain_of_earlier_ones() -> None:
    documents_read = list[documents.Document]()
    for raw in bodies(OPENAI_CHAT, [openai()[:end] for end in (3, 6, 9)]):
        call = OPENAI_CHAT.read(raw, after(documents_read[-1] if documents_read else None))
        OPENAI_CHAT.chars(call)
        documents_read.append(call.document)
    first, second, third = documents_read
    assert third.earlier is second.notes
    assert second.earlier is first.notes
    assert not any(isinstance(note, documents.Document) for note in [*first.notes.values(), *second.notes.values()])
