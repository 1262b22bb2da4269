"""`headroom mcp`: the MCP server, and its entry in the configuration of MCP clients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from headroom.cli.banner import address
from headroom.cli.options import load
from headroom.cli.proxy import listening
from headroom.errors import SettingsError
from headroom.settings import Settings
from headroom.settings.egress import loopback

if TYPE_CHECKING:
    from headroom.cli.mcp_clients import Client

_CONFIG = click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]")
_CLIENT = click.option(
    "--client", "names", multiple=True, type=click.Choice(["claude", "codex", "cursor"]), help="Which client; again for another one."
)
_URL = click.option("--url", help="Base URL of a running Headroom instead of the store on this machine.  [HEADROOM_BASE_URL]")


@click.group("mcp", invoke_without_command=True)
@click.option("--http", "over_http", is_flag=True, help="Streamable HTTP at /mcp instead of standard input and output.")
@click.option("--host", default="127.0.0.1", show_default=True, help="With --http: address of this machine itself to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8788, show_default=True, help="With --http: port to listen on.")
@_URL
@_CONFIG
@click.pass_context
def command(context: click.Context, over_http: bool, host: str, port: int, url: str | None, config: Path | None) -> None:
    """Serve headroom_compress, headroom_retrieve and headroom_stats to an MCP client.

    Without --url (or HEADROOM_BASE_URL) they work on this machine: the library, and the store that `headroom proxy` uses. MCP clients
    start this command themselves once `headroom mcp install` has told them to.
    """
    if context.invoked_subcommand is not None:
        return
    settings = load(config, {"client__base_url": url})
    transport: Literal["stdio", "http"] = "http" if over_http else "stdio"
    if over_http and not loopback(f"http://[{host}]" if ":" in host else f"http://{host}"):
        raise SettingsError(f"--host {host}: whoever reached it could read every original; use an address of this machine itself")
    from headroom.cli.mcp_server import serve

    if over_http:
        there = listening(settings.model_copy(update={"host": host, "port": port}))
        port = there.port
        click.echo(f"Headroom's MCP server listens at {address(there)}/mcp", err=True)
    serve(settings, transport, host, port)


@command.command("install", short_help="Enter it into the configuration of MCP clients.")
@_CLIENT
@_URL
@_CONFIG
def install_command(names: tuple[str, ...], url: str | None, config: Path | None) -> None:
    """Enter the MCP server into the configuration of Claude Code, Codex and Cursor: those named, or all found here."""
    from headroom.cli import mcp_clients

    settings = load(config, {"client__base_url": url})
    for client in _chosen(names, settings):
        written = mcp_clients.install(client, settings, settings.client.base_url)
        click.echo(f"{client.name}: {'installed in' if written else 'already in'} {client.file}")


@command.command("uninstall", short_help="Take it out again.")
@_CLIENT
@_CONFIG
def uninstall_command(names: tuple[str, ...], config: Path | None) -> None:
    """Take the MCP server out again and put back what stood in its place: for the clients named, or for all found here."""
    from headroom.cli import mcp_clients

    said = {"removed": "removed from", "restored": "the former entry is back in", "absent": "no entry of Headroom's in"}
    settings = load(config)
    for client in _chosen(names, settings):
        click.echo(f"{client.name}: {said[mcp_clients.uninstall(client, settings)]} {client.file}")


def _chosen(names: tuple[str, ...], settings: Settings) -> list[Client]:
    from headroom.cli import mcp_clients

    known = mcp_clients.clients(settings)
    chosen = [known[name] for name in names] or [client for client in known.values() if client.found]
    if not chosen:
        raise SettingsError(f"none of {', '.join(known)} was found here; name one with --client")
    return chosen
