"""`headroom stats`: what a running Headroom has saved, as a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from headroom.cli.banner import address
from headroom.cli.options import load
from headroom.cli.remote import ask
from headroom.cli.terminal import console
from headroom.cli.whose import parameters, whose


@click.command("stats")
@click.option("--url", help="Base URL of the Headroom to ask  [the proxy on this machine]")
@whose
@click.option("--json", "as_json", is_flag=True, help="Print the answer of GET /stats as it came.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]")
def command(url: str | None, as_json: bool, config: Path | None, **of: str | None) -> None:
    """Show what a running Headroom has saved. The admin key comes from HEADROOM_ADMIN_KEY."""
    settings = load(config)
    asked = url or address(settings)
    stats = ask(asked, "/stats", key=settings.access.admin_key, params=parameters(of))
    if as_json:
        click.echo(json.dumps(stats))
        return
    table = Table(box=SIMPLE_HEAD, title=f"Headroom at {asked}", title_style="bold", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows(stats):
        table.add_row(name, value)
    console().print(table)


def rows(stats: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and figure, most important first; what the answer does not hold is left out."""
    figures = (
        ("requests", ("requests", "total")),
        ("of them failed", ("requests", "failed")),
        ("tokens asked for", ("tokens", "total_before_compression")),
        ("tokens sent", ("tokens", "input")),
        ("tokens saved", ("tokens", "saved")),
        ("tokens saved, percent", ("tokens", "savings_percent")),
        ("tokens answered", ("tokens", "output")),
        ("added per request, p50 ms", ("overhead", "p50_ms")),
        ("added per request, p99 ms", ("overhead", "p99_ms")),
        ("first byte, p50 ms", ("ttfb", "p50_ms")),
        ("originals stored", ("compression", "ccr_entries")),
        ("originals asked for again", ("compression", "ccr_retrievals")),
    )
    for name, (section, field) in figures:
        value = _section(stats, section).get(field)
        if isinstance(value, int | float):
            yield name, f"{value:,}"
    for section, label in (("skip_reasons", "kept: {}"), ("degraded", "went on without: {}")):
        counts = _section(stats, section)
        for reason in sorted(counts, key=lambda reason: (-counts[reason], reason)):
            yield label.format(reason), f"{counts[reason]:,}"


def _section(stats: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = stats.get(name)
    return value if isinstance(value, Mapping) else {}
