"""Prices are those of the data they come from, to the nanodollar, and unknown is not free."""

from __future__ import annotations

from pathlib import Path

import pytest
from genai_prices import Usage as Billed
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from headroom.errors import SettingsError
from headroom.outcome import Usage
from headroom.stats.prices import NANO, Prices, bundled, cost, dollars, nano

KNOWN = [
    (provider.id, model.id)
    for provider in get_snapshot().providers
    if provider.id in ("anthropic", "openai")
    for model in provider.models
    if bundled().rates(provider.id, model.id)
]
COUNTS = st.integers(0, 400_000)


@given(st.sampled_from(KNOWN), COUNTS, COUNTS, COUNTS, COUNTS, st.floats(0, 1))
def test_a_cost_is_what_the_data_says(model: tuple[str, str], plain: int, read: int, written: int, output: int, share: float) -> None:
    provider, name = model
    hour = int(share * written) if provider == "anthropic" else 0
    whole = plain + read + written
    said = Billed(
        input_tokens=whole,
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=hour,
    )
    expected = calc_price(said, model_ref=name, provider_id=provider).total_price * NANO
    usage = Usage(plain if provider == "anthropic" else whole, output, read, written, hour)
    found = cost(provider, name, usage)
    assert found is not None
    assert abs(found - expected) <= 1


def test_each_lifetime_of_a_cache_write_has_its_price() -> None:
    def written(hour: int) -> int | None:
        return cost("anthropic", "claude-sonnet-4-5", Usage(0, 0, 0, 1_000_000, hour))

    assert (written(0), written(1_000_000)) == (nano(3.75 * 2), nano(12))  # above 200,000 tokens, twice the usual


def test_unknown_is_not_free() -> None:
    assert cost("anthropic", "no-such-model", Usage(10, 10)) is None
    assert cost("openai", "", Usage(10, 10)) is None
    assert cost("no-such-provider", "gpt-4o", Usage(10, 10)) is None


def test_prices_are_of_the_day() -> None:
    provider = next(p for p in get_snapshot().providers if p.id == "openai")
    model = next(m for m in provider.models if m.id == "o3")
    assert isinstance(model.prices, list)  # it became cheaper on 2025-06-10
    before, after = (bundled().cost("openai", "o3", Usage(1_000_000, 0), at) for at in (1_748_000_000, 1_760_000_000))
    assert (before, after) == (nano(10), nano(2))


@pytest.mark.parametrize("name", ["prices.toml", "prices.yaml"])
def test_a_file_of_ones_own_comes_first(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    text = (
        '["Stand-In"]\ninput = 3\noutput = 15\ncache_read = 0.3\n'
        if name.endswith("toml")
        else ("Stand-In: {input: 3, output: 15, cache_read: 0.3}\n")
    )
    file.write_text(text)
    prices = Prices(file)
    assert prices.cost("anthropic", "stand-in", Usage(1_000_000, 0, 1_000_000, 1_000_000)) == nano(3 + 0.3 + 3)
    assert prices.cost("anthropic", "claude-sonnet-4-5", Usage(1000, 0)) == nano(0.003)
    assert prices.version.startswith("genai-prices ")
    assert name in prices.version


@pytest.mark.parametrize("text", ["a: {input: 3}", "a: {input: 3, output: 1, odd: 1}", "a: {input: -1, output: 1}", "- 1", "a: ["])
def test_a_file_that_is_none_stops_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match="prices"):
        Prices(file)
    with pytest.raises(SettingsError, match="cannot be read"):
        Prices(tmp_path / "absent.toml")


def test_dollars_and_back() -> None:
    assert dollars(nano(0.1) + nano(0.2)) == 0.3
