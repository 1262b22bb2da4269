"""The semantic index with many entries in one namespace: how long a lookup takes, how much it misses, how much memory it wants.

`python -m benchmarks.semantic_index [MODEL] [--entries 100000] [--texts 4000] [--minutes 0]`. Vectors are of real questions, embedded
by the model, and of those the others are made: a real one with noise added, so that neighbourhoods are as dense as those of texts.
A lookup is the whole of it, candidates and the check of their words. With `--minutes`, three threads look up while one adds, drops,
builds anew and saves for so long; a fault ends the process, a wrong answer is counted.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import gc
import itertools
import random
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.cache_questions import HALVES, WORDS
from headroom.cache import snapshot
from headroom.cache.semantic import Bounds, Entry, Query, SemanticIndex
from headroom.model import ModelSpec
from headroom.scoring.embedding import Embedder
from headroom.settings import load
from headroom.store.vault import Seal

THRESHOLD = 0.8
ASKED = 2000
NOISE = 0.35  # of a row's length: cosines of about 0.94 to the question it is made of
Rows = NDArray[np.float32]


def questions(count: int) -> list[str]:
    """Different ones, in many words."""
    draw, made = random.Random(3), dict[str, None]()
    templates = [template for half in HALVES for template in WORDS["same"]["task"][half]]
    nouns = [row[2] for row in WORDS["tasks"]]
    while len(made) < count:
        verb, gerund, thing = draw.choice(WORDS["tasks"])
        other = draw.choice(nouns)
        made[f"{draw.choice(templates).format(v=verb, g=gerund, o=thing)[:-1]} or {other} in {draw.randrange(1990, 2030)}?"] = None
    return list(made)


def perturbed(real: Rows, count: int, seed: int) -> Rows:
    draw = np.random.default_rng(seed)
    made = real[draw.integers(len(real), size=count)]
    noise = draw.normal(size=made.shape).astype(np.float32)
    made = made + NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def text_of(number: int) -> str:
    return f"How do I repair part number {number} of the pump?"


def entry(number: int, row: Rows) -> Entry:
    return Entry("n", "ada", f"{number:064x}", text_of(number), time.time(), row)


def resident() -> int:
    """Bytes of memory of this process, without what was freed and not given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = Path("/proc/self/statm").read_text().split()[1]
    return 4096 * int(pages)


def filled(rows: Rows, console: Console) -> SemanticIndex:
    index = SemanticIndex(Bounds(2 * len(rows), 10**12, 10**9))
    before, began = resident(), time.process_time()
    for number, row in enumerate(rows):
        index.apply(number + 1, entry(number, row))
    spent = time.process_time() - began
    console.print(
        f"{len(rows):,} entries of {rows.shape[1]} dimensions added in {spent:.0f} s of one core, {1000 * spent / len(rows):.2f} ms each"
    )
    taken = (resident() - before) / len(rows)
    console.print(
        f"memory: {taken:,.0f} bytes an entry measured (capacity of the next doubling included), {index.bytes / len(rows):,.0f} estimated"
    )
    return index


def looked_up(index: SemanticIndex, rows: Rows, asked: Rows, console: Console) -> None:
    """Recall against comparing all, and how long a lookup takes."""
    (space,) = [space for _, space in index.spaces()]
    best = np.concatenate([np.argmax(part @ rows.T, axis=1) for part in np.array_split(asked, 20)])
    found = [space.vectors.search(row, 1)[0][0] for row in asked]
    recall = float(np.mean([one == other for one, other in zip(found, best, strict=True)]))
    wall, processor = [], []
    for number, row in zip(best, asked, strict=True):
        query = Query("n", f"What is the best way to repair part number {number} of the pump?", row, THRESHOLD)
        began, spent = time.perf_counter(), time.thread_time()
        index.find(query)
        wall.append(1000 * (time.perf_counter() - began))
        processor.append(1000 * (time.thread_time() - spent))
    console.print(f"recall@1 against exact search: {recall:.4f} of {len(asked):,}")
    for name, times in (("wall", wall), ("processor", processor)):
        p50, p99 = np.percentile(times, [50, 99])
        console.print(f"lookup, {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms")


def saved(index: SemanticIndex, console: Console) -> None:
    with tempfile.TemporaryDirectory() as directory:
        began = time.process_time()
        snapshot.save(index, Path(directory), Seal())
        middle = time.process_time()
        again = SemanticIndex(Bounds(10**9, 10**12, 10**9))
        assert snapshot.load(again, Path(directory), Seal())
        size = (Path(directory) / snapshot.NAME).stat().st_size
        console.print(
            f"snapshot: {size / 1e6:,.0f} MB, saved in {middle - began:.1f} s of one core, loaded in {time.process_time() - middle:.1f} s"
        )


def stressed(rows: Rows, minutes: float, console: Console) -> None:
    """Threads that look up while one changes everything."""
    faulthandler.enable()
    index = SemanticIndex(Bounds(len(rows) // 2, 10**12, 10**9))
    ends, wrong, asked = time.monotonic() + 60 * minutes, [0], [0, 0, 0]

    def ask(place: int) -> None:
        draw = random.Random(place)
        while time.monotonic() < ends:
            number = draw.randrange(len(rows))
            found = index.find(Query("n", text_of(number), rows[number], THRESHOLD))
            asked[place] += 1
            wrong[0] += found is not None and found.text != text_of(number)

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(asked))]
    for thread in threads:
        thread.start()
    added, rebuilt, kept = 0, 0, 0
    with tempfile.TemporaryDirectory() as directory:
        for added in itertools.count(1):
            if time.monotonic() >= ends:
                break
            number = added % len(rows)
            index.apply(added, entry(number, rows[number]))
            if added % 2000 == 0:
                rebuilt += sum(1 for namespace in index.worn() if not index.rebuild(namespace))
                kept += bool(snapshot.save(index, Path(directory), Seal()))
    for thread in threads:
        thread.join()
    console.print(
        f"{minutes:g} minutes: {sum(asked):,} lookups while {added:,} were added, {rebuilt} graphs built anew, {kept} snapshots; "
        f"wrong answers {wrong[0]}, {index.entries:,} entries at the end"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=load().scoring.model)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--texts", type=int, default=4000)
    parser.add_argument("--minutes", type=float, default=0)
    chosen = parser.parse_args()
    console = Console(width=150)
    texts: Sequence[str] = questions(chosen.texts)
    real = Embedder(ModelSpec(chosen.model, "cpu"))(texts)
    if chosen.minutes:
        stressed(perturbed(real, chosen.entries, 1), chosen.minutes, console)
        return
    rows, asked = perturbed(real, chosen.entries, 1), perturbed(real, ASKED, 2)
    index = filled(rows, console)
    looked_up(index, rows, asked, console)
    saved(index, console)


if __name__ == "__main__":
    main()
