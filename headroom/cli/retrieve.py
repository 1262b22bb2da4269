"""`headroom retrieve`: the original behind a marker, whole or searched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from headroom.cli.options import load


@click.command("retrieve")
@click.argument("hash")
@click.argument("query", required=False)
@click.option("--url", help="Ask the Headroom at this base URL instead of the store on this machine.")
@click.option("--key", default="", help="Provider credential that stored it, where callers are told apart by credential.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer of /v1/retrieve instead of the text.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]")
def command(hash: str, query: str | None, url: str | None, key: str, as_json: bool, config: Path | None) -> None:
    """Print the original that a marker's HASH stands for.

    With QUERY, print only the rows, lines or paragraphs of it that have to do with QUERY, best first. HASH may be
    given as it stands in the marker, `hash=` included.
    """
    from headroom.cli.terminal import write

    query = (query or "").strip() or None
    digest = hash.removeprefix("hash=").strip("[]. ")
    answer = from_url(url, digest, query, key) if url else from_store(digest, query, config)
    if as_json:
        click.echo(json.dumps(answer))
        return
    if not query:
        write(answer["original_content"])
        return
    for hit in answer["results"]:
        click.echo(click.style(f"{hit['place']}: ", dim=True) + hit["text"].rstrip("\n"))
    if not answer["results"]:
        raise click.ClickException(f"nothing in {digest} has to do with {query!r}")


def from_store(digest: str, query: str | None, config: Path | None) -> dict[str, Any]:
    """The answer of the store on this machine. Raises NotFound, Expired or StoreUnavailable."""
    from headroom.ccr import retrieve
    from headroom.model import LOCAL
    from headroom.store import open_store

    store = open_store(load(config))
    try:
        return retrieve.answer(store.get_original(LOCAL.scope, digest), query)
    finally:
        store.close()


def from_url(url: str, digest: str, query: str | None, key: str) -> dict[str, Any]:
    """The answer of a running Headroom."""
    from headroom.cli.remote import ask

    path = f"/v1/retrieve/{quote(digest, safe='', errors='surrogateescape')}"
    asked, field = ({"query": query}, "results") if query else (None, "original_content")
    return ask(url, path, params=asked, key=key, field=field)
