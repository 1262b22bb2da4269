"""`headroom savings` shows what the ledger says, also what it says of losses."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.table import Table

from headroom.cli.main import main
from headroom.cli.savings import cells, told
from headroom.cli.stats import course
from headroom.cli.terminal import print_whole, sparkline
from headroom.stats.holdout import measured
from tests.provider import Provider
from tests.proxy.faces import HTTP, anthropic_turns, asking, serving, settings_for, stats_of
from tests.stats.test_holdout import counted


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


def test_no_figure_loses_a_digit_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    table = Table(title="Saved")
    figures = ("2026-01-31", "12,345,678,901", "-1,234,567", "123,456.0003")
    for name in ("from (UTC)", "tokens sent", "tokens saved", "prompts, USD"):
        table.add_column(name)
    table.add_row(*figures)
    print_whole(table)
    shown = capsys.readouterr().out
    assert [figure for figure in (*figures, "from (UTC)", "prompts, USD") if figure not in shown] == []


def test_estimate_and_measurement_are_told_apart_with_their_denominators() -> None:
    cost = {"total_saved_usd": 3.5, "savings_pct": 35.0, "without_headroom_usd": 10.0, "billed_requests": 90, "estimated_requests": 10}
    totals = [counted(1, 0.3, 3000, 0.2), counted(1, 0.3, 4, 0.5), Counter()]
    enough, little, none = (
        list(told({"summary": {"cost": cost}, "holdout": {"share": share, **measured(total)}}))
        for total, share in zip(totals, (0.2, 0.5, 0.0), strict=True)
    )
    assert enough[0] == little[0] == none[0]
    assert "+35.0 % of $10.0000 that 100 priced requests would have cost without" in none[0]
    assert len(none) == 1
    assert "nothing yet: too few conversations" in little[1]
    found = measured(totals[0])
    share = found["measured"]["savings_pct"]
    assert f"{share['value']:+.1f} % (95 %: {share['ci95_low']:+.1f} to {share['ci95_high']:+.1f})" in enough[1]
    assert f"{found['holdout']['requests']:,} held out" in enough[1]
    assert f"{found['estimated']['savings_pct']:+.1f} %" in enough[2]


def test_of_a_team_in_a_stretch_of_time(provider: Provider, tmp_path: Path) -> None:
    with serving(settings_for(provider, tmp_path)) as url:
        for team in ("search", "search", "billing"):
            HTTP.post(f"{url}/v1/messages", json=asking(anthropic_turns(1)), headers={"x-headroom-team": team}).raise_for_status()
        stats_of(url, 3)
        for options, expected in ((["--team", "search"], "2"), (["--from", "2030-01-01"], "0"), (["--user", "nobody"], "0")):
            shown = CliRunner().invoke(main, ["stats", "--url", url, "--json", *options], catch_exceptions=False)
            assert json.loads(shown.stdout)["requests"]["total"] == int(expected)
        odd = CliRunner().invoke(main, ["savings", "--url", url, "--to", "noon"])
    assert odd.exit_code == 1
    assert "2026-01-31T12:00:00Z" in odd.stderr


def test_the_course_of_the_last_days() -> None:
    days = [
        {
            "timestamp": f"2026-01-0{n}T00:00:00Z",
            "total_input_tokens_delta": n * 1000,
            "tokens_saved": n,
            "compression_savings_usd_delta": -n,
        }
        for n in range(1, 4)
    ]
    head, sent, saved, dollars = course({"daily": days})
    assert head == "by day, 2026-01-01 to 2026-01-03"
    assert sent.split()[2:] == ["▃▆█", "last", "3,000,", "most", "3,000"]
    assert "▃▆█" in saved
    assert dollars.split()[2:] == ["▆▃▁", "last", "-3.0000,", "most", "-1.0000"]
    assert not list(course({}))
