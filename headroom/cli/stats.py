"""`headroom stats`: what a running Headroom has saved, as a table; `headroom stats export`: the ledger itself, as a file."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from headroom.cli.banner import address
from headroom.cli.options import load
from headroom.cli.remote import ask
from headroom.cli.terminal import console, print_whole, sparkline
from headroom.cli.whose import parameters, whose

if TYPE_CHECKING:
    from headroom.stats.export import Form, What

WHATS, FORMS = ("outcomes", "hourly", "daily", "weekly", "monthly"), ("parquet", "csv", "jsonl")
_DAYS = 30


@click.group("stats", invoke_without_command=True)
@click.option("--url", help="Base URL of the Headroom to ask  [the proxy on this machine]")
@whose
@click.option("--json", "as_json", is_flag=True, help="Print the answer of GET /stats as it came.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]")
@click.pass_context
def command(context: click.Context, /, url: str | None, as_json: bool, config: Path | None, **of: str | None) -> None:
    """Show what a running Headroom has saved. The admin key comes from HEADROOM_ADMIN_KEY."""
    if context.invoked_subcommand:
        return
    settings = load(config)
    asked = url or address(settings)
    stats = ask(asked, "/stats", key=settings.access.admin_key, params=parameters(of), field="summary")
    if as_json:
        click.echo(json.dumps(stats))
        return
    table = Table(box=SIMPLE_HEAD, title=f"Headroom at {asked}", title_style="bold", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows(stats):
        table.add_row(name, value)
    print_whole(table)
    for line in course(ask(asked, "/stats-history", key=settings.access.admin_key, params=parameters(of))):
        console().print(line)


@command.command("export", short_help="Write the ledger itself to one file.")
@click.option("--what", type=click.Choice(WHATS), default="outcomes", show_default=True, help="One row per request, or sums.")
@click.option("--format", "form", type=click.Choice(FORMS), default="parquet", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Where to; - is standard output.")
@whose
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]")
def export_command(what: What, form: Form, out: Path, config: Path | None, **of: str | None) -> None:
    """Write the ledger of this machine (or of HEADROOM_STATS_URL) to one file: no prompt, no answer, no credential is in it.

    Rows that are only in the journal yet are in `outcomes`, and not in sums.
    """
    from headroom.proxy.services import places_of
    from headroom.stats.export import export
    from headroom.stats.report import query_of

    settings, query = load(config), query_of(parameters(of))
    try:
        if str(out) == "-":
            count = export(places_of(settings), query, what, form, sys.stdout.buffer)
        else:
            with _whole(out) as stream:
                count = export(places_of(settings), query, what, form, stream)
    except OSError as failure:
        raise click.ClickException(f"{failure.filename or out}: {failure.strerror or failure}") from None
    click.echo(f"{count:,} rows", err=True)


@contextmanager
def _whole(out: Path) -> Iterator[IO[bytes]]:
    """What takes the place of the file once all of it is written; a pipe or a device is written to as it comes."""
    if out.exists() and not out.is_file():
        with out.open("wb") as stream:
            yield stream
        return
    target = out.resolve()
    hidden = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        try:
            stream = hidden.open("wb")
        except OSError as failure:
            raise OSError(failure.errno, failure.strerror, str(out)) from None
        with stream:
            if target.exists():
                shutil.copymode(target, hidden)
            yield stream
        hidden.replace(target)
    finally:
        hidden.unlink(missing_ok=True)


def course(history: Mapping[str, Any]) -> Iterator[str]:
    """The last 30 days with requests, each figure as a line of bars."""
    found = history.get("daily")
    days = found[-_DAYS:] if isinstance(found, list) else []
    if not days:
        return
    yield f"by day, {str(days[0]['timestamp'])[:10]} to {str(days[-1]['timestamp'])[:10]}"
    for name, column, form in (
        ("tokens sent", "total_input_tokens_delta", "{:,}"),
        ("tokens saved", "tokens_saved", "{:,}"),
        ("saved, USD", "compression_savings_usd_delta", "{:+,.4f}"),
    ):
        values = [day[column] for day in days]
        yield f"  {name:13} {sparkline(values)}  last {form.format(values[-1])}, most {form.format(max(values))}"


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
