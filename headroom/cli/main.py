"""The `headroom` command. A subcommand is one file, imported only when it is called, so that help and start are quick."""

from __future__ import annotations

import contextlib
import difflib
import errno
import importlib
import io
import sys
from collections.abc import Iterator
from typing import Any

import click

from headroom.errors import HeadroomError, SettingsError

COMMANDS = {
    "proxy": "Start the proxy on this machine.",
    "serve": "Start the Ray Serve application.",
    "wrap": "Run claude, codex, aider or cursor through Headroom.",
    "unwrap": "Undo what still points a tool at Headroom.",
    "compress": "Compress a file or standard input.",
    "simulate": "Tell what past conversations would have cost with Headroom.",
    "batch": "Compress files of conversations, on all cores or a Ray cluster.",
    "capacity": "Tell how many replicas and nodes so many users need.",
    "retrieve": "Print an original by the hash of its marker.",
    "stats": "Show what a running Headroom has saved.",
    "savings": "Show what was saved over time.",
    "telemetry": "Tell what telemetry holds, and how to end it.",
    "mcp": "Serve the MCP tools, or install them in an MCP client.",
    "embedding": "Make embedding models fast on this machine.",
    "llmlingua": "Try LLMLingua-2 models on this machine.",
    "keys": "Make, list and revoke the keys of callers.",
    "doctor": "Check this installation, line by line.",
    "demo": "Show what compression does to three tool outputs.",
}


# The extra that holds what a command imports; every other command needs that of the proxy.
_EXTRAS = {
    "serve": "serve",
    "capacity": "capacity",
    "mcp": "mcp",
    "embedding": "embed-export",
    "llmlingua": "llmlingua",
}


class _WrongSettings(click.ClickException):
    exit_code = 2


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What goes wrong is one line. Letters that the locale of standard output has none for, as of bars and arrows, are `?`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        yield
    except SettingsError as failure:
        raise _WrongSettings(failure.message) from None
    except HeadroomError as failure:
        raise click.ClickException(failure.message) from None
    except OSError as failure:
        if failure.errno == errno.EPIPE:  # `| head`: click's
            raise
        where = f"{failure.filename}: " if failure.filename else ""
        raise click.ClickException(f"{where}{failure.strerror or failure}") from None


class _Commands(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = importlib.import_module(f"headroom.cli.{name}").command
        assert isinstance(command, click.Command)
        return command

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """`headroom help [COMMAND]` and `headroom version` are what people type first."""
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        elif args == ["version"]:
            args = ["--version"]
        return super().parse_args(context, args)

    def resolve_command(self, context: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        close = () if args[0] in COMMANDS else difflib.get_close_matches(args[0], COMMANDS)
        if close:
            context.fail(f"No such command {args[0]!r}. Did you mean {' or '.join(map(repr, close))}?")
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any) -> click.Context:
        with _told():  # --help and --version print here
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, context: click.Context) -> Any:
        try:
            with _told():
                return super().invoke(context)
        except ModuleNotFoundError as failure:
            missing = (failure.name or "").partition(".")[0]
            if missing in ("", "headroom"):
                raise
            extra = _EXTRAS.get(context.invoked_subcommand or "", "proxy")
            raise _WrongSettings(f"{missing} is not installed: pip install 'headroom[{extra}]'") from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="headroom", message="headroom %(version)s")
def main() -> None:
    """Headroom makes the requests of LLM clients smaller: the same answers, fewer tokens, nothing lost.

    Start with `headroom demo`, then `headroom proxy`.
    """
