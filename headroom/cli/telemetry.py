"""`headroom telemetry`: what is reported of a day, to whom, and how to stop it."""

from __future__ import annotations

import time
from pathlib import Path

import click

from headroom.cli.options import load
from headroom.cli.remote import ask


@click.command("telemetry")
@click.option("--show", is_flag=True, help="Print the report of the last whole day exactly as it would be sent.")
@click.option("--url", help="Base URL of the Headroom to ask  [the ledger of this machine]")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]")
def command(show: bool, url: str | None, config: Path | None) -> None:
    """Tell what telemetry holds: sums of a day over everybody, no name, no text, no identifier.

    It stays on this machine unless an endpoint of your own is set (HEADROOM_TELEMETRY_ENDPOINT). HEADROOM_TELEMETRY=off, or
    --no-telemetry of `headroom proxy`, ends it and deletes what was kept.
    """
    from headroom.proxy.services import open_book
    from headroom.proxy.telemetry import file_of, said
    from headroom.stats import telemetry

    settings = load(config)
    if show:
        day = telemetry.last_day(time.time())
        if url:
            report = ask(url, "/v1/telemetry/report", key=settings.access.admin_key, field="schema_version")
        else:
            report = telemetry.report(open_book(settings).board(telemetry.wish_for(day)), day)
        click.echo(said(report).decode(), nl=False)
        return
    if not settings.telemetry.enabled:
        click.echo("Telemetry is off: nothing is kept or sent.")
        return
    to = settings.telemetry.endpoint or "nobody (HEADROOM_TELEMETRY_ENDPOINT names an endpoint of your own)"
    click.echo(f"Telemetry is on.\nKept in   {file_of(settings)}\nSent to   {to}")
    click.echo("See it    headroom telemetry --show\nEnd it    HEADROOM_TELEMETRY=off")
