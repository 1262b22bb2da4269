"""`headroom unwrap`: what still points a tool at Headroom, undone or told."""

from __future__ import annotations

from pathlib import Path

import click

from headroom.cli.lease import answers
from headroom.cli.mcp_clients import clients, uninstall
from headroom.cli.options import load
from headroom.cli.routing import targets
from headroom.cli.tools import TOOLS
from headroom.settings import environment
from headroom.settings.egress import loopback


@click.command("unwrap")
@click.argument("tool", type=click.Choice(list(TOOLS)))
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]")
def command(tool: str, config: Path | None) -> None:
    """Let TOOL go to its provider again.

    `headroom wrap` changes no file, so there is nothing of it to put back. This takes out what `headroom mcp install` wrote, and names
    the variable or setting, made by hand, that still sends TOOL to Headroom.
    """
    settings = load(config)
    client = clients(settings).get(tool)
    if client and uninstall(client, settings) != "absent":
        click.echo(f"{tool}: the MCP server is out of {client.file}")
    for target in targets(settings, environment()):
        base = target.url.rstrip("/").removesuffix("/v1")
        if target.tool == tool and base and (answers(base) or loopback(base)):
            click.echo(f"{tool}: {target.source} still names {target.url}; remove it there")
            return
    click.echo(f"{tool}: nothing sends it to Headroom")
