"""How fast the pipeline is here: `make bench`. One process, the demo's tool outputs, the best of several runs."""

from __future__ import annotations

import argparse
import time

from headroom import pipeline
from headroom.cli.samples import Sample, samples
from headroom.model import Compressed, Policy, Segment
from headroom.tokens import Counter, counter


def measure(sample: Sample, count: Counter, runs: int) -> tuple[float, Compressed]:
    """Milliseconds of the quickest run, and its result."""
    segment = Segment(sample.output, (0, 0), tool=sample.tool, question=sample.question)
    best = float("inf")
    for _ in range(runs):
        started = time.perf_counter()
        (result,) = pipeline.compress([segment], Policy(), count)
        best = min(best, 1000 * (time.perf_counter() - started))
    return best, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--model", default="gpt-4o")
    arguments = parser.parse_args()
    count = counter(arguments.model)
    print(f"{'tool output':<22}{'KB':>8}{'ms':>9}{'MB/s':>8}{'before':>10}{'after':>9}  result")
    for sample in samples():
        ms, result = measure(sample, count, arguments.runs)
        size = len(sample.output.encode())
        became = result.label if result.text is not None else f"kept: {result.reason}"
        print(
            f"{sample.title:<22}{size / 1000:>8.0f}{ms:>9.1f}{size / 1000 / ms:>8.1f}"
            f"{result.tokens_before:>10,}{result.tokens_after:>9,}  {became}"
        )


if __name__ == "__main__":
    main()
