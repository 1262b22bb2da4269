"""`headroom proxy`: the embedded face, one process on this machine."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Any

import click

from headroom.cli.options import SettingsCommand, load, settings_options
from headroom.errors import SettingsError, StoreUnavailable
from headroom.settings import Settings


@click.command("proxy", cls=SettingsCommand)
@settings_options
@click.option("--while-used", type=click.Path(path_type=Path), hidden=True, help="Lock file; the proxy ends when nobody holds it.")
def command(config: Path | None, while_used: Path | None, **flags: Any) -> None:
    """Start the proxy. Point a client's base URL at it; stop it with Ctrl-C.

    It listens on this machine only, unless --host says otherwise.
    """
    from headroom.cli.banner import banner
    from headroom.cli.terminal import console

    settings = listening(load(config, flags))
    from headroom.proxy.server import run

    if while_used:
        from headroom.cli.lease import end_when_unused

        end_when_unused(while_used)
    run(settings, lambda backends: console(stderr=True).print(banner(settings, backends, store_trouble(settings))))


def store_trouble(settings: Settings) -> str:
    """Why the store does not answer; an empty string where it does. Raises SettingsError."""
    from headroom.store import open_store

    store = open_store(settings)
    try:
        store.get_record("doctor", "")
    except StoreUnavailable as failure:
        return failure.message
    finally:
        store.close()
    return ""


def listening(settings: Settings) -> Settings:
    """The same settings with a port that can be bound; port 0 becomes a free one. Raises SettingsError."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((settings.host, settings.port))
        except OSError as failure:
            raise SettingsError(_explain(settings, failure)) from None
        return settings.model_copy(update={"port": trial.getsockname()[1]})


def _explain(settings: Settings, failure: OSError) -> str:
    if failure.errno == errno.EADDRINUSE:
        return f"port {settings.port} is in use; `HEADROOM_PORT={settings.port} headroom doctor` says by what, --port takes another one"
    if failure.errno == errno.EACCES:
        return f"port {settings.port} needs administrator rights; --port takes another one"
    return f"cannot listen on {settings.host}:{settings.port}: {failure.strerror or failure}"
