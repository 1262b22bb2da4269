"""Whether a request, however mutated, ever becomes an error of ours: `python -m benchmarks.mutations --count 10000`.

The golden requests of every dialect are mutated at random (bytes, values, encodings, headers, routes) and sent to an
application in memory whose provider answers everything with 200. A 5xx can only be ours, and a refusal must have the
form of an error. What failed inside and was forwarded as it came counts too.

Exit status 1 when anything is wrong. The same seed gives the same requests.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.progress import track

from tests.mutations import failed_open, mutated, recorded, wrong
from tests.proxy.memory import Memory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="how many requests")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    draw, requests = random.Random(options.seed), recorded()
    statuses: Counter[int] = Counter()
    reasons: Counter[str] = Counter()
    failures = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        memory = Memory(Path(home), max_body_mb=1)
        for _ in track(range(options.count), "mutations"):
            request = mutated(draw, requests)
            answer = memory.ask(*request)
            statuses[answer.status] += 1
            failures += [(what, request) for what in [wrong(answer), *failed_open(memory.outcomes)] if what]
            for outcome in memory.outcomes:
                reasons.update({outcome.skip_reason, *outcome.reasons})
            memory.outcomes.clear()
            memory.provider.bodies.clear()
        memory.close()
    print(f"{options.count} requests in {time.monotonic() - began:.0f} s; by status: {dict(sorted(statuses.items()))}")
    print(f"reasons to leave as it came: {dict(reasons.most_common())}")
    print(f"errors of ours: {len(failures)}")
    for what, request in failures[:20]:
        print(f"  {what}: {request.path} {request.headers} {request.body[:300]!r}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
