"""What conversations keep when they outgrow the model: `python -m benchmarks.context DATA [--windows 8000 16000 32000]`.

Of every conversation the requests are sent that an agent would have sent, one per answer, through the whole application with a
provider that answers nothing. What must hold at every request: it fits the window with its answer, the provider's API would
take it, every hash redeems exactly what it stands for, and it begins with what the request before became, except where a cut
was made. Of the last request it is said how much of the conversation's `evidence` (strings of it that were asked for, or were needed
next) is visible, for conversations of which something left, and how much of it stayed, what a question recalls not counted; and which share
of the lines in which something failed, of the tool calls and of the different words of the conversation can still be read.

A conversation whose system prompt, last question and last result do not fit by themselves is counted as such, not as one that fits.
With the strategy "taught" something was learned of tools' outputs before each conversation, from the others.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import corpus
from benchmarks.context_play import Tally, mean, measure
from benchmarks.context_proxy import ROUTES, Meaning
from benchmarks.context_taught import taught
from headroom.proxy.embed import Embed, NoEmbed
from headroom.scoring import importance

STRATEGIES: Mapping[str, Mapping[str, Any]] = {
    "intelligent": {},
    "taught": {},
    "rolling": {"intelligent": False},
    "position": {"scoring": False},
    "no compress first": {"compress_first": False},
}
HEADS = (
    "window",
    "strategy",
    "outgrew",
    "requests",
    "unfit",
    "too large",
    "invalid",
    "cuts",
    "moved",
    "hashes",
    "lost",
    "visible %",
    "stayed %",
    "failures %",
    "calls %",
    "words %",
)


async def run(arguments: argparse.Namespace) -> int:
    talks = [
        talk for talk in corpus.conversations(arguments.data, arguments.limit) if talk.kind == arguments.kind and talk.format in ROUTES
    ]
    if arguments.most_messages:
        talks = [talk for talk in talks if len(talk.messages) <= arguments.most_messages]
    embed: Embed = NoEmbed() if arguments.model == "off" else Meaning(arguments.model)
    names = arguments.strategies or ["intelligent", "rolling"]
    table = Table(title=f"{len(talks)} conversations, {'the last request only' if arguments.at_once else 'turn by turn'}")
    for head in HEADS:
        table.add_column(head, justify="left" if head == "strategy" else "right")
    failures: list[str] = []
    for window in arguments.windows:
        tallies = {name: await _measured(talks, window, name, embed, arguments.at_once) for name in names}
        both = [id for id in tallies[names[0]].visible if all(id in tally.visible for tally in tallies.values())]
        for name, tally in tallies.items():
            table.add_row(
                f"{window:,}",
                name,
                *map(str, tally.figures),
                f"{mean(tally.visible, both):.1f} ({len(both)})",
                *(f"{mean(of, both):.1f}" for of in (tally.stayed, tally.failures_shown, tally.calls_shown, tally.words_shown)),
            )
            failures += [f"{window} {name}: {failure}" for failure in tally.failures if not failure.startswith("too_large")]
            if arguments.verbose:
                for id in both:
                    print(window, name, id, tally.visible[id], file=sys.stderr)
    Console(width=140).print(table)
    print(f"{time.process_time():.0f} s of a processor")
    for failure in failures[:20]:
        print(failure)
    return bool(failures)


async def _measured(talks: Sequence[corpus.Conversation], window: int, name: str, embed: Embed, at_once: bool) -> Tally:
    """One strategy by its name: of STRATEGIES, perhaps `without` one factor."""
    whole, _, factor = name.partition("without ")
    strategy = whole.strip() or "intelligent"
    with switched_off(factor) if factor else nullcontext():
        return await measure(talks, window, STRATEGIES[strategy], embed, at_once, taught(talks) if strategy == "taught" else {})


@contextmanager
def switched_off(factor: str) -> Iterator[None]:
    """Scores without one factor."""
    weights: dict[str, float] = importance.WEIGHTS  # type: ignore[assignment]
    weight = weights[factor]
    weights[factor] = 0.0
    try:
        yield
    finally:
        weights[factor] = weight


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a .jsonl file of conversations, or a directory of them")
    parser.add_argument("--windows", type=int, nargs="+", default=[8000, 16_000, 32_000])
    parser.add_argument(
        "--strategies",
        nargs="+",
        help="of: " + ", ".join([*STRATEGIES, "without FACTOR", "taught without FACTOR"]),
    )
    parser.add_argument("--at-once", action="store_true", help="send only the last request of each conversation")
    parser.add_argument("--model", default="off", help="embedding model: a directory or a name; off: similarity by words")
    parser.add_argument("--kind", default="agent")
    parser.add_argument("--limit", type=int, help="at most so many conversations, evenly from all files")
    parser.add_argument("--most-messages", type=int, help="pass over longer conversations")
    parser.add_argument("--verbose", action="store_true", help="print the visible share of each conversation")
    sys.exit(asyncio.run(run(parser.parse_args())))


if __name__ == "__main__":
    main()
