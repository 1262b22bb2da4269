"""Fetches the vocabularies that exact token counts need, once, into tiktoken's own cache: `python -m headroom.cli.vocabulary`.

Nothing needs this to succeed: without a vocabulary tokens are estimated, and everything says so.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from headroom import tokens
from headroom.cli.options import load

NAMES = ("o200k_base", "cl100k_base")


def missing(directory: Path | None) -> list[str]:
    """The vocabularies that are not on this machine; none with toktok-rs, which carries them."""
    return [name for name in NAMES if not tokens.is_exact(name, directory)]


_DOWNLOAD = """
import os, sys
directory, *names = sys.argv[1:]
if directory:
    os.environ["TIKTOKEN_CACHE_DIR"] = directory
import tiktoken
for name in names:
    tiktoken.get_encoding(name)
"""


def fetch(names: Sequence[str], directory: Path | None, timeout_s: float = 60.0) -> bool:
    """Let tiktoken download vocabularies to a directory, by default its own cache; whether it did.

    In a process of its own, because tiktoken's download has no timeout.
    """
    program = [sys.executable, "-c", _DOWNLOAD, str(directory or ""), *names]
    try:
        done = subprocess.run(program, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


@click.command()
def command() -> None:
    """Fetch what is missing, and say what came of it."""
    directory = load().vocabulary_dir
    wanted = missing(directory)
    if wanted and not fetch(wanted, directory):
        click.echo(f"Could not download {', '.join(wanted)}: tokens will be estimated until `headroom doctor --fetch` can.")
    else:
        click.echo("Tokens will be counted exactly.")


if __name__ == "__main__":
    command()
