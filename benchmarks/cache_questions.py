"""Pairs of questions with a label: whether the answer to one may be given to the other. Made from templates and lists of our own.

Every template belongs to one of two halves. What the cache's check allows was written while looking at the half `train`; `test`
is what is reported. A pair never mixes templates of both halves, and lists are cut the same way. All words stand in
`cache_questions.yaml`.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

Half = Literal["train", "test"]
HALVES: tuple[Half, Half] = ("train", "test")
WORDS: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Pair:
    """`same`: the two ask for the same thing."""

    one: str
    other: str
    same: bool
    kind: str
    half: Half


def _halved(rows: Sequence[Any], half: Half) -> Sequence[Any]:
    return rows[::2] if half == "train" else rows[1::2]


def _fills(kind: str) -> list[dict[str, str]]:
    """What the templates of a kind are filled with."""
    rows = WORDS[f"{kind}s"]
    match kind:
        case "task":
            return [{"v": v, "g": g, "o": o} for v, g, o in rows]
        case "reason" | "check":
            return [{"a": a, "A": a.capitalize(), "s": s, "p": p, "c": c} for a, s, p, c in rows]
        case "contrast":
            return [{"x": x, "y": y} for x, y in rows]
        case "event":
            return [{"e": f"{verb} {what}"} for verb, what in rows]
    return [{kind[0]: row} for row in rows]


def paraphrases(draw: random.Random, most: int) -> Iterator[Pair]:
    """Up to `most` pairs of each kind and half that should hit."""
    for kind, templates in WORDS["same"].items():
        for half in HALVES:
            pairs = [
                (one.format(**fill), other.format(**fill))
                for fill in _halved(_fills(kind), half)
                for one, other in itertools.combinations(templates[half], 2)
            ]
            for one, other in draw.sample(pairs, min(most, len(pairs))):
                if one != other:
                    yield Pair(one, other, True, kind, half)


def _swaps(half: Half) -> Iterator[Pair]:
    """Another value in the same template."""
    for kind, given in WORDS["swaps"].items():
        for template in given[half]:
            for one, other in itertools.combinations(given["values"], 2):
                yield Pair(template.format(one), template.format(other), False, kind, half)


def _opposed(half: Half) -> Iterator[Pair]:
    """The opposite, the reverse, the negation, another request about the same, another end."""
    templates = WORDS["opposed"][half]
    for (one, other), thing, template in itertools.product(_halved(WORDS["antonyms"], half), _halved(WORDS["objects"], half), templates):
        yield Pair(template.format(one, thing), template.format(other, thing), False, "antonym", half)
    for (one, other), template in itertools.product(WORDS["roles"], WORDS["reversed"][half]):
        yield Pair(template.format(one, other), template.format(other, one), False, "reversal", half)
    for (plain, negated), deed in itertools.product(WORDS["negated"][half], WORDS["deeds"]):
        yield Pair(plain.format(deed), negated.format(deed), False, "negation", half)
    for (one, other), fill in itertools.product(WORDS["scoped"][half], _halved(_fills("task"), half)):
        yield Pair(one.format(**fill), other.format(**fill), False, "other request", half)
    for prefix, times, (one, other) in itertools.product(WORDS["prefixes"][half], (1, 3, 20), WORDS["ends"]):
        yield Pair(prefix * times + one.capitalize(), prefix * times + other.capitalize(), False, "shared prefix", half)


def _neighbours(draw: random.Random, half: Half) -> Iterator[Pair]:
    """Other questions in the same words: the template stays, the subject changes."""
    for kind, templates in WORDS["same"].items():
        fills = list(_halved(_fills(kind), half))
        for template in templates[half]:
            one, other = draw.sample(fills, 2)
            yield Pair(template.format(**one), template.format(**other), False, "other subject", half)


def contrasts(draw: random.Random, most: int) -> Iterator[Pair]:
    """Up to `most` pairs of each kind and half that must not hit."""
    for half in HALVES:
        by_kind: dict[str, list[Pair]] = {}
        for pair in itertools.chain(_swaps(half), _opposed(half), _neighbours(draw, half)):
            if pair.one != pair.other:
                by_kind.setdefault(pair.kind, []).append(pair)
        for pairs in by_kind.values():
            yield from draw.sample(pairs, min(most, len(pairs)))


def pairs(seed: int = 7, most: int = 60) -> list[Pair]:
    """The whole set, the same for the same seed."""
    draw = random.Random(seed)
    return [*paraphrases(draw, 2 * most), *contrasts(draw, most)]
