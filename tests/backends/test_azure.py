"""What only Azure has: tokens of Entra in place of a key, renewed before they expire."""

from __future__ import annotations

import pytest

from headroom.backends import open_backend
from headroom.backends.base import CHAT, Ask
from headroom.errors import SettingsError, UpstreamUnreachable
from headroom.settings import BackendSpec
from tests.backends.clouds import AzureEntra, Cloud
from tests.provider import Provider
from tests.proxy.clients import Gpt

GPT = Gpt()
SOON_S = 200  # Entra's library renews a token from five minutes before its end on
ASK = Ask(CHAT, "POST", b"/v1/chat/completions", b"", [], b"{}", "m")
pytestmark = pytest.mark.parametrize("behind", [AzureEntra], indirect=True, scope="module")


@pytest.fixture
def entra(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> AzureEntra:
    assert isinstance(cloud, AzureEntra)
    for name, value in cloud.env.items():
        monkeypatch.setenv(name, value)
    return cloud


def test_a_token_serves_until_shortly_before_its_end(gateway: str, entra: AzureEntra, provider: Provider) -> None:
    """The stand-in refuses every token but the last it gave."""
    for stream in (False, True, False):
        provider.script(GPT.api.script(stream=stream))
        assert GPT.ask(gateway, GPT.opening("x"), stream, {}).stop == GPT.ends["done"]
    assert entra.tokens == 1  # asked for at the start
    assert [request.header("authorization") for request in entra.arrived] == [["Bearer entra-1"]] * 3


def test_a_token_that_ends_soon_is_renewed_first(entra: AzureEntra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entra, "lifetime_s", SOON_S)
    before = entra.tokens
    backend = open_backend("cloud", BackendSpec.model_validate(entra.spec()))
    sent = [dict(backend.sign(backend.outgoing(ASK)).headers)[b"authorization"] for _ in range(2)]
    assert sent == [f"Bearer entra-{before + number}".encode() for number in (2, 3)]


def test_without_a_token_nothing_starts_and_nothing_is_sent(entra: AzureEntra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entra, "lifetime_s", 0)
    backend = open_backend("cloud", BackendSpec.model_validate(entra.spec()))
    monkeypatch.setattr(entra, "refuses", True)
    with pytest.raises(UpstreamUnreachable, match="backend cloud: Entra gives no token"):
        backend.sign(backend.outgoing(ASK))
    with pytest.raises(SettingsError, match="AZURE_API_KEY is not set, and Entra gives no token"):
        open_backend("cloud", BackendSpec.model_validate(entra.spec()))
