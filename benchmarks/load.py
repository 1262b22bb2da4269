"""What the way through a gateway costs: `python -m benchmarks.load [--other NAME=URL[@PID]]...`

Starts a stand-in provider (--port) and `headroom proxy` before it, and measures it and the others beside the direct way, taking turns.
Others are servers that are already running and forward to http://127.0.0.1:PORT; with a PID the processor time of its process tree is
told. `--own URL[@PID]` is a Headroom that is already running, such as `headroom serve configs/prod.yaml`.

latency   one connection, per size of body, warm: time to the first byte above the direct way, pair by pair.
open      requests arrive by chance, --rate a second, mixed bodies, whoever is still waiting: time to the first byte since the request
          was due, and requests per second of processor time; first with bodies that nobody has seen, then with the same again.
streams   --streams at once, a chunk every 20 ms, alone and while 1 MB prompts are compressed: jitter is how much the gap between two
          chunks has changed on the way. The prompts come from a process of their own; beside the direct way they go through our server.
growth    one conversation from turn to turn, --turns of --turn-chars each: milliseconds that a turn adds by its place, and turns per
          second of processor time.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import generated
from benchmarks.over_http import percentile
from benchmarks.stamping import END, STAMP, await_answer, order, provider

SIZES_KB = (5, 100, 1000, 2000)
_HEADERS = {"x-api-key": "benchmark", "anthropic-version": "2023-06-01", "content-type": "application/json"}


@dataclass(slots=True)
class Target:
    """`pid` is the root of its process tree, 0 where nobody said; `home` is the directory of its files where it is known."""

    name: str
    url: str
    pid: int = 0
    home: str = ""
    _client: aiohttp.ClientSession | None = None

    @property
    def client(self) -> aiohttp.ClientSession:
        """That of the event loop which uses it first. A pool of httpx looks at all of its connections for each request, so hundreds that
        were slow once make all that follow slow."""
        if self._client is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_read=120)
            self._client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout, auto_decompress=False)
        return self._client

    async def close(self) -> None:
        """Its connections; the next request opens new ones."""
        if self._client is not None:
            await self._client.close()
        self._client = None

    def cpu_s(self) -> float:
        """Processor time of the tree so far."""
        if not self.pid:
            return 0.0
        root = psutil.Process(self.pid)
        return sum(sum(process.cpu_times()[:2]) for process in [root, *root.children(recursive=True)])


@dataclass(slots=True)
class Answer:
    """Milliseconds to the first byte and of the whole; `gaps` are jitters of the chunks, in ms."""

    first_ms: float
    whole_ms: float
    jitter_ms: list[float]
    error: str = ""


def body(kb: int, seed: str, chunks: int = 1, gap_ms: int = 0, turns: int = 0, turn_chars: int = 8000) -> bytes:
    """A conversation of about `kb` in which an agent read tool outputs; with `turns` it has gone on so often, by a log of `turn_chars`."""
    rows = generated.text("json", 1000 * kb, seed)
    messages = generated.conversation("json", rows)
    for turn in range(turns):
        _, call, printed = generated.conversation("log", generated.text("log", turn_chars, f"{seed} {turn}"))
        call["tool_calls"][0]["id"] = printed["tool_call_id"] = f"call_{turn + 2}"
        messages += [call, printed]
    order_of = order(chunks, gap_ms)
    request = {"metadata": order_of, "model": "claude-sonnet-4-5", "max_tokens": 64, "stream": True, "messages": _anthropic(messages)}
    return json.dumps(request).encode()


def _anthropic(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Chat messages as Anthropic's: a tool's output is a result block in a user's message."""
    found: list[dict[str, Any]] = []
    for message in messages:
        calls = message.get("tool_calls") or ()
        if calls:
            uses = [
                {"type": "tool_use", "id": c["id"], "name": c["function"]["name"], "input": json.loads(c["function"]["arguments"])}
                for c in calls
            ]
            found.append({"role": "assistant", "content": uses})
        elif message["role"] == "tool":
            result = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": message["content"]}
            found.append({"role": "user", "content": [result]})
        elif message["role"] != "system":
            found.append({"role": message["role"], "content": message["content"]})
    return found


async def ask(target: Target, content: bytes, due: float | None = None) -> Answer:
    """One streamed request; times count from `due`, a moment of `time.perf_counter`, else from now."""
    begun = due if due is not None else time.perf_counter()
    first = 0.0
    sent: list[tuple[float, float]] = []
    tail = b""
    try:
        async with target.client.post(f"{target.url}/v1/messages", data=content, headers=_HEADERS) as reply:
            async for part in reply.content.iter_any():
                now = time.time()
                first = first or time.perf_counter()
                sent += [(int(stamp[1]) / 1e6, now) for stamp in STAMP.finditer(part)]
                tail = (tail + part)[-200:]
            error = "" if reply.status == HTTPStatus.OK and END in tail else f"{reply.status}: {tail[:80]!r}"
    except (aiohttp.ClientError, TimeoutError) as failure:
        error = repr(failure)
    ended = time.perf_counter()
    jitter = [1000 * abs((b[1] - a[1]) - (b[0] - a[0])) for a, b in itertools.pairwise(sent)]
    return Answer(1000 * ((first or ended) - begun), 1000 * (ended - begun), jitter, error)


