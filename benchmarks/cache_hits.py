"""How long a server takes to give an answer again: `python -m benchmarks.cache_hits --url URL [--requests 500] [--key KEY]`.

The first request goes to the provider behind the server, whatever it is; the others are measured,
one after the other over one connection, whole and streamed.
"""

from __future__ import annotations

import argparse
import time
import uuid

import httpx


def measured(client: httpx.Client, url: str, requests: int, stream: bool) -> list[float]:
    """Milliseconds of each hit, sorted."""
    question = f"Say something about {uuid.uuid4()}."
    body = {"model": "gpt-4o", "temperature": 0, "stream": stream, "messages": [{"role": "user", "content": question}]}
    spent: list[float] = []
    while len(spent) < requests:
        begun = time.perf_counter()
        answer = client.post(f"{url}/v1/chat/completions", json=body)
        took = 1000 * (time.perf_counter() - begun)
        answer.raise_for_status()
        if answer.headers["x-headroom-cache"] == "hit-exact":
            spent.append(took)
    return sorted(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--key", default="benchmark")
    args = parser.parse_args()
    with httpx.Client(headers={"authorization": f"Bearer {args.key}"}, timeout=60) as client:
        for stream in (False, True):
            spent = measured(client, args.url, args.requests, stream)
            p50, p99 = spent[len(spent) // 2], spent[int(0.99 * (len(spent) - 1))]
            print(f"{'streamed' if stream else 'whole':8}  hits {len(spent)}  p50 {p50:.2f} ms  p99 {p99:.2f} ms")


if __name__ == "__main__":
    main()
