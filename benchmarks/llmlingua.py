"""LLMLingua-2: tokens per second of our loop and of llmlingua.PromptCompressor, on the same weights, in one run.

`python -m benchmarks.llmlingua [MODEL]`; without a MODEL random weights of the published sizes (`--family`, `--tiny` for a quick look).
A batch of 32 prose texts at rate 0.5. Ours runs twice: in the library's precision, and in the one that suits the device. Seconds
are of the wall by default, of the processor (all threads) with `--cpu-time`, which another load on the machine does not touch.
On a GPU the share of its peak is that of the multiplications of the layers: `--peak` TFLOP/s, by default those of an H100 in bfloat16.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from headroom import tokens
from headroom.cli.llmlingua_check import prompt_compressor
from headroom.cli.llmlingua_texts import KINDS, many, text
from headroom.compressors.llmlingua.classifier import Classifier, find, parameters
from headroom.compressors.llmlingua.pruner import Pruner
from headroom.compressors.llmlingua.worth import break_even
from headroom.model import Passage, PrunerSpec

TEXTS, RATE = 32, 0.5
PEAK = 989.0  # TFLOP/s of an H100 in bfloat16, dense


def batch(sentences: int) -> list[str]:
    """English prose of about so many sentences a text, from half to twice of that."""
    return [text("en", KINDS[n % len(KINDS)], max(2, sentences // 2 + n * sentences * 3 // (2 * TEXTS)), n) for n in range(TEXTS)]


def timed(work: Callable[[], object], runs: int, clock: Callable[[], float]) -> float:
    """Median seconds, one run before not counted."""
    took = []
    for _ in range(runs + 1):
        started = clock()
        work()
        took.append(clock() - started)
    return statistics.median(took[1:])


def directory_of(options: argparse.Namespace, place: Path) -> Path:
    if options.model:
        found = find(options.model)
        if found is None:
            raise SystemExit(
                f"{options.model} is not on this machine: `hf download {options.model}`, or name a directory that holds a model"
            )
        return found
    from tests.lingua_models import SIZES, make

    size = SIZES[options.family] | ({"num_hidden_layers": options.layers} if options.layers else {})
    return make(place, options.family, many(108), None if options.tiny else size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--family", default="bert-base-multilingual-cased", choices=("bert-base-multilingual-cased", "xlm-roberta-large"))
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--layers", type=int, help="of the random weights, if not as many as published")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--sentences", type=int, default=24, help="of a text, on average; 24 are about 600 tokens")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--peak", type=float, default=PEAK)
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    clock = time.process_time if options.cpu_time else time.perf_counter
    count = tokens.counter().count
    texts = batch(options.sentences)
    size = sum(map(count, texts))
    console = Console(width=130)
    with tempfile.TemporaryDirectory() as place:
        directory = directory_of(options, Path(place))
        table = Table("", "dtype", "s", "tokens/s", "times", "forward pass %", "TFLOP/s", "% of peak")
        with prompt_compressor(Classifier(PrunerSpec(str(directory), options.device, "float32")), directory, options.device) as theirs:
            base = timed(lambda: theirs.compress_prompt(texts, rate=RATE), options.runs, clock)
        table.add_row(
            "llmlingua.PromptCompressor", "float32" if options.device == "cpu" else "auto", f"{base:.2f}", f"{size / base:,.0f}", "1.0"
        )
        speeds = []
        for dtype in ("float32", "auto"):
            pruner = Pruner(PrunerSpec(str(directory), options.device, dtype), count)  # type: ignore[arg-type]
            model = pruner.classifier
            took = timed(lambda pruner=pruner: pruner([Passage(one, rate=RATE) for one in texts]), options.runs, clock)  # type: ignore[misc]
            begun, spent = time.perf_counter(), model.forward_s
            pruner([Passage(one, rate=RATE) for one in texts])
            share = (model.forward_s - spent) / (time.perf_counter() - begun)
            ids = sum(len(one.ids) for one in model.tokens(texts))
            flops = 2e-12 * parameters(directory) * ids / took
            name = str(model.dtype).removeprefix("torch.")
            peak = f"{100 * flops / options.peak:.1f}" if options.device == "cuda" else ""
            row = (f"{took:.2f}", f"{size / took:,.0f}", f"{base / took:.1f}", f"{100 * share:.0f}", f"{flops:.2f}", peak)
            table.add_row("headroom", name, *row)
            speeds.append((name, pruner.warm_up(runs=3)))
        table.title = f"{TEXTS} texts, {size:,} tokens (o200k), {model.family}, {parameters(directory) / 1e6:.0f} M in its layers"
        console.print(table)
        for name, speed in speeds:
            least = break_even(speed, 0.3)
            console.print(
                f"{options.device} {name}: {speed.fixed_ms:.1f} ms + {speed.token_ms:.3f} ms/token; at rate 0.3 pays from {least} tokens"
            )


if __name__ == "__main__":
    main()