async def latency(targets: Sequence[Target], args: argparse.Namespace) -> Table:
    table = _table("Added to the first byte, one connection, warm (ms)", "body", *_heads(targets[1:], "p50", "p99"), "errors")
    for kb in SIZES_KB:
        contents = [body(kb, f"latency {args.seed} {kb} {n}") for n in range(args.bodies)]
        added: dict[str, list[float]] = {target.name: [] for target in targets}
        errors = 0
        for content in contents:
            for target in targets:
                errors += bool((await ask(target, content)).error)  # cold
            for _ in range(args.repeats):
                direct, *others = [await ask(target, content) for target in targets]
                for target, answer in zip(targets[1:], others, strict=True):
                    errors += bool(answer.error)
                    added[target.name].append(answer.first_ms - direct.first_ms)
        table.add_row(f"{kb} KB", *_cells(added[target.name] for target in targets[1:]), str(errors))
    return table


async def open_loop(targets: Sequence[Target], args: argparse.Namespace) -> Table:
    heads = ("requests", "errors", "first byte p50", "p99", "CPU ms per request", "requests per s of CPU")
    table = _table(f"Open loop, {args.rate} requests a second, mixed bodies (ms)", "", *heads)
    chance = random.Random(args.seed)
    kinds = chance.choices((5, 20, 100, 500), weights=(4, 4, 3, 1), k=int(args.rate * args.seconds))
    contents = [body(kb, f"open {args.seed} {n % 40}", chunks=4, gap_ms=50, turns=n % 3) for n, kb in enumerate(kinds)]
    gaps = [chance.expovariate(args.rate) for _ in contents]
    for target, state in itertools.product(targets, ("cold", "warm")):
        before, answers = target.cpu_s(), await _arriving(target, contents, gaps)
        spent = 1000 * (target.cpu_s() - before) / len(answers)
        ok = [answer.first_ms for answer in answers if not answer.error]
        cpu = (f"{spent:.1f}", f"{1000 / spent:.0f}") if spent else ("", "")
        table.add_row(f"{target.name}, {state}", str(len(answers)), str(len(answers) - len(ok)), *_cells([ok]), *cpu)
    return table


async def _arriving(target: Target, contents: Sequence[bytes], gaps: Sequence[float]) -> list[Answer]:
    due = time.perf_counter()
    tasks: list[asyncio.Task[Answer]] = []
    for content, gap in zip(contents, gaps, strict=True):
        due += gap
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(ask(target, content, due)))
    return await asyncio.gather(*tasks)


async def streams(targets: Sequence[Target], args: argparse.Namespace) -> Table:
    heads = ("jitter p50", "p99", "under compression p50", "p99", "prompts", "errors")
    table = _table(f"{args.streams} streams, a chunk every 20 ms (ms)", "", *heads)
    chunks = int(args.seconds / 0.02)
    for target in targets:
        alone = await _streaming(target, args, chunks)
        with _prompts((target if target is not targets[0] else targets[1]).url, args) as sent:
            await target.close()  # making the prompts took longer than some servers keep a connection
            busy = await _streaming(target, args, chunks)
            prompts = sent.value
        jitters = ([jitter for answer in some for jitter in answer.jitter_ms] for some in (alone, busy))
        table.add_row(target.name, *_cells(jitters), str(prompts), str(sum(bool(answer.error) for answer in [*alone, *busy])))
    return table


async def _streaming(target: Target, args: argparse.Namespace, chunks: int) -> list[Answer]:
    contents = [body(5, f"stream {args.seed} {n}", chunks, 20) for n in range(args.streams)]
    return await asyncio.gather(*(ask(target, content) for content in contents))


@contextmanager
def _prompts(url: str, args: argparse.Namespace) -> Iterator[Any]:
    """New prompts of 1 MB go to `url`, one after the other, from another process; the number of those that were answered."""
    context = multiprocessing.get_context("spawn")
    ready, sent = context.Event(), context.Value("i", 0)
    process = context.Process(target=_send_prompts, args=(url, f"{args.seed} {time.time()}", args.prompts, ready, sent), daemon=True)
    process.start()
    ready.wait()
    try:
        yield sent
    finally:
        process.terminate()
        process.join()


def _send_prompts(url: str, seed: str, different: int, ready: Any, sent: Any) -> None:
    contents = [body(1000, f"load {seed} {number}") for number in range(different)]
    ready.set()

    async def send() -> None:
        target = Target("", url)
        for content in contents:
            if error := (await ask(target, content)).error:
                print(f"a prompt was not answered: {error}", file=sys.stderr)
            sent.value += 1
        await target.close()

    asyncio.run(send())


