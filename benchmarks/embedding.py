"""How fast embeddings are: new texts per second on one core, by length, and how long known ones take.

`python -m benchmarks.embedding [MODEL] [--engine torch]`, a directory or a name of the hub, by default the settings' own. Seconds
are of the processor, summed over its threads. Texts of prose; a window of 256 tokens holds about 1,300 characters of it.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.generated import text
from headroom.model import ModelSpec
from headroom.scoring.embedding import Embedder, EmbeddingMemo, Made, joined, onnx_file
from headroom.settings import load

LENGTHS = (60, 100, 400, 1_300, 4_000)  # characters
NEW = 128
ALONE = 8
KNOWN = 10_000
RUNS = 5


def new_texts(embedder: Embedder, runs: int) -> Table:
    """Texts per second that were never seen, together and one at a time."""
    table = Table("characters", "texts/s per core", "ms per text", "ms of one alone", title="new texts")
    for length in LENGTHS:
        took, alone = [], []
        for run in range(runs + 1):
            texts = [text("prose", length, f"{length}-{run}-{n}")[:length] for n in range(NEW)]
            started = time.process_time()
            embedder(texts)
            took.append(time.process_time() - started)
            for one in texts[:ALONE]:
                started = time.process_time()
                embedder([f"{one[:-1]}!"])
                alone.append(time.process_time() - started)
        median = statistics.median(took[1:])
        table.add_row(f"{length:,}", f"{NEW / median:,.0f}", f"{1000 * median / NEW:.1f}", f"{1000 * statistics.median(alone):.1f}")
    return table


def known_texts(dimensions: int, runs: int) -> Table:
    """Microseconds for a text whose vector is remembered, together with others and alone."""
    table = Table("characters", "µs per text, 10,000 at once", "µs per text, one at a time", title=f"{KNOWN:,} known texts")
    for length in LENGTHS[1:4]:
        texts = [f"{n} {text('prose', length, 'known')}"[:length] for n in range(KNOWN)]
        memo = EmbeddingMemo(KNOWN)
        memo.remember(memo.lookup(texts), Made("", np.ones((KNOWN, dimensions), np.float32)))
        together, alone = [], []
        for _ in range(runs):
            started = time.perf_counter()
            joined(memo.lookup(texts))
            middle = time.perf_counter()
            for known in texts:
                joined(memo.lookup([known]))
            together.append(middle - started)
            alone.append(time.perf_counter() - middle)
        table.add_row(f"{length:,}", *(f"{1e6 * statistics.median(took) / KNOWN:.1f}" for took in (together, alone)))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=load().scoring.model)
    parser.add_argument("--engine", default="auto", choices=("auto", "onnx", "torch"))
    parser.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    started = time.perf_counter()
    spec = ModelSpec(options.model, options.device, options.batch_size, engine=options.engine)
    embedder = Embedder(spec)
    console = Console()
    console.print(onnx_file(spec) or "torch")
    console.print(f"loaded in {time.perf_counter() - started:.1f} s; {embedder.dimensions} dimensions, window {embedder.window} tokens")
    console.print(new_texts(embedder, options.runs))
    console.print(known_texts(embedder.dimensions, options.runs))


if __name__ == "__main__":
    main()
