"""How the figures of a simulation look: on a screen, and as a page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from rich.box import SIMPLE_HEAD
from rich.table import Table

from headroom.cli.terminal import console
from headroom.stats.prices import NANO
from headroom.transcripts.figures import Figures, by, figures
from headroom.transcripts.replay import Replayed

Results = Sequence[tuple[str, list[Replayed]]]
_MOST = 8  # rows of a table on the screen
_WIDTH = 120  # of what is no terminal
_NAMES = {
    "smart_crusher": "JSON",
    "log": "logs",
    "search": "search results",
    "diff": "diffs",
    "code": "source code",
    "html": "HTML",
    "table": "tables",
    "text": "other texts",
    "prose": "prose",
    "numbered": "numbered listings",
    "repeat": "repeated texts",
    "recall": "excerpts brought back",
    "messages": "messages that left the window",
    "headroom_retrieve": "the tool to read back",
}


def screen(results: Results) -> None:
    """One screen for one settings file; for several a table that compares them."""
    out = console()
    if not out.is_terminal:
        out.width = _WIDTH
    if len(results) > 1:
        out.print(_compared(results))
        return
    done = results[0][1]
    found = figures(done)
    out.print(_head(done, found), style="bold")
    out.print(_both_ways(found))
    for line in _notes(found):
        out.print(line)
    out.print(_rows("Where it comes from", ["kind of text", "tokens left out"], _left_out(found)))
    sources = by(done, lambda one: f"{one.conversation.model} ({one.conversation.source})")
    out.print(_rows("By model", ["model", "requests", "prompts, USD", "with Headroom", ""], _groups(sources)))
    out.print(_rows("Most to save", ["conversation", "requests", "prompts, USD", "with Headroom", ""], _largest(done)))


def _head(done: Sequence[Replayed], found: Figures) -> str:
    sources = sorted({one.conversation.source for one in done})
    return f"{found.conversations:,} conversations, {found.turns:,} requests ({', '.join(sources)})"


def _both_ways(found: Figures) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("")
    for name in ("as it was", "with Headroom", "saved"):
        table.add_column(name, justify="right")
    for row in _summary(found):
        table.add_row(*row)
    return table


def _summary(found: Figures) -> Iterator[tuple[str, str, str, str]]:
    yield "tokens of prompts", _count(found.direct.tokens), _count(found.ours.tokens), _saved(found.direct.tokens, found.ours.tokens)
    yield "read from the provider's cache", _share(found.direct.read, found.direct.tokens), _share(found.ours.read, found.ours.tokens), ""
    if found.direct_cost:
        yield "cost of prompts", _dollars(found.direct_cost), _dollars(found.our_cost), _saved(found.direct_cost, found.our_cost)
        yield "  mean of conversations", "", "", f"{100 * (1 - found.mean):.1f} %"
    yield "prompts that broke the cached prefix", f"{found.direct_broke:,}", f"{found.our_broke:,}", ""


def _notes(found: Figures) -> Iterator[str]:
    if found.paid_conversations:
        yield f"The transcripts themselves say {_dollars(found.paid)} for {found.paid_conversations:,} conversations, answers included."
    if found.named:
        stood = found.named - found.unseen
        others = "; the others were written in another way, or left out and could be read back" if found.unseen else ""
        yield (
            f"{found.named:,} arguments of tool calls came from earlier in the prompt; {stood:,} of them still stood in it "
            f"word by word ({_share(stood, found.named)}){others}."
        )
    if found.dearer:
        yield f"{found.dearer:,} conversations would have been dearer."
    if found.unpriced:
        yield f"{found.unpriced:,} conversations are with models of unknown price: no dollars for them (`stats.prices` adds prices)."
    if found.unsound or found.failed:
        yield f"{found.unsound + found.failed:,} requests were not replayed: as they stand in the file no provider would take them."


def _left_out(found: Figures) -> list[tuple[str, ...]]:
    return [(_NAMES.get(name, name), f"{tokens:+,}" if tokens < 0 else f"{tokens:,}") for name, tokens in found.left_out.most_common(_MOST)]


def _groups(groups: dict[str, Figures]) -> list[tuple[str, ...]]:
    return [_row(name, found) for name, found in list(groups.items())[:_MOST]]


def _largest(done: Sequence[Replayed]) -> list[tuple[str, ...]]:
    def saved(one: Replayed) -> int:
        return (one.direct.cost or 0) - (one.ours.cost or 0)

    return [_row(one.conversation.id, figures([one])) for one in sorted(done, key=saved, reverse=True)[:_MOST] if one.turns]


def _row(name: str, found: Figures) -> tuple[str, ...]:
    if not found.direct_cost:
        return name, f"{found.turns:,}", "unknown", "", _saved(found.direct.tokens, found.ours.tokens)
    costs = _dollars(found.direct_cost), _dollars(found.our_cost), _saved(found.direct_cost, found.our_cost)
    return name, f"{found.turns:,}", *costs


def _compared(results: Results) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for name in ("settings", "tokens of prompts", "cost, USD", "of the bill", "mean", "dearer", "not word by word"):
        table.add_column(name, justify="left" if name == "settings" else "right")
    first = figures(results[0][1])
    table.add_row("without Headroom", _count(first.direct.tokens), _dollars(first.direct_cost), "100.0 %", "100.0 %", "", "")
    for name, done in results:
        found = figures(done)
        unseen = f"{found.unseen:,} of {found.named:,}"
        bill = _dollars(found.our_cost), f"{100 * found.vs_direct:.1f} %", f"{100 * found.mean:.1f} %"
        table.add_row(name, _count(found.ours.tokens), *bill, f"{found.dearer:,}", unseen)
    return table


def _rows(title: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(box=SIMPLE_HEAD, title=title, title_style="bold", title_justify="left")
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _count(tokens: int) -> str:
    return f"{tokens:,}"


def _dollars(nano: int) -> str:
    return f"${nano / NANO:,.2f}" if nano >= NANO // 10 else f"${nano / NANO:,.4f}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _saved(before: int, after: int) -> str:
    return f"{100 * (before - after) / before:.1f} %" if before else "-"


_STYLE = """
:root{color-scheme:light dark;--ink:light-dark(#17202a,#e6eaee);--soft:light-dark(#5c6b7a,#93a1b0);--line:light-dark(#dde3e8,#2c3640);
--bar:light-dark(#0b7a53,#3ecf8e);--was:light-dark(#c3ccd4,#46525e);--page:light-dark(#fff,#12171c)}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:62rem;margin:2.5rem auto;padding:0 1.2rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.05rem;margin:2.2rem 0 .4rem}p{color:var(--soft);margin:.3rem 0}
table{border-collapse:collapse;width:100%}td,th{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:right;
font-variant-numeric:tabular-nums}td:first-child,th:first-child{text-align:left;overflow-wrap:anywhere}th{color:var(--soft);font-weight:500}
.big{font-size:2.6rem;font-weight:650;color:var(--bar);margin:1rem 0 0}.bars{display:grid;gap:.35rem;margin:.8rem 0}
.bar{height:1.5rem;border-radius:3px;background:var(--bar);color:var(--page);padding:0 .6rem;white-space:nowrap;line-height:1.5rem}
.bar.was{background:var(--was);color:var(--ink)}
"""


def page(results: Results) -> str:
    """The report as one file: no scripts, nothing loaded from elsewhere."""
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>Headroom: what would have been saved</title><style>{_STYLE}</style>"]
    parts.append('<meta name=viewport content="width=device-width,initial-scale=1"><h1>What Headroom would have saved</h1>')
    for name, done in results:
        parts += _section(name, done)
    return "".join(parts)


def _section(name: str, done: Sequence[Replayed]) -> Iterator[str]:
    found = figures(done)
    yield f"<p>{escape(_head(done, found))}{escape(f', settings of {name}') if name else ''}</p>"
    if found.direct_cost:
        yield f"<p class=big>{_saved(found.direct_cost, found.our_cost)}</p><p>of what the prompts cost</p><div class=bars>"
        yield _bar("as it was", found.direct_cost, found.direct_cost, "was") + _bar("with Headroom", found.our_cost, found.direct_cost, "")
        yield "</div>"
    yield _html_table(["", "as it was", "with Headroom", "saved"], list(_summary(found)))
    yield "".join(f"<p>{escape(line)}</p>" for line in _notes(found))
    yield "<h2>Where it comes from</h2>" + _html_table(["kind of text", "tokens left out"], _left_out(found))
    columns = ["", "requests", "prompts, USD", "with Headroom", "saved"]
    groups = by(done, lambda one: f"{one.conversation.model} ({one.conversation.source})")
    yield "<h2>By model</h2>" + _html_table(columns, [_row(*item) for item in groups.items()])
    everyone = sorted(done, key=lambda one: -(one.direct.cost or 0))
    rows = [_row(one.conversation.id, figures([one])) for one in everyone if one.turns]
    yield "<h2>Every conversation</h2>" + _html_table(columns, rows)


def _bar(name: str, cost: int, most: int, kind: str) -> str:
    width = max(12.0, min(100.0, 100 * cost / most))
    return f'<div class="bar {kind}" style="width:{width:.1f}%">{escape(name)} {_dollars(cost)}</div>'


def _html_table(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
