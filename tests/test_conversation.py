"""The keys of a conversation: they cover everything a result may depend on, and nothing that comes later."""

from __future__ import annotations

import json
from typing import Any

from headroom.conversation import Conversation, read_conversation
from headroom.dialects import ANTHROPIC, OPENAI_CHAT, Dialect
from headroom.model import Policy
from tests.proxy.faces import anthropic_turns, openai_turns


def talk(messages: list[dict[str, Any]], dialect: Dialect = ANTHROPIC, scope: str = "s", policy: Policy | None = None) -> Conversation:
    call = dialect.read(json.dumps({"model": "m", "messages": messages}).encode())
    return read_conversation(dialect, call, policy or Policy(), scope)


def test_keys_of_a_turn_are_the_first_keys_of_the_next() -> None:
    for dialect, turns in ((ANTHROPIC, anthropic_turns), (OPENAI_CHAT, openai_turns)):
        whole = talk(turns(4), dialect)
        for count in (1, 2, 3):
            part = talk(turns(count), dialect)
            assert part.keys == whole.keys[: len(part.keys)]
            assert part.turn_keys == whole.turn_keys[: len(part.turn_keys)]


def test_keys_cover_what_stands_before_also_when_it_is_kept() -> None:
    messages = anthropic_turns(2)
    plain = talk(messages)
    failed = anthropic_turns(2)
    failed[2]["content"][0]["is_error"] = True
    failed_otherwise = anthropic_turns(2)
    failed_otherwise[2]["content"][0] |= {"is_error": True, "content": "something else failed"}
    asked = anthropic_turns(2)
    asked[0]["content"] = "Another question"
    lasts = [talk(variant).keys[-1] for variant in (messages, failed, failed_otherwise, asked)]
    lasts += [talk(messages, scope="t").keys[-1], talk(messages, policy=Policy("lossless")).keys[-1]]
    assert len(set(lasts)) == len(lasts)
    assert "" not in lasts
    assert talk(failed).keys[0] == ""
    assert talk(messages).keys == plain.keys


def test_a_job_names_only_what_is_not_known() -> None:
    whole = talk(anthropic_turns(3))
    job = whole.job({}, "m")
    assert [segment.text for segment in job.segments] == [segment.text for segment in whole.segments]
    assert job.keys == whole.keys
