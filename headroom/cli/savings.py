"""`headroom savings`: what was saved over time, as a table with a line that shows its course."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from headroom.cli.banner import address
from headroom.cli.options import load
from headroom.cli.remote import ask
from headroom.cli.terminal import console

_BARS = "▁▂▃▄▅▆▇█"


@click.command("savings")
@click.option("--url", help="Base URL of the Headroom to ask  [the proxy on this machine]")
@click.option(
    "--by", type=click.Choice(["hourly", "daily", "weekly", "monthly"]), default="daily", show_default=True, help="Length of a row."
)
@click.option("--last", type=click.IntRange(1, 1000), default=14, show_default=True, help="How many rows.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]")
def command(url: str | None, by: str, last: int, config: Path | None) -> None:
    """Show what was saved over time, in UTC. The admin key comes from HEADROOM_ADMIN_KEY.

    Dollars are an estimate, signed, over requests whose price is known; docs/ledger.md says how it is made.
    """
    settings = load(config)
    asked = url or address(settings)
    history = ask(asked, "/stats-history", key=settings.access.admin_key)
    found = history.get(by)
    rows = found[-last:] if isinstance(found, list) else []
    table = Table(box=SIMPLE_HEAD, title=f"Saved at {asked}, {by}", title_style="bold", title_justify="left")
    table.add_column("from (UTC)")
    for name in ("tokens sent", "tokens saved", "prompts, USD", "saved, USD"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*cells(row, by))
    console().print(table)
    if rows:
        console().print(f"tokens saved  {sparkline([row['tokens_saved'] for row in rows])}  {rows[-1]['total_tokens_saved']:,} so far")


def cells(row: Mapping[str, Any], by: str) -> tuple[str, ...]:
    return (
        str(row["timestamp"])[: 16 if by == "hourly" else 10].replace("T", " "),
        f"{row['total_input_tokens_delta']:,}",
        f"{row['tokens_saved']:,}",
        f"{row['total_input_cost_usd_delta']:,.4f}",
        f"{row['compression_savings_usd_delta']:+,.4f}",
    )


def sparkline(values: Sequence[float]) -> str:
    """A bar for each value, from nothing (or the lowest, where it is below) to the highest."""
    low, high = min(0, *values), max(0, *values)
    return "".join(_BARS[round((len(_BARS) - 1) * (value - low) / (high - low))] if high > low else _BARS[0] for value in values)
