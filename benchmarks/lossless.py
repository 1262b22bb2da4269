"""What lossless compression saves on real conversations, and whether every result decodes to what came in.

`python -m benchmarks.lossless DATA`, conversations as `benchmarks.corpus` reads them. Exit code 1 when a text does not come
back. References to what stands earlier in the conversation are not made here.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

from benchmarks import corpus
from headroom import pipeline
from headroom.compressors import decode
from headroom.conversation import read_conversation
from headroom.dialects import dialect_of
from headroom.dialects.base import read_call
from headroom.model import Compressed, Policy, Segment
from headroom.tokens import counter

_POLICY = Policy(fidelity="lossless")
_COUNT = counter()


def segments(talk: corpus.Conversation) -> tuple[tuple[Segment, ...], int]:
    """The texts of a conversation that may become smaller, and the tokens of all its texts."""
    body = {"model": "gpt-4o", "messages": talk.messages} | ({"system": talk.system or ""} if talk.format == "anthropic" else {})
    call = read_call("", json.dumps(body).encode())
    dialect = dialect_of(call)
    return read_conversation(dialect, call, _POLICY, "").segments, sum(map(_COUNT.count, dialect.texts(call)))


def fault(segment: Segment, result: Compressed) -> str:
    """Why the result is not the segment's text again; empty when it is."""
    assert result.text is not None
    try:
        decoded = decode.decode(result.transform, result.text)
    except (KeyError, ValueError) as failure:
        return f"does not decode: {failure!r}"
    if decoded != decode.original(result.transform, segment.text):
        return "decodes to something else"
    if result.transform == "smart_crusher" and (differs := _differs(segment.text, decoded)):
        return differs
    return ""


def _differs(text: str, decoded: str) -> str:
    """A second opinion on one JSON document, by the standard library."""
    try:
        before = json.loads(text)
    except ValueError:
        return ""
    return "" if json.dumps(before) == json.dumps(json.loads(decoded)) else "JSON differs"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a .jsonl file of conversations, or a directory of them")
    parser.add_argument("--limit", type=int, help="at most so many conversations, evenly from all files")
    parser.add_argument("--labels", action="store_true", help="one row per kind and label")
    arguments = parser.parse_args()
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    seconds, chars, faults = 0.0, 0, 0
    for talk in corpus.conversations(arguments.data, arguments.limit):
        kind = talk.kind
        found, tokens = segments(talk)
        started = time.process_time()
        results = pipeline.compress(found, _POLICY, _COUNT)
        seconds += time.process_time() - started
        chars += sum(len(segment.text) for segment in found)
        sums[kind] += Counter(n=1, tokens=tokens)
        for segment, result in zip(found, results, strict=True):
            if result.text is None:
                continue
            row = Counter(changed=1, saved=result.tokens_saved)
            sums[kind] += row
            if arguments.labels:
                sums[f"{kind} {result.transform}"] += row + Counter(tokens=result.tokens_before)
            if problem := fault(segment, result):
                faults += 1
                sums[kind]["failures"] += 1
                print(f"{talk.id}, {result.label}, {result.hash}: {problem}", file=sys.stderr)
    _print(sums)
    print(f"{chars / 1e6 / max(seconds, 1e-9):.1f} MB/s, token counts included")
    return 1 if faults else 0


def _print(sums: dict[str, Counter[str]]) -> None:
    whole = sum((row for kind, row in sums.items() if " " not in kind), Counter[str]())
    print(f"{'kind':<24}{'n':>6}{'changed':>9}{'tokens':>11}{'saved %':>9}{'failures':>10}")
    for kind, row in [*sorted(sums.items()), ("all", whole)]:
        share = 100 * row["saved"] / max(1, row["tokens"])
        print(f"{kind:<24}{row['n']:>6}{row['changed']:>9}{row['tokens']:>11,}{share:>9.1f}{row['failures']:>10}")


if __name__ == "__main__":
    sys.exit(main())
