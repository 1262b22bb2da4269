"""`with_headroom` around the vendors' own clients, against a provider that shows what arrived."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import subprocess
import sys
from typing import Any

import anthropic
import openai
import pytest

import headroom
from headroom.settings import Settings
from tests.integrations.conftest import Kept
from tests.provider import Provider, Script
from tests.proxy.faces import anthropic_turns, asking, openai_turns

ANSWER = "The stand-in read 11 messages."


def gpt(provider: Provider, kind: Any = openai.OpenAI, **more: Any) -> Any:
    return kind(base_url=f"{provider.url}/v1", api_key="k", **{"max_retries": 0, **more})


def claude(provider: Provider, kind: Any = anthropic.Anthropic, **more: Any) -> Any:
    return kind(base_url=provider.url, api_key="k", **{"max_retries": 0, **more})


def forwarded(provider: Provider) -> str:
    """The messages that arrived last, as text."""
    return provider.requests[-1].body.decode()


def test_openai(provider: Provider, kept: Kept, outputs: list[str]) -> None:
    plain = gpt(provider)
    client = headroom.with_headroom(plain, **kept.keywords)
    assert isinstance(client, openai.OpenAI)
    answer = client.chat.completions.create(**asking(openai_turns(3)))
    assert answer.choices[0].message.content == ANSWER
    assert kept.gives_back(forwarded(provider), *outputs)
    assert provider.requests[-1].json["messages"] == headroom.compress(openai_turns(3), model="stand-in", **kept.keywords).messages
    chunks = client.chat.completions.create(**asking(openai_turns(3)), stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == ANSWER
    with client.chat.completions.stream(**asking(openai_turns(3))) as stream:
        assert stream.get_final_completion().choices[0].message.content == ANSWER
    assert kept.gives_back(forwarded(provider), *outputs)
    plain.chat.completions.create(**asking(openai_turns(3)))
    assert provider.requests[-1].json["messages"] == openai_turns(3)


def test_anthropic(provider: Provider, kept: Kept, outputs: list[str]) -> None:
    client = headroom.with_headroom(claude(provider), **kept.keywords)
    assert isinstance(client, anthropic.Anthropic)
    assert client.messages.create(**asking(anthropic_turns(3))).content[0].text == ANSWER
    assert kept.gives_back(forwarded(provider), *outputs)
    with client.messages.stream(**asking(anthropic_turns(3))) as stream:
        assert "".join(stream.text_stream) == ANSWER
        assert stream.get_final_message().usage.output_tokens == 7
    assert client.beta.messages.create(**asking(anthropic_turns(3))).content[0].text == ANSWER
    assert kept.gives_back(forwarded(provider), *outputs)
    count = client.messages.count_tokens(model="stand-in", messages=anthropic_turns(3))
    assert count.input_tokens == len(provider.requests[-1].body) // 4


def test_async_clients(provider: Provider, kept: Kept, outputs: list[str]) -> None:
    async def both() -> tuple[str, str]:
        gpts = headroom.with_headroom(gpt(provider, openai.AsyncOpenAI), **kept.keywords)
        claudes = headroom.with_headroom(claude(provider, anthropic.AsyncAnthropic), **kept.keywords)
        async with gpts, claudes:
            chunks = await gpts.chat.completions.create(**asking(openai_turns(3)), stream=True)
            first = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])
            async with claudes.messages.stream(**asking(anthropic_turns(3))) as stream:
                return first, (await stream.get_final_message()).content[0].text

    assert asyncio.run(both()) == (ANSWER, ANSWER)
    for request in provider.requests:
        assert kept.gives_back(request.body.decode(), *outputs)


def test_the_prefix_stays(provider: Provider, kept: Kept) -> None:
    client = headroom.with_headroom(claude(provider), **kept.keywords)
    for turns in (1, 2, 3):
        client.messages.create(**asking(anthropic_turns(turns)))
    sent = [request.json["messages"] for request in provider.requests]
    for shorter, longer in itertools.pairwise(sent):
        assert longer[: len(shorter)] == shorter


def test_copies_retries_and_other_calls(provider: Provider, kept: Kept, outputs: list[str]) -> None:
    client = headroom.with_headroom(gpt(provider, max_retries=1), **kept.keywords).with_options(timeout=30)
    provider.script(Script(status=500))
    raw = client.chat.completions.with_raw_response.create(**asking(openai_turns(3)))
    assert raw.parse().choices[0].message.content == ANSWER
    assert [kept.gives_back(request.body.decode(), *outputs) for request in provider.requests] == [True, True]
    assert [model.id for model in client.models.list()] == ["stand-in"]
    assert client.embeddings.with_raw_response.create(model="m", input=outputs[0]).status_code == 200
    assert provider.requests[-1].json["input"] == outputs[0]


def test_a_store_that_fails_costs_nothing(provider: Provider, tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "store").mkdir()
    broken = Settings.model_validate({"home": tmp_path, "store": {"path": tmp_path / "store"}})
    client = headroom.with_headroom(gpt(provider), settings=broken)
    with caplog.at_level(logging.WARNING):
        assert client.chat.completions.create(**asking(openai_turns(3))).choices[0].message.content == ANSWER
    assert provider.requests[-1].json["messages"] == openai_turns(3)
    assert "could not be stored" in caplog.text


def test_settings_that_are_none_cost_nothing(provider: Provider) -> None:
    program = """
import headroom, openai, sys
client = headroom.with_headroom(openai.OpenAI(base_url=sys.argv[1], api_key="k"))
print(client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}]).choices[0].message.content)
"""
    words = [sys.executable, "-c", program, f"{provider.url}/v1"]
    done = subprocess.run(words, env={**os.environ, "HEADROOM_PORT": "eighty"}, capture_output=True, text=True, check=True)
    assert done.stdout == "The stand-in read 1 messages.\n"
    assert "goes out as it is: HEADROOM_PORT: " in done.stderr


def test_only_what_it_knows() -> None:
    with pytest.raises(TypeError, match="not dict"):
        headroom.with_headroom({})
