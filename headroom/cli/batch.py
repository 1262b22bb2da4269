"""`headroom batch`: files of conversations made smaller, on all cores of this machine or of a Ray cluster."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headroom.cli.options import Finite, load

if TYPE_CHECKING:
    from headroom.batch.run import Order, Total


@click.command("batch")
@click.argument("source", metavar="IN")
@click.argument("out", metavar="OUT")
@click.option("--model", default="", help="Model whose tokens are counted  [as each row says, else gpt-4o]")
@click.option("--fidelity", metavar="lossless|reversible|off", help="lossless leaves nothing out  [HEADROOM_FIDELITY; reversible]")
@click.option("--llmlingua/--no-llmlingua", default=None, help="Leave words out of prose, by a model  [HEADROOM_LLMLINGUA; false]")
@click.option("--llmlingua-model", metavar="TEXT", help="A directory or a name of the Hugging Face hub  [HEADROOM_LLMLINGUA_MODEL]")
@click.option("--embed", is_flag=True, help="Add a column `embedding`: the vector of what was asked last  (HEADROOM_EMBED_MODEL)")
@click.option("--resume", is_flag=True, help="Go on with an output that was begun before.")
@click.option("--workers", type=click.IntRange(0), help="Processes; 0: this one, without Ray  [all cores of the cluster]")
@click.option("--address", default="", help="Ray cluster to use  [RAY_ADDRESS; one of its own on this machine]")
@click.option("--max-errors", type=Finite(0, 1), default=0.05, show_default=True, help="Share of bad rows above which it is given up.")
@click.option("--chunk-mb", type=Finite(0.001, 1_000_000), default=8.0, show_default=True, help="Size of the pieces of work.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]")
def command(
    source: str,
    out: str,
    model: str,
    fidelity: str | None,
    llmlingua: bool | None,
    llmlingua_model: str | None,
    embed: bool,
    resume: bool,
    workers: int | None,
    address: str,
    max_errors: float,
    chunk_mb: float,
    as_json: bool,
    config: Path | None,
) -> None:
    """Compress the conversations of IN, a file or folder of JSON lines or Parquet, local or s3://, into the folder OUT.

    A row is an OpenAI or Anthropic batch request, or has `messages`. It comes out with its texts smaller and with `tokens_before`,
    `tokens_after`, `transforms_applied`, `ccr_hashes` and `status`. A row that is none goes to OUT/errors, whole, with its file and
    line. Killed at any moment, --resume goes on: every row is in the output exactly once. What was left out can be read back:
    `headroom retrieve HASH`.
    """
    from headroom.batch.run import Order, in_process, run

    flags = {"compression__fidelity": fidelity, "llmlingua__enabled": llmlingua, "llmlingua__model": llmlingua_model}
    settings = load(config, flags)
    order = Order(source, out, model, int(1_000_000 * chunk_mb), max_errors, resume, embed)
    if workers != 0:
        if importlib.util.find_spec("ray") is None:
            raise click.ClickException("Ray is not installed: pip install 'headroom[serve]', or --workers 0 does without.")
        sys.exit(_on_ray(order, workers, address, config, flags, as_json))
    try:
        with bar() as advance:
            total = run(order, settings, in_process, advance)
    except OSError as failure:
        raise click.ClickException(str(failure)) from None
    tell(total, out, as_json)


def _on_ray(
    order: Order, workers: int | None, address: str, config: Path | None, flags: Mapping[str, str | bool | None], as_json: bool
) -> int:
    """A process of its own with Ray in it; its exit status."""
    asked = {"workers": workers, "address": address, "config": str(config) if config else None, "flags": flags, "json": as_json}
    environ = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal", **os.environ}  # noqa: TID251  Ray reports nothing
    words = [sys.executable, "-m", "serve_app.batch", json.dumps({**dataclasses.asdict(order), **asked})]
    return subprocess.run(words, env=environ, check=False).returncode


class bar:
    """A progress bar on standard error, where that is a terminal; gives what advances it."""

    def __enter__(self) -> Callable[[int, int], None]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from headroom.cli.terminal import console

        columns = (TextColumn("chunks"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._shown = Progress(*columns, console=console(stderr=True), disable=not sys.stderr.isatty())
        self._shown.start()
        task = self._shown.add_task("chunks", total=None)
        return lambda done, total: self._shown.update(task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        self._shown.stop()


def tell(total: Total, out: str, as_json: bool) -> None:
    """The summary of a batch."""
    from headroom.cli.terminal import console, percent_saved

    if as_json:
        click.echo(json.dumps(dataclasses.asdict(total)))
        return
    screen = console()
    saved = percent_saved(total.tokens_before, total.tokens_after)
    screen.print(f"{total.rows:,} rows in {out}, {total.compressed:,} of them smaller", style="bold")
    screen.print(f"{total.tokens_before:,} -> {total.tokens_after:,} tokens ({saved})")
    for line in _remarks(total, out):
        screen.print(line)


def _remarks(total: Total, out: str) -> Sequence[Any]:
    told = []
    if total.duplicates:
        told.append(f"{total.duplicates:,} rows have an id that another row has too; all of them are in the output")
    if total.errors:
        told += [f"{total.errors:,} rows could not be read, see {out}/errors:", *(f"  {error}" for error in total.first_errors[:10])]
    return told