async def growth(targets: Sequence[Target], args: argparse.Namespace) -> Table:
    places = sorted({max(1, args.turns * sixth // 6) for sixth in (0, 1, 2, 4, 6)})
    title = f"Added by the turn of a conversation that grows by {args.turn_chars / 1000:g} KB a turn (ms)"
    table = _table(title, "turn", *(t.name for t in targets[1:]))
    added: dict[tuple[str, int], float] = {}
    for target in targets:
        await ask(target, body(20, f"before {args.seed}"))
    await asyncio.sleep(5)  # what a server does once, when it has started, is not its turns'
    before = [target.cpu_s() for target in targets[1:]]
    for turn in range(1, places[-1] + 1):
        content = body(20, f"growth {args.seed}", turns=turn, turn_chars=args.turn_chars)
        direct, *others = [await ask(target, content) for target in targets]
        for target, answer in zip(targets[1:], others, strict=True):
            added[target.name, turn] = answer.first_ms - direct.first_ms
    for place in places:
        near = range(max(1, place - 2), min(place + 2, places[-1]) + 1)
        table.add_row(str(place), *(f"{sorted(added[t.name, turn] for turn in near)[len(near) // 2]:.1f}" for t in targets[1:]))
    spent = [target.cpu_s() - was for target, was in zip(targets[1:], before, strict=True)]
    table.add_row("turns per s of CPU", *(f"{places[-1] / seconds:.0f}" if seconds else "" for seconds in spent))
    return table


def _table(title: str, *heads: str) -> Table:
    table = Table(title=title)
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number == 0 else "right")
    return table


def _heads(targets: Sequence[Target], *figures: str) -> list[str]:
    return [f"{target.name} {figure}" for target in targets for figure in figures]


def _cells(samples: Iterator[list[float]] | Sequence[list[float]]) -> Iterator[str]:
    """p50 and p99 of each."""
    for values in samples:
        for percent in (50, 99):
            yield f"{percentile(values, percent):.1f}" if values else ""


def named(text: str, name: str = "") -> Target:
    if not name:
        name, _, text = text.partition("=")
    url, _, pid = text.partition("@")
    return Target(name, url.rstrip("/"), int(pid or 0))


@contextmanager
def own_proxy(upstream: str, port: int) -> Iterator[Target]:
    """`headroom proxy` with a home of its own."""
    with (
        tempfile.TemporaryDirectory() as home,
        started(home, port, "proxy", "--port", str(port), "--no-rate-limit", "--anthropic-api-url", upstream) as target,
    ):
        yield target


@contextmanager
def started(home: str, port: int, *words: str, quiet: bool = False, **environment: str) -> Iterator[Target]:
    """A command of `headroom` that serves on a port, once it answers; `quiet` also drops its log."""
    command, environment = [Path(sys.executable).with_name("headroom"), *words], {**os.environ, "HEADROOM_HOME": home, **environment}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL if quiet else None)
    try:
        await_answer(f"http://127.0.0.1:{port}/readyz", process)
        yield Target("headroom", f"http://127.0.0.1:{port}", process.pid, home)
    finally:
        process.terminate()
        process.wait()


_PARTS: dict[str, Callable[[Sequence[Target], argparse.Namespace], Awaitable[Table]]] = {
    "latency": latency,
    "open": open_loop,
    "streams": streams,
    "growth": growth,
}


async def _measure(targets: Sequence[Target], args: argparse.Namespace) -> None:
    for part in args.parts or _PARTS:
        Console().print(await _PARTS[part](targets, args))
    for target in targets:
        await target.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(_PARTS) + " (default: all)")
    parser.add_argument("--port", type=int, default=9900, help="of the stand-in provider; the next one is our own server's")
    parser.add_argument("--own", metavar="URL[@PID]")
    parser.add_argument("--other", metavar="NAME=URL[@PID]", action="append", default=[])
    parser.add_argument("--bodies", type=int, default=5, help="different ones per size")
    parser.add_argument("--repeats", type=int, default=20, help="of each body, warm")
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--prompts", type=int, default=100, help="different ones of 1 MB beside the streams, at most")
    parser.add_argument("--turns", type=int, default=60, help="of the conversation that grows")
    parser.add_argument("--turn-chars", type=int, default=8000, help="that each adds")
    parser.add_argument("--seconds", type=float, default=10, help="that an open loop, or a stream, lasts")
    parser.add_argument("--seed", default=str(time.time_ns()))
    args = parser.parse_args()
    if unknown := set(args.parts) - set(_PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    with ExitStack() as stack:
        direct = Target("direct", stack.enter_context(provider(args.port)))
        own = named(args.own, "headroom") if args.own else stack.enter_context(own_proxy(direct.url, args.port + 1))
        asyncio.run(_measure([direct, own, *map(named, args.other)], args))


if __name__ == "__main__":
    main()
