"""The older suite's tests of retrieval inside an answer, with every backend in the place of the providers' own APIs."""

from __future__ import annotations

import itertools

import pytest

from tests.backends.clouds import CLOUDS, Bedrock, Cloud
from tests.backends.converse_api import Converse
from tests.proxy.clients import CLIENTS
from tests.proxy.test_retrieval import (  # noqa: F401  # run here
    test_a_model_that_does_not_stop_is_stopped,
    test_a_provider_that_breaks_off_later,
    test_a_provider_that_refuses_to_go_on,
    test_an_answer_cut_in_our_call_ends_there,
    test_text_is_shown_while_the_provider_still_waits,
    test_together_with_a_tool_of_the_client,
    test_twice_and_two_at_once,
    test_what_was_read_is_put_back_where_it_was,
)

REFRAMED = (Bedrock, Converse)  # their streams are not those of the client's API: whole answers are another way


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each backend with each client whose API it has."""
    names = [name for name in ("behind", "client", "stream") if name in metafunc.fixturenames]
    found = [
        pytest.param(*(cloud, client, stream)[: len(names)], id=f"{cloud.__name__}-{client.api.name}-{'streamed' if stream else 'whole'}")
        for cloud, client in itertools.product((*CLOUDS, Converse), CLIENTS)
        if client.api.name in cloud.speaks
        for stream in ((True, False) if cloud in REFRAMED and "stream" in names else (True,))
    ]
    metafunc.parametrize(names, found, indirect=["behind"], scope="module")


@pytest.fixture
def proxy(gateway: str, cloud: Cloud) -> str:
    return gateway
