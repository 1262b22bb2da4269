"""`headroom savings`: what was saved over time, as a table with a line that shows its course."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from headroom.cli.banner import address
from headroom.cli.options import load
from headroom.cli.remote import ask
from headroom.cli.terminal import console, print_whole, sparkline
from headroom.cli.whose import parameters, whose


@click.command("savings")
@click.option("--url", help="Base URL of the Headroom to ask  [the proxy on this machine]")
@click.option(
    "--by", type=click.Choice(["hourly", "daily", "weekly", "monthly"]), default="daily", show_default=True, help="Length of a row."
)
@click.option("--last", type=click.IntRange(1, 1000), default=14, show_default=True, help="How many rows.")
@whose
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]")
def command(url: str | None, by: str, last: int, config: Path | None, **of: str | None) -> None:
    """Show what was saved over time, in UTC. The admin key comes from HEADROOM_ADMIN_KEY.

    Dollars are an estimate, signed, over requests whose price is known. Where a share of the conversations is left alone
    (HEADROOM_HOLDOUT), what was measured stands below it. docs/ledger.md says how both are made.
    """
    settings = load(config)
    asked = url or address(settings)
    history = ask(asked, "/stats-history", key=settings.access.admin_key, params=parameters(of), field=by)
    rows = history[by][-last:]
    table = Table(box=SIMPLE_HEAD, title=f"Saved at {asked}, {by}", title_style="bold", title_justify="left")
    table.add_column("from (UTC)")
    for name in ("tokens sent", "tokens saved", "prompts, USD", "saved, USD"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*cells(row, by))
    print_whole(table)
    if rows:
        console().print(f"tokens saved  {sparkline([row['tokens_saved'] for row in rows])}  {rows[-1]['total_tokens_saved']:,} so far")
    for line in told(ask(asked, "/stats", key=settings.access.admin_key, params=parameters(of))):
        console().print(line)


def cells(row: Mapping[str, Any], by: str) -> tuple[str, ...]:
    return (
        str(row["timestamp"])[: 16 if by == "hourly" else 10].replace("T", " "),
        f"{row['total_input_tokens_delta']:,}",
        f"{row['tokens_saved']:,}",
        f"{row['total_input_cost_usd_delta']:,.4f}",
        f"{row['compression_savings_usd_delta']:+,.4f}",
    )


def told(stats: Mapping[str, Any]) -> Iterator[str]:
    """What was saved by estimate and as measured, each with what it is a share of."""
    cost = stats["summary"]["cost"]
    priced = cost["billed_requests"] + cost["estimated_requests"]
    yield (
        f"estimated  ${cost['total_saved_usd']:+,.4f}, {cost['savings_pct']:+.1f} % of ${cost['without_headroom_usd']:,.4f} "
        f"that {priced:,} priced requests would have cost without"
    )
    compared = stats["holdout"]
    found, held = compared["measured"], compared["holdout"]
    if not held["requests"] and not compared["share"]:
        return
    if found["missing"]:
        yield f"measured   nothing yet: {found['missing']}"
        return
    share, dollars = found["savings_pct"], found["saved_usd"]
    compressed = compared["treated"]["requests"]
    yield (
        f"measured   ${dollars['value']:+,.4f} (95 %: {dollars['ci95_low']:+,.4f} to {dollars['ci95_high']:+,.4f}), "
        f"{share['value']:+.1f} % (95 %: {share['ci95_low']:+.1f} to {share['ci95_high']:+.1f}) of what {compressed:,} "
        f"compressed requests would have cost at the price per character of {held['requests']:,} held out ones"
    )
    same = compared["estimated"]
    yield f"           the estimate for those compressed requests alone: ${same['saved_usd']:+,.4f}, {same['savings_pct'] or 0:+.1f} %"
