"""`headroom.compress()` from any Python program."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import headroom
from headroom.errors import InvalidRequest
from headroom.settings import Settings
from headroom.store import open_store
from tests.proxy.faces import anthropic_turns, openai_turns, rows


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.mark.parametrize("turns", [anthropic_turns, openai_turns])
def test_messages_become_smaller_and_are_not_changed_in_place(settings: Settings, turns: Any) -> None:
    messages = turns(2)
    before = copy.deepcopy(messages)
    done = headroom.compress(messages, model="gpt-4o", settings=settings)
    assert messages == before
    assert [message["role"] for message in done.messages] == [message["role"] for message in messages]
    assert done.tokens_saved == done.tokens_before - done.tokens_after > 0
    assert done.compression_ratio == done.tokens_after / done.tokens_before < 1
    store = open_store(settings)
    assert {store.get_original("local", digest).text for digest in done.ccr_hashes} == {rows(0), rows(1)}
    assert headroom.compress(messages, settings=settings).messages == done.messages
    assert done.messages[: len(turns(1)) - 1] == headroom.compress(turns(1), settings=settings).messages[:-1]


def test_what_does_not_become_smaller_says_why(settings: Settings) -> None:
    done = headroom.compress([{"role": "tool", "content": "short", "tool_call_id": "t"}], settings=settings)
    assert (done.tokens_saved, done.compression_ratio, done.ccr_hashes) == (0, 1.0, ())
    assert done.skip_reasons == {"too_small": 1}
    assert headroom.compress([{"role": "user", "content": ""}], settings=settings).compression_ratio == 1.0


def test_a_store_of_ones_own(settings: Settings, tmp_path: Path) -> None:
    store = open_store(Settings(home=tmp_path / "mine"))
    (digest,) = headroom.compress(openai_turns(1), settings=settings, store=store).ccr_hashes
    assert store.get_original("local", digest).text == rows(0)
    assert not settings.store_path.exists()


class Odd:
    pass


@pytest.mark.parametrize(
    "messages",
    [[], ["hi"], [{"content": Odd()}], [{"content": float("nan")}], [{"content": {1, 2}}], [{"content": b"bytes"}], [{"n": 10**5000}]],
)
def test_what_are_no_messages(settings: Settings, messages: Any) -> None:
    with pytest.raises(InvalidRequest):
        headroom.compress(messages, settings=settings)


def test_importing_headroom_does_nothing() -> None:
    heavy = "{'tiktoken', 'pydantic', 'httpx', 'sqlite3', 'uvicorn', 'ray', 'torch', 'numpy'}"
    program = f"import sys, headroom; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("name", headroom.__all__)
def test_what_the_package_offers_is_there(name: str) -> None:
    assert getattr(headroom, name).__name__ == name
