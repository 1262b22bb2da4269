"""`headroom serve`: the Ray Serve application, started by Ray's own `serve run`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from headroom.errors import SettingsError


@click.command("serve")
@click.argument("config", type=click.Path(path_type=Path), default=Path("configs/local.yaml"))
def command(config: Path) -> None:
    """Start the Ray Serve application described by CONFIG (default: configs/local.yaml)."""
    if not config.is_file():
        raise SettingsError(f"{config}: no such file")
    program = Path(sys.executable).with_name("serve")
    if not program.is_file():
        raise SettingsError("Ray Serve is not installed: pip install 'headroom[serve]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # noqa: TID251  for the program started here, Ray reports nothing
    os.execv(program, [str(program), "run", str(config)])
