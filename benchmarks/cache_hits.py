"""How long a server takes to give an answer again: `python -m benchmarks.cache_hits --url URL [--requests 500] [--key KEY] [--semantic]`.

The first request goes to the provider behind the server, whatever it is; the others are measured,
one after the other over one connection, whole and streamed. With `--semantic`, for which the server needs an embedding model, also
answers to other wordings, no two alike, so that each takes a vector of its own; and how many of them were asked anew, because
their lookup was late.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
import uuid
from collections.abc import Iterator

import httpx

FIRST = "How do I close the main valve of the pump?"
WORDINGS = ("Could you tell me how to {}?", "What is the best way to {}?", "How can I {}?", "Please explain how to {}.")


def reworded() -> Iterator[str]:
    """The question in other words, with blanks as nobody has set them before."""
    for number in itertools.count(random.randrange(1 << 14)):
        words = WORDINGS[number % len(WORDINGS)].format("close the main valve of the pump").split(" ")
        yield "".join(word + " " * (1 + (number >> 2 * place) % 4) for place, word in enumerate(words)).strip()


def measured(client: httpx.Client, url: str, requests: int, stream: bool, questions: Iterator[str], kind: str) -> tuple[list[float], int]:
    """Milliseconds of each hit of this kind, sorted, and how many requests were none since the first that was."""
    system = {"role": "system", "content": f"This is run {uuid.uuid4()}."}
    spent: list[float] = []
    others = 0
    while len(spent) < requests:
        messages = [system, {"role": "user", "content": next(questions)}]
        body = {"model": "gpt-4o", "temperature": 0, "stream": stream, "messages": messages}
        begun = time.perf_counter()
        answer = client.post(f"{url}/v1/chat/completions", json=body)
        took = 1000 * (time.perf_counter() - begun)
        answer.raise_for_status()
        if answer.headers["x-headroom-cache"] == f"hit-{kind}":
            spent.append(took)
        elif spent:
            others += 1
        else:
            time.sleep(0.1)  # until the model is loaded, and the first question known
    return sorted(spent), others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--key", default="benchmark")
    parser.add_argument("--semantic", action="store_true")
    args = parser.parse_args()
    wordings = reworded()
    with httpx.Client(headers={"authorization": f"Bearer {args.key}"}, timeout=60) as client:
        for kind, stream in itertools.product(("exact", "semantic") if args.semantic else ("exact",), (False, True)):
            questions = itertools.chain([FIRST], wordings) if kind == "semantic" else itertools.repeat(FIRST)
            spent, others = measured(client, args.url, args.requests, stream, questions, kind)
            p50, p99 = spent[len(spent) // 2], spent[int(0.99 * (len(spent) - 1))]
            asked = f"  asked anew {others}" if kind == "semantic" else ""
            print(f"{kind:8}  {'streamed' if stream else 'whole':8}  hits {len(spent)}  p50 {p50:.2f} ms  p99 {p99:.2f} ms{asked}")


if __name__ == "__main__":
    main()
