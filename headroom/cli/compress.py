"""`headroom compress`: one text, the way a tool output in a request would be compressed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

import click

from headroom.cli.options import load


@click.command("compress")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--tool", default="", help="Name of the tool that printed it, e.g. grep.")
@click.option("--question", default="", help="What the user wants to know; lines that answer it stay visible.")
@click.option("--model", default="gpt-4o", show_default=True, help="Model whose tokens are counted.")
@click.option("--fidelity", metavar="lossless|reversible|off", help="lossless leaves nothing out  [HEADROOM_FIDELITY; reversible]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the text.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]")
def command(file: IO[bytes], tool: str, question: str, model: str, fidelity: str | None, as_json: bool, config: Path | None) -> None:
    """Compress FILE, or standard input.

    The smaller text goes to standard output, markers in colour; what it cost goes to standard error. What was left
    out is stored on this machine: `headroom retrieve HASH` prints the original.
    """
    from headroom import worker
    from headroom.cli.terminal import console, percent_saved, write
    from headroom.model import LOCAL, Job, Segment
    from headroom.store import open_store

    settings = load(config, {"compression__fidelity": fidelity})
    text = decoded(file)
    segment = Segment(text, (0, 0), tool=tool, question=question)
    store = open_store(settings)
    try:
        job = Job((segment,), settings.compression.policy, LOCAL.scope, model, count=(text,))
        result = worker.run(job, store, settings.vocabulary_dir)
    finally:
        store.close()
    compressed, (before,) = result.compressed[0], result.counted
    after = compressed.tokens_after if compressed.text is not None else before
    smaller = text if compressed.text is None else compressed.text
    if as_json:
        click.echo(json.dumps(as_object(smaller, before, after, compressed.label if compressed.text else "", compressed.reason)))
        return
    write(smaller)
    told = f"{before:,} tokens, kept as they are: {compressed.reason}"
    if compressed.text is not None:
        saved = f"{before:,} -> {after:,} tokens ({percent_saved(before, after)})"
        told = f"{saved}; {compressed.label}; {compressed.items_kept:,} of {compressed.items:,} units visible"
    console(stderr=True).print(told, style="bold")


def decoded(file: IO[bytes]) -> str:
    """The text of a file. Raises ClickException when it is not UTF-8."""
    try:
        return file.read().decode()
    except UnicodeDecodeError as failure:
        raise click.ClickException(
            f"{getattr(file, 'name', 'standard input')}: not UTF-8 text ({failure.reason} at byte {failure.start})"
        ) from None


def as_object(text: str, before: int, after: int, transform: str, reason: str) -> dict[str, object]:
    """The fields of `POST /v1/compress`, for one text."""
    from headroom.ccr import marker

    return {
        "text": text,
        "tokens_before": before,
        "tokens_after": after,
        "tokens_saved": before - after,
        "compression_ratio": round(after / before, 4) if before else 1.0,
        "transforms_applied": [transform] if transform else [],
        "ccr_hashes": list(dict.fromkeys(marker.hashes(text))) if transform else [],
        "skip_reason": reason,
    }
