"""How often the semantic answer cache gives an answer again where it should, and how often where it must not.

`python -m benchmarks.cache_quality MODEL [--engine torch] [--plot FILE] [--misses N]`. MODEL is the directory of
an embedding model, or a name of the hub. Each pair of `benchmarks.cache_questions` is one earlier question and one new; it is a
hit when the cosine of their vectors reaches the threshold and the check of the words (`headroom.cache.agreement`) finds no
difference. Beside it, the cosine alone. Rows are of the half whose templates the check was not written with. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.cache_questions import Pair, pairs
from headroom.cache.agreement import disagreement
from headroom.model import ModelSpec
from headroom.scoring.embedding import Embedder
from headroom.settings import load

THRESHOLDS = (0.70, 0.75, 0.80, 0.85, 0.90, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)
Z = 1.96


@dataclass(frozen=True)
class Measured:
    pair: Pair
    cosine: float
    reason: str


def measure(spec: ModelSpec, questions: Sequence[Pair]) -> list[Measured]:
    embedder = Embedder(spec)
    texts = list(dict.fromkeys(text for pair in questions for text in (pair.one, pair.other)))
    row = dict(zip(texts, embedder(texts), strict=True))
    return [Measured(p, float(np.dot(row[p.one], row[p.other])), disagreement(p.one, p.other)) for p in questions]


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    share, square = hits / of, Z * Z / of
    middle, half = share + square / 2, Z * math.sqrt(share * (1 - share) / of + square / of / 4)
    return max(0.0, (middle - half) / (1 + square)), min(1.0, (middle + half) / (1 + square))


def share(found: Sequence[Measured], threshold: float, checked: bool) -> tuple[int, int]:
    return sum(one.cosine >= threshold and not (checked and one.reason) for one in found), len(found)


def told(hits: int, of: int) -> str:
    low, high = wilson(hits, of)
    return f"{hits}/{of} = {hits / of:.2%} ({low:.2%}-{high:.2%})"


def by_threshold(same: Sequence[Measured], other: Sequence[Measured], default: float) -> Table:
    table = Table("cosine", "paraphrases hit", "false hits", "cosine alone: hit", "cosine alone: false", title="half not looked at")
    for threshold in sorted({*THRESHOLDS, default}):
        cells = [told(*share(part, threshold, checked)) for checked in (True, False) for part in (same, other)]
        table.add_row(f"{threshold:.2f}{' *' if threshold == default else ''}", *cells)
    return table


def by_kind(found: Sequence[Measured], threshold: float) -> Table:
    table = Table("kind", "pairs", "hit", "cosine alone", "median cosine", title=f"by kind, at {threshold}")
    kinds = dict.fromkeys((one.pair.same, one.pair.kind) for one in found)
    for same, kind in sorted(kinds, reverse=True):
        part = [one for one in found if (one.pair.same, one.pair.kind) == (same, kind)]
        cosine = float(np.median([one.cosine for one in part]))
        cells = [str(share(part, threshold, checked)[0]) for checked in (True, False)]
        table.add_row(f"{'same: ' if same else ''}{kind}", str(len(part)), *cells, f"{cosine:.2f}")
    return table


def plot(same: Sequence[Measured], other: Sequence[Measured], default: float, file: Path) -> None:
    """Needs matplotlib (`pip install 'headroom[notebooks]'`)."""
    from matplotlib.figure import Figure

    steps = np.arange(0.5, 1.0001, 0.005)
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot(xlabel="false hits, % of the pairs that must not hit", ylabel="hits, % of the paraphrases")
    for checked, name in ((False, "cosine alone"), (True, "cosine and the check of the words")):
        points = [[100 * hits / of for hits, of in (share(other, t, checked), share(same, t, checked))] for t in steps]
        axes.plot(*zip(*points, strict=True), marker="." if checked else "", label=name)
        hits = [100 * part[0] / part[1] for part in (share(other, default, checked), share(same, default, checked))]
        axes.annotate(f"{default}", hits, textcoords="offset points", xytext=(6, -12))
        axes.plot(*hits, "o", color="black")
    axes.legend()
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=load().scoring.model)
    parser.add_argument("--engine", default="auto", choices=("auto", "onnx", "torch"))
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--misses", type=int, default=0, help="paraphrases of the half looked at to print that do not hit")
    chosen = parser.parse_args()
    default = load().cache.threshold
    found = measure(ModelSpec(chosen.model, "cpu", engine=chosen.engine), pairs())
    test = [one for one in found if one.pair.half == "test"]
    same, other = ([one for one in test if one.pair.same is wanted] for wanted in (True, False))
    console = Console(width=170)
    console.print(f"{len(found):,} pairs, {len(test):,} of them in the half not looked at")
    console.print(by_threshold(same, other, default), by_kind(test, default))
    train = [one for one in found if one.pair.half == "train"]
    for wanted, name in ((True, "paraphrases"), (False, "false hits")):
        part = [one for one in train if one.pair.same is wanted]
        console.print(f"half looked at, {name}: {told(*share(part, default, checked=True))}")
    for one in found:
        if not one.pair.same and not one.reason and one.cosine >= default:
            console.print(f"FALSE HIT {one.cosine:.3f} {one.pair}")
    missed = [one for one in train if one.pair.same and (one.reason or one.cosine < default)]
    for one in missed[: chosen.misses]:
        console.print(f"{one.cosine:.3f} {one.reason or 'cosine'}: {one.pair.one} | {one.pair.other}")
    if chosen.plot:
        plot(same, other, default, chosen.plot)


if __name__ == "__main__":
    main()
