"""The settings reference, written from the settings themselves: `python -m headroom.cli.reference > docs/settings.md`."""

from __future__ import annotations

import click

from headroom import settings
from headroom.cli.options import allowed, default, key

_HEAD = """\
# Settings

Every setting has one name in the config file, most have an environment variable, and those one types have a flag of
`headroom proxy`. A flag wins over its environment variable, that over the config file (`~/.headroom/config.toml`, or the
file given with `--config`), that over the default. A name that is not in this table is an error, and a value that is not
allowed is one: the process says which and does not start. A variable called `HEADROOM_...` that is not is told at the start and
by `headroom doctor`; what Kubernetes gives pods beside a Service called `headroom` (`HEADROOM_PORT=tcp://...`) is no setting.

In TOML the names are tables and keys, `compression.fidelity` being

```toml
[compression]
fidelity = "lossless"
```

The `settings:` of the Ray Serve application's YAML have the same tree.

| name | flag | environment | default | allowed | meaning |
|---|---|---|---|---|---|
"""
_FOOT = """
This file is written by `python -m headroom.cli.reference`; a test compares it with the code.
"""


def markdown() -> str:
    """The whole document."""
    lines = []
    for path, info in settings.fields():
        flag = settings.extra(info, "flag").replace("/", ", ")
        cells = (key(path), flag, settings.extra(info, "env"), default(info), allowed(info))
        shown = [f"`{cell}`".replace("|", "\\|") if cell else "" for cell in cells]
        lines.append(f"| {' | '.join(shown)} | {info.description} |\n")
    return _HEAD + "".join(lines) + _FOOT


if __name__ == "__main__":
    click.echo(markdown(), nl=False)
