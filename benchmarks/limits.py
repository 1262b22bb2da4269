"""Limits over several processes: many concurrent requests against one limit a minute and one budget, at a running Headroom.

    python -m benchmarks.limits --embedded          # gunicorn with 4 workers, started here
    python -m benchmarks.limits --serve             # Ray Serve with 4 Ingress replicas, started here

The provider is a stand-in that bills a fixed usage. Prints what passed, what was refused by which limit, and whether the
sums in the store are those of what the stand-in billed, to the nanodollar.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import uvicorn

from headroom.limits.budget import slot_of
from headroom.outcome import Usage
from headroom.settings import Settings
from headroom.stats.prices import cost, dollars, nano
from headroom.store import open_store
from headroom.store.base import Draw

MODEL = "claude-sonnet-4-5"
USAGE = Usage(input_tokens=200, output_tokens=100)
OUTPUT = 100


class Billing:
    """Answers every request with the same usage, and counts them."""

    def __init__(self, delay_s: float) -> None:
        self.seen = 0
        self._delay_s = delay_s

    async def __call__(self, scope: dict, receive: object, send: object) -> None:  # type: ignore[type-arg]
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):  # type: ignore[operator]
            pass
        self.seen += 1
        await asyncio.sleep(self._delay_s)
        usage = {"input_tokens": USAGE.input_tokens, "output_tokens": USAGE.output_tokens}
        body = json.dumps({"id": "m", "type": "message", "role": "assistant", "content": [], "usage": usage}).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": body})  # type: ignore[operator]


@contextlib.asynccontextmanager
async def provider(delay_s: float):  # type: ignore[no-untyped-def]
    billing = Billing(delay_s)
    server = uvicorn.Server(uvicorn.Config(billing, host="127.0.0.1", port=free_port(), log_level="error"))  # type: ignore[arg-type]
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn tells nobody
        await asyncio.sleep(0.01)
    yield billing, f"http://127.0.0.1:{server.config.port}"
    server.should_exit = True
    await task


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def embedded(environment: dict[str, str], workers: int) -> Iterator[str]:
    port = free_port()
    command = [
        str(Path(sys.executable).parent / "gunicorn"),
        "headroom.proxy.server:app",
        f"--workers={workers}",
        "--worker-class=uvicorn.workers.UvicornWorker",
        f"--bind=127.0.0.1:{port}",
        "--log-level=error",
    ]
    process = subprocess.Popen(command, env=os.environ | environment)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def deployed(environment: dict[str, str], replicas: int) -> Iterator[str]:
    import ray
    from ray import serve

    os.environ.update(environment, RAY_USAGE_STATS_ENABLED="0")
    from serve_app.app import build
    from serve_app.args import AppArgs

    port = free_port()
    ray.init(num_cpus=8, object_store_memory=200_000_000, include_dashboard=False, log_to_driver=False, namespace="serve")
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
    scale = {"num_replicas": replicas, "ray_actor_options": {"num_cpus": 0.1}, "max_ongoing_requests": 400}
    args = AppArgs.model_validate({"ingress": scale, "compressor": {"ray_actor_options": {"num_cpus": 0.1}}})
    try:
        serve.run(build(args), name="headroom", route_prefix="/")
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()


async def until_ready(client: httpx.AsyncClient, url: str) -> None:
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if (await client.get(f"{url}/livez")).status_code == 200:
                return
        await asyncio.sleep(0.1)


async def measure(arguments: argparse.Namespace) -> None:
    each = cost("anthropic", MODEL, USAGE) or 0
    with tempfile.TemporaryDirectory() as home:
        environment = {
            "HEADROOM_HOME": home,
            "HEADROOM_RPM": str(arguments.rpm),
            "HEADROOM_BUDGET": str(arguments.budget),
            "HEADROOM_CALLERS": "open",
            "HEADROOM_STORE_URL": arguments.store,
        }
        async with provider(arguments.delay) as (billing, url):
            environment |= {"ANTHROPIC_TARGET_API_URL": url, "OPENAI_TARGET_API_URL": url}
            start = deployed if arguments.serve else embedded
            with start(environment, arguments.processes) as headroom:
                statuses, messages, took = await load(headroom, arguments.requests)
                await asyncio.sleep(1)  # what was billed is written down behind the answers
            report(arguments, statuses, messages, took, billing.seen, each, home)


async def load(url: str, requests: int) -> tuple[Counter[int], Counter[str], float]:
    body = {"model": MODEL, "max_tokens": OUTPUT, "messages": [{"role": "user", "content": "hello " * 150}]}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=120, limits=limits, trust_env=False) as client:
        await until_ready(client, url)
        began = time.perf_counter()
        answers = await asyncio.gather(*(client.post(f"{url}/v1/messages", json=body) for _ in range(requests)))
        took = time.perf_counter() - began
    refused = Counter(" ".join(answer.json()["error"]["message"].split()[:5]) for answer in answers if answer.status_code != 200)
    return Counter(answer.status_code for answer in answers), refused, took


def report(
    arguments: argparse.Namespace, statuses: Counter[int], messages: Counter[str], took: float, billed: int, each: int, home: str
) -> None:
    store = open_store(Settings.model_validate({"home": home, "store": {"url": arguments.store}}))
    charged = store.draw([Draw("budget:all:daily", slot_of("daily", time.time()), 0)]).totals[0]
    store.close()
    spent = billed * each
    print(f"{arguments.processes} processes, {arguments.requests} requests at once, {took:.1f} s: {dict(statuses)} {dict(messages)}")
    print(f"passed {billed} of {arguments.rpm} a minute; spent ${dollars(spent):.6f} of ${arguments.budget:.2f}, ${dollars(each):.6f} each")
    print(f"charged in the store ${dollars(charged):.9f}, billed ${dollars(spent):.9f}: {'equal' if charged == spent else 'DIFFERENT'}")
    within = billed <= arguments.rpm and spent <= nano(arguments.budget)
    print("neither is passed" if within else "A LIMIT IS PASSED")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true", help="Ray Serve instead of gunicorn")
    parser.add_argument("--embedded", action="store_true", help="gunicorn (the default)")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rpm", type=int, default=600)
    parser.add_argument("--budget", type=float, default=1.0, help="dollars")
    parser.add_argument("--delay", type=float, default=0.05, help="seconds that the provider takes")
    parser.add_argument("--store", default="", help="store.url; a SQLite file of its own without")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
