"""What lossless compression saves on real conversations, and whether every result decodes to what came in.

`python -m benchmarks.lossless DATA [...]`: files of JSON lines, or folders of them, each line an object with
`messages` and, as it may be, `system` and `kind`. Exit code 1 when a text does not come back.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headroom import pipeline
from headroom.compressors import decode
from headroom.conversation import read_conversation
from headroom.dialects import dialect_of
from headroom.dialects.base import read_call
from headroom.model import Compressed, Policy, Segment
from headroom.tokens import counter

_POLICY = Policy(fidelity="lossless")
_COUNT = counter()


def conversations(paths: list[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(kind, request body) of every line; the kind is the file's name where the line has none."""
    for path in paths:
        for file in sorted(path.glob("**/*.jsonl")) if path.is_dir() else [path]:
            for line in file.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                body = {"model": "gpt-4o", "messages": record["messages"]}
                if record.get("format") == "anthropic":
                    body["system"] = record.get("system") or ""
                yield str(record.get("kind") or file.stem), body


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
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--labels", action="store_true", help="one row per kind and label")
    arguments = parser.parse_args()
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    seconds, chars, faults = 0.0, 0, 0
    for number, (kind, body) in enumerate(conversations(arguments.data), 1):
        call = read_call("", json.dumps(body).encode())
        dialect = dialect_of(call)
        segments = read_conversation(dialect, call, _POLICY, "").segments
        started = time.process_time()
        results = pipeline.compress(segments, _POLICY, _COUNT)
        seconds += time.process_time() - started
        chars += sum(len(segment.text) for segment in segments)
        sums[kind] += Counter(n=1, tokens=sum(map(_COUNT.count, dialect.texts(call))))
        for segment, result in zip(segments, results, strict=True):
            if result.text is None:
                continue
            row = Counter(changed=1, saved=result.tokens_saved)
            sums[kind] += row
            if arguments.labels:
                sums[f"{kind} {result.transform}"] += row + Counter(tokens=result.tokens_before)
            if problem := fault(segment, result):
                faults += 1
                sums[kind]["failures"] += 1
                print(f"conversation {number}, {result.label}, {result.hash}: {problem}", file=sys.stderr)
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
