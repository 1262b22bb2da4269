"""A real open model server end to end: the model reads fewer tokens, by its own count, and its answers come as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.backends.model_server import make_model, serving_model
from tests.proxy.clients import Gpt
from tests.proxy.faces import rows, serving, settings_for, stats_of

GPT = Gpt()
pytestmark = pytest.mark.timeout(400)  # a server that loads torch, on a busy machine


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The proxy's URL, the model's own name."""
    folder = tmp_path_factory.mktemp("model")
    make_model(folder)
    with serving_model(folder) as url:
        backends = {"named": {"own": {"kind": "openai_compatible", "url": f"{url}/v1", "models": {"tiny": str(folder)}}}, "use": "own"}
        with serving(settings_for("http://127.0.0.1:9", tmp_path_factory.mktemp("home"), backends=backends)) as proxy:
            yield proxy, str(folder)


def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=100)


def test_a_real_model_reads_less(behind: tuple[str, str]) -> None:
    url, name = behind
    body: Any = {"model": "tiny", "messages": GPT.opening(rows(7, 60)), "max_tokens": 8, "temperature": 0}
    chat = client(url).chat.completions
    whole, smaller = chat.create(**body, extra_headers={"x-headroom-bypass": "true"}), chat.create(**body)
    assert whole.usage is not None
    assert smaller.usage is not None
    assert 0 < smaller.usage.prompt_tokens < whole.usage.prompt_tokens / 2
    assert smaller.choices[0].message.content
    stats = stats_of(url, 2)
    assert stats["tokens"]["output"] == whole.usage.completion_tokens + smaller.usage.completion_tokens
    assert stats["requests"]["by_model"].keys() == {name}


def test_its_streams(behind: tuple[str, str]) -> None:
    body: Any = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8, "temperature": 0, "seed": 1}
    chat = client(behind[0]).chat.completions
    streamed = [chunk.choices[0].delta.content or "" for chunk in chat.create(**body, stream=True) if chunk.choices]
    whole = chat.create(**body, extra_headers={"x-headroom-cache": "off"}).choices[0].message.content
    assert len(streamed) > 1
    assert "".join(streamed).strip() == (whole or "").strip()


def test_responses_and_models(behind: tuple[str, str]) -> None:
    url, name = behind
    done = client(url).responses.create(model="tiny", input="hello", max_output_tokens=8, stream=True)
    assert [event.type for event in done][-1] == "response.completed"
    assert name in [model.id for model in client(url).models.list()]
