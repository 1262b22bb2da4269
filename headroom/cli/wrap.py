"""`headroom wrap`: a tool, started so that it goes through Headroom. No file is changed."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click

from headroom.cli.lease import answers, proxy_for
from headroom.cli.options import load
from headroom.cli.tool_process import run
from headroom.cli.tools import TOOLS, Route, Tool, variables
from headroom.errors import SettingsError
from headroom.settings import Settings, environment

_NOT_FOUND = 127
_NOT_EXECUTABLE = 126


class _Command(click.Command):
    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(context, args)
        except click.NoSuchOption as failure:
            raise click.UsageError(f"{failure.format_message()} Options of the tool itself go behind --.", context) from None


@click.command("wrap", cls=_Command)
@click.argument("tool", type=click.Choice(list(TOOLS)))
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.option("--port", help="Port of the proxy on this machine.  [HEADROOM_PORT; 8787]")
@click.option("--url", help="Base URL of a Headroom that runs already, for example a shared one.  [HEADROOM_BASE_URL]")
@click.option("--api-key", help="Key for it; without one the tool's own credential goes through.  [HEADROOM_API_KEY]")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]")
@click.pass_context
def command(
    context: click.Context,
    tool: str,
    args: tuple[str, ...],
    port: str | None,
    url: str | None,
    api_key: str | None,
    config: Path | None,
) -> None:
    """Run TOOL through Headroom: headroom wrap claude -- -p "why does the build fail?"

    Starts the proxy if none answers and ends it afterwards; with --url uses the Headroom there. The tool has the terminal, gets the
    signals, and its exit code is the exit code (128 + n when signal n ended it).
    """
    if url and port:
        raise click.UsageError("--port is for the proxy on this machine, --url for another Headroom: give one of them.", context)
    settings = load(config, {"port": port, "client__base_url": url, "client__api_key": api_key})
    shared = "" if port else settings.client.base_url.rstrip("/").removesuffix("/v1")
    environ = environment()
    program = shutil.which(TOOLS[tool].program, path=environ.get("PATH")) if TOOLS[tool].program else ""
    if program is None:
        click.echo(f"{TOOLS[tool].program} was not found on the PATH: install it first", err=True)
        context.exit(_NOT_FOUND)
    with _headroom(shared, settings, config) as base:
        route = Route(base, settings.client.api_key if shared else "", settings)
        context.exit(_run(program, TOOLS[tool], route, environ, args) if program else _tell(TOOLS[tool], route))


def _headroom(shared: str, settings: Settings, config: Path | None) -> AbstractContextManager[str]:
    if not shared:
        return proxy_for(settings, config)
    if not answers(shared):
        raise SettingsError(f"no Headroom answers at {shared}")
    return nullcontext(shared)


def _run(program: str, tool: Tool, route: Route, environ: Mapping[str, str], args: Sequence[str]) -> int:
    words = [program, *tool.arguments(route, environ, args), *args]
    try:
        return run(words, variables(tool, route, environ))
    except OSError as failure:
        click.echo(f"{program}: cannot be started ({failure.strerror})", err=True)
        return _NOT_EXECUTABLE


def _tell(tool: Tool, route: Route) -> int:
    """For a tool that is started elsewhere: what to do there, and Headroom stays up until Ctrl-C."""
    ends = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    click.echo(tool.told(route))
    click.echo(f"Headroom answers at {route.url}; Ctrl-C when you are done.", err=True)
    signal.sigwait(ends)
    return 0
