"""What the proxy prints when it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from headroom.cli.banner import address, banner, closed
from headroom.cli.proxy import store_trouble
from headroom.settings import AccessSettings, CompressionSettings, Settings
from tests.provider import refusing_url


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8787"),
        ("0.0.0.0", "http://127.0.0.1:8787"),
        ("10.1.2.3", "http://10.1.2.3:8787"),
        ("::1", "http://[::1]:8787"),
    ],
)
def test_address_is_one_a_client_can_use(host: str, url: str) -> None:
    assert address(Settings(host=host)) == url


def test_names_every_client() -> None:
    shown = banner(Settings(port=9000)).plain
    assert "ANTHROPIC_BASE_URL=http://127.0.0.1:9000 claude" in shown
    assert "codex -c openai_base_url=http://127.0.0.1:9000/v1" in shown
    assert 'Anthropic(base_url="http://127.0.0.1:9000")' in shown
    assert 'OpenAI(base_url="http://127.0.0.1:9000/v1")' in shown
    assert "headroom stats" in shown


def test_says_when_requests_are_not_touched() -> None:
    assert "forwarding untouched" in banner(Settings(optimize=False)).plain
    assert "forwarding untouched" in banner(Settings(compression=CompressionSettings(fidelity="off"))).plain
    assert "lossless" in banner(Settings(compression=CompressionSettings(fidelity="lossless"))).plain


def test_says_what_is_closed_off_loopback() -> None:
    assert closed(Settings()) == []
    assert any("closed until HEADROOM_ADMIN_KEY" in line for line in closed(Settings(host="0.0.0.0")))
    with_key = Settings(host="0.0.0.0", access=AccessSettings(admin_key="secret"))
    assert any("need the admin key" in line for line in closed(with_key))
    assert "secret" not in banner(with_key).plain
    everybody = Settings(host="0.0.0.0", access=AccessSettings(callers="open"))
    assert any("every original" in line for line in closed(everybody))


def test_names_the_backends() -> None:
    line = "claude (openrouter) at https://openrouter.ai; credential: OPENROUTER_API_KEY"
    assert line in banner(Settings(), [line]).plain
    assert "Backends" not in banner(Settings()).plain


def test_a_store_that_does_not_answer_is_told(tmp_path: Path) -> None:
    assert store_trouble(Settings(home=tmp_path)) == ""
    (tmp_path / "file").write_text("where the directory should be")
    for store in ({"url": f"redis://{refusing_url().removeprefix('http://')}/0"}, {"path": tmp_path / "file" / "store.sqlite"}):
        settings = Settings.model_validate({"home": tmp_path, "store": store})
        trouble = store_trouble(settings)
        assert trouble
        assert f"The store does not answer, so what is new in a request goes out as it came until it does:\n  {trouble}" in (
            banner(settings, [], trouble).plain
        )
    assert "does not answer" not in banner(settings).plain


def test_names_a_variable_that_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no setting" not in banner(Settings()).plain
    monkeypatch.setenv("HEADROOM_RATELIMIT", "false")
    assert "no setting is called HEADROOM_RATELIMIT; did you mean HEADROOM_RATE_LIMIT?" in banner(Settings()).plain
