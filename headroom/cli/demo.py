"""`headroom demo`: three tool outputs before and after, and the way back. Needs no key, no network, under a minute."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

import headroom
from headroom.cli.samples import Sample, samples
from headroom.cli.terminal import console, highlighted, percent_saved
from headroom.model import LOCAL
from headroom.store.base import Store
from headroom.store.sqlite import SqliteStore
from headroom.tokens import counter

_BAR = 14
_EXCERPT_LINES = 14


@dataclass(frozen=True, slots=True)
class Shown:
    """A sample and what became of it."""

    sample: Sample
    text: str
    before: int
    after: int
    hashes: tuple[str, ...]
    intact: bool

    @property
    def needle_visible(self) -> bool:
        return self.sample.needle in self.text


@click.command("demo")
@click.option("--model", default="gpt-4o", show_default=True, help="Model whose tokens are counted.")
@click.option("--full", is_flag=True, help="Print the compressed texts in full.")
def command(model: str, full: bool) -> None:
    """Show what compression does to three tool outputs, and that nothing is lost."""
    out = console()
    with tempfile.TemporaryDirectory(prefix="headroom-demo-") as home:
        store = SqliteStore(Path(home) / "store.sqlite", ttl_s=3600, max_bytes=100_000_000)
        try:
            done = [show(sample, model, store) for sample in samples()]
        finally:
            store.close()
    out.print(overview(done, counter(model).exact))
    if full:
        for item in done:
            out.print(Text(f"\n{item.sample.title}\n", style="bold"), highlighted(item.text))
    else:
        out.print(excerpt(done[1]))
    way_back(out, done)


def show(sample: Sample, model: str, store: Store) -> Shown:
    """Compress a sample and read its originals back."""
    result = headroom.compress(sample.messages, model=model, store=store)
    text = str(result.messages[-1]["content"])
    intact = all(store.get_original(LOCAL.scope, hash).text == sample.output for hash in result.ccr_hashes)
    return Shown(sample, text, result.tokens_before, result.tokens_after, tuple(result.ccr_hashes), intact)


def overview(done: list[Shown], exact: bool) -> Table:
    """The table: tokens before and after, a bar of what is left, and whether the answer is still visible."""
    title = "\nWhat a tool printed, and what the model is sent (tokens" + (")" if exact else ", estimated)")
    table = Table(box=SIMPLE_HEAD, title=title, title_style="bold", title_justify="left")
    table.add_column("Tool output", no_wrap=True)
    for name in ("before", "after", "saved"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what is left", min_width=_BAR, no_wrap=True)
    table.add_column("answer", justify="center", no_wrap=True)
    for item in done:
        visible = Text("visible", "green") if item.needle_visible else Text("not visible", "red")
        table.add_row(item.sample.title, *_figures(item.before, item.after), visible)
    table.add_section()
    before, after = sum(item.before for item in done), sum(item.after for item in done)
    table.add_row("Together", *_figures(before, after), "", style="bold")
    return table


def _figures(before: int, after: int) -> tuple[str, str, Text, Text]:
    filled = max(1, round(_BAR * after / before)) if before else 0
    bar = Text("█" * filled, "cyan").append("░" * (_BAR - filled), "bright_black")
    return f"{before:,}", f"{after:,}", Text(percent_saved(before, after), "green"), bar


def excerpt(item: Shown) -> Panel:
    """The lines around the needle, as the model reads them."""
    lines = item.text.splitlines()
    at = next((number for number, line in enumerate(lines) if item.sample.needle in line), 0)
    start = max(0, at - _EXCERPT_LINES // 3)
    part = highlighted("\n".join(lines[start : start + _EXCERPT_LINES]))
    part.highlight_words([item.sample.needle], "bold red")
    return Panel(part, title=f'"{item.sample.question}"', title_align="left", subtitle="what the model is sent", subtitle_align="right")


def way_back(out: Console, done: list[Shown]) -> None:
    """One line per hash: that it gives back exactly what the tool printed."""
    for item in done:
        for hash in item.hashes:
            same = "identical to the original" if item.intact else "NOT what the tool printed"
            size = f"{len(item.sample.output):,} characters"
            out.print(Text(f"  hash={hash}  ->  {size}, {same}", "green" if item.intact else "bold red"))
    out.print("\n  In front of your own agent: `make run`, or `headroom proxy`.\n", style="dim")
    if not all(item.intact and item.needle_visible for item in done):
        raise click.ClickException("an answer or an original was lost; please report this")
