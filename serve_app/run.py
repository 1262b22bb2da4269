"""`python -m serve_app.run CONFIG [DIRECTORY]`: Ray's own `serve run` of what was checked, ended gently; then the directory is removed.

`serve run` cuts every open stream when it is told to end, because it stops the proxy first.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import click
import ray
from ray import serve
from ray.serve import scripts
from ray.serve.handle import DeploymentHandle

from headroom.errors import SettingsError
from serve_app.checked import check

_ENDS = (signal.SIGINT, signal.SIGTERM)
_INGRESS = "Ingress"


class _Told(BaseException):
    """A signal asks for the end. `serve run` lets it pass: it catches Exception and KeyboardInterrupt."""


def main() -> None:
    """Until a signal comes; then open streams may end first, unless a second one comes."""

    def told(number: int, frame: Any) -> None:
        raise _Told

    sys.path.insert(0, ".")  # as `serve run` does, for applications of one's own; workers take it over
    config, *temporary = sys.argv[1:]
    try:
        check(Path(config))
        ray.init(namespace="serve")
        for number in _ENDS:
            signal.signal(number, told)
        scripts.run.main([config], standalone_mode=False)
    except SettingsError as failure:
        click.echo(f"Error: {failure.message}", err=True)
        sys.exit(2)
    except _Told:
        with contextlib.suppress(_Told):
            drain()
        for number in _ENDS:
            signal.signal(number, signal.SIG_IGN)
        serve.shutdown()  # type: ignore[no-untyped-call]
    finally:
        for directory in temporary:
            shutil.rmtree(directory, ignore_errors=True)


def drain() -> None:
    """Returns when no request is open any more, or when the Ingress has waited as long as it may."""
    click.echo("Ending: new requests are refused, open streams may end. Once more, to end at once.", err=True)
    for name, application in serve.status().applications.items():
        if _INGRESS in application.deployments:
            left = sum(_drained(name))
            click.echo(f"{name}: {left} requests are cut" if left else f"{name}: every request has ended", err=True)


def _drained(application: str) -> list[int]:
    """Of each replica that answers, how many requests have not ended."""
    handle: DeploymentHandle[int] = serve.get_deployment_handle(_INGRESS, app_name=application)
    # This process runs no loop, and under the fast profile a handle makes none of its own.
    handle._init(_run_router_in_separate_loop=True)  # type: ignore[no-untyped-call]
    return [left for left in handle.broadcast("drain").results(return_exceptions=True) if isinstance(left, int)]


if __name__ == "__main__":
    main()
