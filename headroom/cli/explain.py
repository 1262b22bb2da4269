"""`headroom simulate --explain`: one conversation before and after, and what of it would leave its model's window, and why."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import click

if TYPE_CHECKING:
    from headroom.context.cut import Cut
    from headroom.context.units import Unit
    from headroom.context.view import Count, View
    from headroom.context.windows import Room
    from headroom.model import Call
    from headroom.scoring.importance import Score
    from headroom.settings import Settings
    from headroom.transcripts.replay import Replayed

_ABOUT_CHARS = 46
_SENT_CHARS = 90
_WIDTH = 150  # of what is no terminal


def show_window(id: str, body: Mapping[str, Any], window: int | None, settings: Settings) -> None:
    """What would leave, and what each part scores. Similarity is by words here, and nothing is compressed first."""
    from headroom import tokens
    from headroom.context import windows
    from headroom.context.cut import Cut
    from headroom.context.view import size, view

    call = _call(body)
    count = tokens.counter(call.model, settings.vocabulary_dir).count
    context = settings.context
    found = windows.Window(window) if window else windows.window(call.model, context.overrides, context.default_window)
    room = windows.room(call.model, found, None, context.output_reserve, context.reserve)
    seen = view(call, call, (), count)
    if seen is None:
        click.echo(f"{id}: its parts cannot be told apart, so none would leave")
        return
    units, scores, cut, reason = _decided(seen, room, settings, count)
    after = size(seen, cut, {}, count) if cut else seen.total
    told = f"{len(cut.gone)} leave, {len(cut.smaller)} texts become smaller, {after:,} tokens" if cut else reason or "all of it fits"
    click.echo(f"{id}: {len(seen.messages)} messages, {seen.total:,} tokens, window {found.tokens:,} ({call.model}): {told}")
    _scores(seen, units, scores, cut or Cut(0))


def _call(body: Mapping[str, Any]) -> Call:
    import dataclasses

    from headroom.dialects import dialect_of
    from headroom.dialects.base import read_call, understood

    call = understood(read_call("", json.dumps(body).encode()))
    return dataclasses.replace(call, dialect=dialect_of(call).name)


def _decided(seen: View, room: Room, settings: Settings, count: Count) -> tuple[list[Unit], list[Score], Cut | None, str]:
    from headroom.context.choice import Outgrown, chosen, scores
    from headroom.context.cut import Cut
    from headroom.context.fit import next_cut
    from headroom.context.rolling_window import OldestFirst
    from headroom.context.units import units
    from headroom.scoring.toin import Snapshot

    context, turns = settings.context, settings.context.protect_turns
    asked = Outgrown(seen, Cut(0), {}, room, turns, scoring=context.scoring, compress_first=context.compress_first)
    nothing = Snapshot()  # the store of the past conversation is not here
    found, told = units(seen.messages, seen.sources), scores(asked, nothing)
    if seen.total <= room.trigger:
        return found, told, None, ""
    made = chosen(asked, nothing, count) if context.intelligent else next_cut(seen, Cut(0), {}, room, turns, OldestFirst(), count)
    return found, told, made.cut, made.reason


def _scores(seen: View, units: list[Unit], scores: list[Score], cut: Cut) -> None:
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


def show_change(done: Replayed, settings: Settings) -> None:
    """The last request of a conversation, message by message: tokens before and after, and how each that changed begins."""
    from rich.table import Table

    from headroom import tokens
    from headroom.cli.terminal import console, percent_saved
    from headroom.transcripts.prompt_cache import texts

    count = tokens.counter(done.conversation.model, settings.vocabulary_dir).count
    key = "messages" if "messages" in done.before else "input"
    table = Table(box=None, padding=(0, 1))
    for name in ("message", "before", "after", "saved"):
        table.add_column(name, justify="right")
    table.add_column("role")
    table.add_column("what is sent", overflow="ellipsis", no_wrap=True, max_width=_SENT_CHARS)
    total = [0, 0]
    pairs = itertools.zip_longest(_items(done.before[key]), _items(done.after[key]), fillvalue=cast(dict[str, Any], {}))
    for number, (before, after) in enumerate(pairs, 1):
        sizes = [sum(map(count, texts(message))) for message in (before, after)]
        total = [a + b for a, b in zip(total, sizes, strict=True)]
        if sizes[0] != sizes[1]:
            said = " ".join(" ".join(texts(after)).split())
            role = str(after.get("role") or after.get("type") or before.get("role") or before.get("type"))
            table.add_row(str(number), f"{sizes[0]:,}", f"{sizes[1]:,}", percent_saved(*sizes), role, said[:_SENT_CHARS])
    click.echo(f"{done.conversation.id}: the last of {done.turns} requests, {total[0]:,} -> {total[1]:,} tokens of messages")
    screen = console()
    if not screen.is_terminal:
        screen.width = _WIDTH
    screen.print(table)


def _items(content: Any) -> list[dict[str, Any]]:
    return content if isinstance(content, list) else [{"role": "user", "content": content}]
