"""Whose requests a command is about, as options of the command and as parameters of `/stats` and `/stats-history`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])
NAMES = ("team", "user", "model", "provider", "client")
_PREFIX = "of_"


def whose(command: _Command) -> _Command:
    """Add `--team` and so on, `--from` and `--to`; the command receives them as keywords for `parameters`."""
    command = click.option("--to", f"{_PREFIX}to", metavar="TIME", help="Up to this time, which is not included.")(command)
    command = click.option("--from", f"{_PREFIX}from", metavar="TIME", help="From a day or RFC 3339 time on (UTC).")(command)
    for name in reversed(NAMES):
        command = click.option(f"--{name}", f"{_PREFIX}{name}", metavar="NAME", help=f"Only requests of this {name}.")(command)
    return command


def parameters(keywords: dict[str, str | None]) -> dict[str, str]:
    """What was said of it, by the names of the routes."""
    return {name.removeprefix(_PREFIX): value for name, value in keywords.items() if value is not None}
