"""Our decisions and those of `llmlingua.PromptCompressor` on the same weights, side by side."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headroom import tokens
from headroom.compressors.llmlingua.classifier import Classifier
from headroom.compressors.llmlingua.parity import Decision, Library
from headroom.errors import ModelUnavailable

NOISE = 1e-4  # of a probability: what the order of a sum, which follows the threads that a machine has free, and padding may change
_BETWEEN, _LABEL = "\t\t|\t\t", " "
Words = list[tuple[str, bool]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`words` decided alike in both but for `noise` (at the threshold to within NOISE) and `different` ones.

    `apart` are texts whose words differ: they hold signs that the vocabulary lacks, or no full stop in 510 tokens. The library
    makes text of its tokens and tokenizes that again.
    """

    texts: int
    words: int
    noise: int
    different: tuple[str, ...]
    apart: tuple[int, ...]


def compare(library: Library, theirs: Any, texts: Sequence[str], rate: float, *, digits: bool = False) -> Comparison:
    """`theirs` is a PromptCompressor with the same weights, in the same precision."""
    words, noise, different, apart = 0, 0, [], []
    for number, (text, ours) in enumerate(zip(texts, library(texts, rate, digits=digits), strict=True)):
        decided = _library_says(theirs, text, rate, digits)
        if [word.word for word in ours] != [word for word, _ in decided]:
            apart.append(number)
            continue
        words += len(ours)
        unlike: list[Decision] = [one for one, (_, kept) in zip(ours, decided, strict=True) if one.kept != kept]
        noise += sum(1 for one in unlike if one.margin <= NOISE)
        different += [f"{one.word} ({one.margin:.1g})" for one in unlike if one.margin > NOISE]
    return Comparison(len(texts), words, noise, tuple(different), tuple(apart))


def _library_says(theirs: Any, text: str, rate: float, digits: bool) -> Words:
    answer = theirs.compress_prompt(
        [text], rate=rate, return_word_label=True, force_reserve_digit=digits, word_sep=_BETWEEN, label_sep=_LABEL
    )
    said = answer["fn_labeled_original_prompt"]
    pairs = [pair.rpartition(_LABEL) for pair in said.split(_BETWEEN)] if said else []
    return [(word, label == "1") for word, _, label in pairs]


@contextmanager
def prompt_compressor(classifier: Classifier, directory: Path, device: str = "cpu") -> Iterator[Any]:
    """The library's own object for a local model, without a network. Raises ModelUnavailable where the library is not installed."""
    vocabulary = tokens.find_vocabulary("cl100k_base")
    if vocabulary is None:
        raise ModelUnavailable("failed", "the library counts with cl100k_base, which is not on this machine: `headroom doctor --fetch`")
    tokens.tiktoken_counter("cl100k_base", vocabulary)  # tiktoken keeps it, so the library does not fetch it
    try:
        from llmlingua import PromptCompressor
    except ModuleNotFoundError:
        raise ModelUnavailable("not_installed", "llmlingua is not installed: pip install 'headroom[llmlingua]'") from None
    with tempfile.TemporaryDirectory() as place:
        named = Path(place) / classifier.family  # the library tells families apart by the model's name
        os.symlink(directory.resolve(), named, target_is_directory=True)
        yield PromptCompressor(str(named), device_map=device, use_llmlingua2=True, model_config={"local_files_only": True})
