"""`headroom savings` shows what the ledger says, also what it says of losses."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from headroom.cli.main import main
from headroom.cli.savings import cells, sparkline
from tests.provider import Provider
from tests.proxy.faces import HTTP, anthropic_turns, asking, serving, settings_for, stats_of


def test_what_was_saved_as_a_table(provider: Provider, tmp_path: Path) -> None:
    with serving(settings_for(provider, tmp_path)) as url:
        empty = CliRunner().invoke(main, ["savings", "--url", url], catch_exceptions=False)
        HTTP.post(f"{url}/v1/messages", json=asking(anthropic_turns(1)) | {"model": "claude-sonnet-4-5"}).raise_for_status()
        stats = stats_of(url, 1)
        shown = CliRunner().invoke(main, ["savings", "--url", url, "--by", "monthly"], catch_exceptions=False)
    assert (empty.exit_code, shown.exit_code) == (0, 0)
    saved = f"{stats['tokens']['saved']:,}"
    assert f"{saved} so far" in shown.stdout
    assert shown.stdout.count(saved) == 2
    assert f"{stats['summary']['cost']['total_saved_usd']:+,.4f}" in shown.stdout
    assert "so far" not in empty.stdout


def test_a_loss_is_shown_as_one() -> None:
    row = {
        "timestamp": "2026-01-31T12:00:00Z",
        "total_input_tokens_delta": 1200,
        "tokens_saved": -30,
        "total_input_cost_usd_delta": 0.5,
        "compression_savings_usd_delta": -0.01,
    }
    assert cells(row, "daily") == ("2026-01-31", "1,200", "-30", "0.5000", "-0.0100")
    assert cells(row, "hourly")[0] == "2026-01-31 12:00"
    assert sparkline([0, 4, 8]) == "▁▅█"
    assert sparkline([-7, 0]) == "▁█"
    assert sparkline([0, 0]) == "▁▁"
