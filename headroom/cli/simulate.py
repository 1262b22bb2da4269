"""`headroom simulate`: what would become of a conversation in a model's window, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from headroom.cli.options import load

if TYPE_CHECKING:
    from headroom.context.cut import Cut
    from headroom.context.units import Unit
    from headroom.context.view import Count, View
    from headroom.context.windows import Room
    from headroom.model import Call
    from headroom.scoring.importance import Score
    from headroom.settings import Settings

_MOST = 20  # conversations of a file
_ABOUT_CHARS = 46
_WIDTH = 150  # of what is no terminal


@click.command("simulate")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--explain", is_flag=True, help="Show what each part of the conversation scores, and of which factors.")
@click.option("--model", default="", help="Model to ask for, where the file does not name one  [gpt-4o]")
@click.option("--window", type=click.IntRange(1000), help="Tokens the model takes  [as known for the model]")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]")
def command(file: IO[bytes], explain: bool, model: str, window: int | None, config: Path | None) -> None:
    """Tell which parts of a conversation would leave a model's window.

    FILE, or standard input, is a request body, or has one JSON object with `messages` a line. Similarity is by words here,
    and nothing is compressed first or sent anywhere.
    """
    settings = load(config, {})
    for number, record in enumerate(_records(file), 1):
        if number > _MOST:
            click.echo(f"only the first {_MOST} conversations are shown", err=True)
            return
        _show(record, explain, model, window, settings)


def _records(file: IO[bytes]) -> Iterator[dict[str, Any]]:
    """The conversations of a file. Raises ClickException for what is none."""
    name = getattr(file, "name", "standard input")
    text = file.read().decode("utf-8", "replace")
    try:
        found = [json.loads(text)]
    except ValueError:
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as failure:
            raise click.ClickException(f"{name}: neither a JSON object nor one a line: {failure}") from None
    for record in found:
        if not isinstance(record, dict) or not isinstance(record.get("messages"), list):
            raise click.ClickException(f"{name}: an object with `messages` is needed.")
        yield record


def _show(record: dict[str, Any], explain: bool, model: str, window: int | None, settings: Settings) -> None:
    from headroom import tokens
    from headroom.context import windows
    from headroom.context.cut import Cut
    from headroom.context.view import size

    call = _call(record, model or record.get("model") or "gpt-4o")
    count = tokens.counter(call.model, settings.vocabulary_dir).count
    context = settings.context
    found = windows.Window(window) if window else windows.window(call.model, context.overrides, context.default_window)
    room = windows.room(call.model, found, None, context.output_reserve, context.reserve)
    seen = _view(call, count)
    units, scores, cut, reason = _decided(seen, room, settings, count)
    after = size(seen, cut, {}, count) if cut else seen.total
    name = f"{record['id']}: " if "id" in record else ""
    told = f"{len(cut.gone)} leave, {len(cut.smaller)} texts become smaller, {after:,} tokens" if cut else reason or "all of it fits"
    click.echo(f"{name}{len(seen.messages)} messages, {seen.total:,} tokens, window {found.tokens:,} ({call.model}): {told}")
    if explain:
        _explain(seen, units, scores, cut or Cut(0))


def _call(record: dict[str, Any], model: str) -> Call:
    import dataclasses

    from headroom.dialects import dialect_of
    from headroom.dialects.base import read_call, understood

    body = {key: record[key] for key in ("system", "tools", "messages") if record.get(key) is not None}
    call = understood(read_call("", json.dumps({"model": model, **body}).encode()))
    return dataclasses.replace(call, dialect=dialect_of(call).name)


def _view(call: Call, count: Count) -> View:
    from headroom.context.view import view

    seen = view(call, call, (), count)
    if seen is None:
        raise click.ClickException("these messages are of a kind that cannot be simulated yet.")
    return seen


def _decided(seen: View, room: Room, settings: Settings, count: Count) -> tuple[list[Unit], list[Score], Cut | None, str]:
    from headroom.context.cut import Cut
    from headroom.context.fit import Strategy, next_cut
    from headroom.context.intelligent import ByImportance, about_now, factors, said, to_embed
    from headroom.context.rolling_window import OldestFirst
    from headroom.context.units import units
    from headroom.scoring import importance

    found, context = units(seen.messages, seen.sources), settings.context
    told, now = said(seen, found, {}), about_now(seen)
    scores = importance.combined(factors(told, importance.word_similarity(to_embed(told), now)))
    totals = [score.total for score in scores] if context.scoring else importance.recency(len(found))
    strategy: Strategy = OldestFirst()
    if context.intelligent:
        strategy = ByImportance(totals, context.compress_first, told, "\n".join(now), count)
    if seen.total <= room.trigger:
        return found, scores, None, ""
    made = next_cut(seen, Cut(0), {}, room, context.protect_turns, strategy, count)
    return found, scores, made.cut, made.reason


def _explain(seen: View, units: list[Unit], scores: list[Score], cut: Cut) -> None:
    from rich.table import Table

    from headroom.cli.terminal import console
    from headroom.context.about import about
    from headroom.scoring.importance import WEIGHTS

    table = Table(box=None, padding=(0, 1))
    table.add_column("messages", justify="right")
    table.add_column("tokens", justify="right")
    table.add_column("score", justify="right", style="bold")
    for factor, weight in WEIGHTS.items():
        table.add_column(f"{factor}\nx {weight:.2f}", justify="right")
    table.add_column("what", overflow="ellipsis", no_wrap=True, max_width=_ABOUT_CHARS)
    table.add_column("fate")
    smaller = {item.message for item in cut.smaller}
    for unit, score in zip(units, scores, strict=True):
        last = f"-{unit.end}" if unit.end > unit.start + 1 else ""
        fate = "leaves" if unit.start in cut.gone else "smaller" if smaller.intersection(unit.span) else "stays"
        figures = [f"{part.value:.2f}" for part in score.parts]
        size = f"{sum(seen.tokens[unit.start : unit.end]):,}"
        table.add_row(f"{unit.start + 1}{last}", size, f"{score.total:.2f}", *figures, about(seen.messages[unit.start : unit.end]), fate)
    screen = console()
    if not screen.is_terminal:
        screen.width = _WIDTH
    screen.print(table)
