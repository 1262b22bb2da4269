"""`headroom simulate`: what agents have already paid for, and what it would have been with Headroom."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headroom.cli.options import load

if TYPE_CHECKING:
    from headroom.settings import Settings
    from headroom.transcripts.conversation import Conversation, Problem
    from headroom.transcripts.replay import Replayed

_SHOWN_PROBLEMS = 10


@dataclasses.dataclass
class Run:
    """What was asked for: how much of which conversations is replayed."""

    paths: Sequence[Path]
    model: str = ""
    limit: int | None = None
    min_turns: int = 1
    max_turns: int | None = None
    only: str | None = None  # the beginning of one conversation's id; empty: the first there is
    problems: list[Problem] = dataclasses.field(default_factory=list)

    def conversations(self) -> Iterator[Conversation]:
        """Those that are to be replayed. What cannot be read is noted."""
        from headroom.transcripts.conversation import Problem
        from headroom.transcripts.read import read

        self.problems.clear()
        found = 0
        for one in read(self.paths, self.model):
            if isinstance(one, Problem):
                self.problems.append(one)
            elif len(one.turns) >= self.min_turns and one.id.startswith(self.only or ""):
                yield one
                found += 1
                if found == self.limit or self.only is not None:
                    return


@click.command("simulate")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--policy", "policies", multiple=True, type=click.Path(path_type=Path), metavar="FILE", help="Settings to compare; may be repeated."
)
@click.option("--explain", is_flag=False, flag_value="", metavar="[ID]", help="Show one conversation before and after, part by part.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write a report to look at or pass on.")
@click.option("--json", "as_json", is_flag=True, help="Print figures for machines, one object for each settings file.")
@click.option("--model", default="", help="Model that was asked, where a file does not say  [gpt-4o or claude-sonnet-4-5]")
@click.option("--window", type=click.IntRange(1000), help="Tokens that every model takes  [as known for each]")
@click.option("--limit", type=click.IntRange(1), help="Replay no more conversations than this.")
@click.option("--min-turns", type=click.IntRange(1), default=1, show_default=True, help="Leave out shorter conversations.")
@click.option("--max-turns", type=click.IntRange(1), help="Replay only the first turns of longer ones.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]")
def command(
    paths: tuple[Path, ...],
    policies: tuple[Path, ...],
    explain: str | None,
    html: Path | None,
    as_json: bool,
    model: str,
    window: int | None,
    limit: int | None,
    min_turns: int,
    max_turns: int | None,
    config: Path | None,
) -> None:
    """Replay conversations of the past and tell what Headroom would have saved.

    PATHS are files or folders: transcripts of Claude Code (~/.claude/projects) and Codex (~/.codex/sessions), which are read
    where none are given; OpenAI and Anthropic batch files; lines with `messages`; - for standard input. Every request is made
    anew, goes through the pipeline as the proxy would send it, and is billed as a provider with a prompt cache does. No key
    and no network are needed, nothing leaves this machine, and nothing is kept on it.
    """
    variants = [(str(file), _with_window(load(file), window)) for file in policies] or [("", _with_window(load(config), window))]
    with _readable(paths or _usual(variants[0][1])) as places:
        run = Run(places, model, limit, min_turns, max_turns, explain)
        if explain is not None:
            _explain(run, variants[0][1], window)
            return
        results = [(name, _replayed(run, settings)) for name, settings in variants]
    _tell_problems(run.problems)
    if not any(one.turns for _, done in results for one in done):
        raise click.ClickException("no conversation was found that could be replayed.")
    _tell(results, as_json, html)


def _with_window(settings: Settings, window: int | None) -> Settings:
    if window is None:
        return settings
    return settings.model_copy(update={"context": settings.context.model_copy(update={"windows": f"*={window}"})})


def _usual(settings: Settings) -> list[Path]:
    from headroom.transcripts.read import usual_places

    client = settings.client
    found = usual_places(client.claude_config_dir or Path.home() / ".claude", client.codex_home or Path.home() / ".codex")
    if not found:
        raise click.ClickException("no transcripts of Claude Code or Codex are on this machine: name files or folders to read.")
    return found


@contextmanager
def _readable(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """The paths, standard input as a file. Raises ClickException for one that does not exist."""
    for path in paths:
        if str(path) != "-" and not path.exists():
            raise click.ClickException(f"{path}: there is no such file or folder.")
    if Path("-") not in paths:
        yield list(paths)
        return
    with tempfile.TemporaryDirectory(prefix="headroom-") as folder:
        text = sys.stdin.buffer.read()
        given = Path(folder) / ("stdin.json" if _is_whole(text) else "stdin.jsonl")
        given.write_bytes(text)
        yield [given if str(path) == "-" else path for path in paths]


def _is_whole(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _replayed(run: Run, settings: Settings) -> list[Replayed]:
    """Replay with a bar on standard error; a folder of its own holds the state, and goes with it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from headroom.cli.terminal import console

    total = sum(1 for _ in run.conversations())
    if not total:
        return []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("conversations", total=total)
        return asyncio.run(_replay(run, settings, lambda: bar.advance(task)))


async def _replay(run: Run, settings: Settings, advance: Callable[[], None]) -> list[Replayed]:
    from headroom import tokens
    from headroom.stats.prices import Prices
    from headroom.transcripts.replay import replay_all
    from headroom.transcripts.through import through

    done: list[Replayed] = []

    def counter(model: str) -> Callable[[str], int]:
        return tokens.counter(model, settings.vocabulary_dir).count

    with tempfile.TemporaryDirectory(prefix="headroom-") as home:
        async with through(settings, Path(home)) as send:
            async for one in replay_all(run.conversations(), send, Prices(settings.stats.prices), counter, most=run.max_turns):
                if run.only is None:
                    one.before = one.after = {}
                done.append(one)
                advance()
    return done


def _explain(run: Run, settings: Settings, window: int | None) -> None:
    from headroom.cli.explain import show_change, show_window

    done = _replayed(run, settings)
    _tell_problems(run.problems)
    if not done or not done[0].turns:
        raise click.ClickException(f"there is no conversation that begins with {run.only!r}." if run.only else "no conversation was found.")
    show_change(done[0], settings)
    show_window(done[0].conversation.id, done[0].before, window, settings)


def _tell_problems(problems: Sequence[Problem]) -> None:
    for problem in problems[:_SHOWN_PROBLEMS]:
        click.echo(str(problem), err=True)
    if len(problems) > _SHOWN_PROBLEMS:
        click.echo(f"... and {len(problems) - _SHOWN_PROBLEMS} more that could not be read", err=True)


def _tell(results: Sequence[tuple[str, list[Replayed]]], as_json: bool, html: Path | None) -> None:
    from headroom.cli.simulated import page, screen
    from headroom.transcripts.figures import figures

    if html is not None:
        try:
            html.write_text(page(results), encoding="utf-8")
        except OSError as failure:
            raise click.ClickException(f"{html}: cannot be written ({failure.strerror})") from None
        click.echo(f"{html} is written", err=True)
    if as_json:
        for name, done in results:
            click.echo(json.dumps(({"policy": name} if name else {}) | figures(done).as_json()))
        return
    screen(results)
