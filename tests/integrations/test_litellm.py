"""The callback in LiteLLM itself: `acompletion` and the Router, plain and streamed, for both wire formats."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger

from headroom.integrations.litellm import HeadroomCallback
from tests.integrations.conftest import Kept
from tests.provider import Provider
from tests.proxy.faces import openai_turns

ANSWER = "The stand-in read 11 messages."


@pytest.fixture
def _callback(kept: Kept) -> Iterator[None]:
    before = litellm.callbacks
    litellm.callbacks = [HeadroomCallback(**kept.keywords)]
    yield
    litellm.callbacks = before


async def ask(complete: Callable[..., Awaitable[Any]], **request: Any) -> tuple[str, str]:
    """The plain answer and the streamed one."""
    plain = await complete(messages=openai_turns(3), **request)
    streamed = await complete(messages=openai_turns(3), stream=True, **request)
    return plain.choices[0].message.content, "".join([chunk.choices[0].delta.content or "" async for chunk in streamed])


@pytest.mark.usefixtures("_callback")
@pytest.mark.parametrize(("model", "version"), [("openai/stand-in", "/v1"), ("anthropic/stand-in", "")])
def test_acompletion(model: str, version: str, provider: Provider, kept: Kept, outputs: list[str]) -> None:
    plain, streamed = asyncio.run(ask(litellm.acompletion, model=model, api_base=provider.url + version, api_key="k"))
    assert plain == streamed
    assert plain.startswith("The stand-in read ")
    assert len(provider.requests) == 2
    for request in provider.requests:
        assert kept.gives_back(request.body.decode(), *outputs)


@pytest.mark.usefixtures("_callback")
def test_the_router(provider: Provider, kept: Kept, outputs: list[str]) -> None:
    params = {"model": "openai/stand-in", "api_base": f"{provider.url}/v1", "api_key": "k"}
    router = litellm.Router(model_list=[{"model_name": "gpt", "litellm_params": params}])
    assert asyncio.run(ask(router.acompletion, model="gpt")) == (ANSWER, ANSWER)
    assert all(kept.gives_back(request.body.decode(), *outputs) for request in provider.requests)


def test_it_is_what_a_yaml_may_name() -> None:
    from headroom.integrations.litellm import callback

    assert isinstance(callback, CustomLogger)
    assert asyncio.run(callback.async_pre_call_deployment_hook({"input": "text to embed"}, None)) is None
