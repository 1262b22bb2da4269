"""Counts tokens exactly and offline, or estimates them and says so.

toktok-rs (`headroom[fast]`) carries the vocabularies and counts what tiktoken counts, many times faster. Without it a
vocabulary is looked for in the given directory, in an installed litellm, and in tiktoken's own cache.
Nothing here opens a socket. Models without a public tokenizer (Claude) are counted with o200k_base.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import tiktoken

_WORTH_A_THREAD = 5_000  # characters; fewer are counted sooner than handed over
_SLICE = 50_000  # characters encoded at once; keeps pathological inputs linear
# name -> (URL whose SHA-1 names the file in tiktoken's cache, SHA-256 of the file)
_VOCABULARIES = {
    "o200k_base": (
        "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
    "cl100k_base": (
        "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
}
_OLDER = ("gpt-4-", "gpt-3.5", "gpt-35", "text-embedding")
_loading = threading.Lock()  # tiktoken is told where to look by a variable of the whole process


class Counter(Protocol):
    """`exact` is False for an estimate; `name` is the vocabulary or "estimate"."""

    name: str
    exact: bool

    def count(self, text: str) -> int: ...


class Exact:
    """Counts in slices with what an encoder says of one, or of many in one call; `name` is the vocabulary."""

    exact = True

    def __init__(self, name: str, count: Callable[[str], int], count_all: Callable[[list[str]], Iterable[int]]) -> None:
        self.name = name
        self._count = count
        self._count_all = count_all

    def count(self, text: str) -> int:
        try:
            return sum(map(self._count, _slices(text)))
        except UnicodeEncodeError:  # half of a surrogate pair; tiktoken counts a replacement character
            return self.count(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))

    def count_all(self, texts: Sequence[str]) -> list[int]:
        """The same for each text, in one call of the encoder."""
        slices = list(map(_slices, texts))
        try:
            counts = iter(self._count_all(list(chain.from_iterable(slices))))
        except UnicodeEncodeError:
            return list(map(self.count, texts))
        return [sum(islice(counts, len(some))) for some in slices]


def _slices(text: str) -> list[str]:
    return [text[start : start + _SLICE] for start in range(0, len(text), _SLICE)]


class Once:
    """What another counter says, asked once for each text; for one thread.

    Of `texts` an exact one is asked at once, on a thread of `pool`: an encoder lets other threads go on,
    so where a processor is free they cost whoever asks later no time. Without a pool they are counted when they are asked for.
    """

    def __init__(self, counter: Counter, texts: Iterable[str], pool: Executor | None) -> None:
        self.name, self.exact = counter.name, counter.exact
        self._counter = counter
        self._known: dict[str, int] = {}
        self._ahead: Sequence[str] = list(dict.fromkeys(texts))
        self._counts: Future[list[int]] | None = None
        if pool and isinstance(counter, Exact) and sum(map(len, self._ahead)) >= _WORTH_A_THREAD:
            self._counts = pool.submit(counter.count_all, self._ahead)

    def count(self, text: str) -> int:
        count = self._known.get(text)
        if count is None and self._counts:
            self._known |= zip(self._ahead, self._counts.result(), strict=True)
            self._counts = None
            count = self._known.get(text)
        if count is None:
            count = self._known[text] = self._counter.count(text)
        return count


class Estimate:
    """Calibrated on o200k_base over logs, JSON, code and prose: words, digit groups, other signs, other scripts."""

    name = "estimate"
    exact = False
    _WORD = re.compile(rb"[A-Za-z]+")
    _LONG_WORD = re.compile(rb"[A-Za-z]{7,}")
    _DIGITS = re.compile(rb"[0-9]{1,3}")
    _NO_SIGN = bytes(code for code in range(128) if chr(code).isalnum() or chr(code).isspace())

    def count(self, text: str) -> int:
        return round(sum(self._count(text[start : start + _SLICE]) for start in range(0, len(text), _SLICE)))

    def _count(self, text: str) -> float:
        plain = text.encode("ascii", "replace")
        others = len(text) - len(text.encode("ascii", "ignore"))
        signs = len(plain.translate(None, self._NO_SIGN)) - others
        long_words = self._LONG_WORD.findall(plain)
        words = len(self._WORD.findall(plain)) - len(long_words) + sum(map(len, long_words)) / 6
        return words + len(self._DIGITS.findall(plain)) + 0.7 * others + 0.6 * signs


def vocabulary_for(model: str) -> str:
    """cl100k_base for GPT-4 and GPT-3.5, fine-tuned ones too (`ft:gpt-4:...`), o200k_base for everything else."""
    name = model.rsplit("/", 1)[-1].lower().removeprefix("ft:").split(":")[0]
    old = name == "gpt-4" or name.startswith(_OLDER)
    return "cl100k_base" if old else "o200k_base"


def find_vocabulary(name: str, directory: Path | None = None) -> Path | None:
    """The directory that holds the vocabulary, intact and named as tiktoken names its cache files."""
    url, digest = _VOCABULARIES[name]
    file = hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()
    places = [directory] if directory else []
    litellm = importlib.util.find_spec("litellm")
    if litellm and litellm.submodule_search_locations:
        places.append(Path(litellm.submodule_search_locations[0]) / "litellm_core_utils" / "tokenizers")
    places.append(Path(tempfile.gettempdir()) / "data-gym-cache")
    return next((place for place in places if _digest(place / file) == digest), None)


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def counter(model: str = "", directory: Path | None = None) -> Counter:
    """The counter for a model. Never fails: without an intact vocabulary it is an `Estimate`."""
    return _counter(vocabulary_for(model), directory)


def is_exact(name: str, directory: Path | None = None) -> bool:
    """Whether tokens of a vocabulary are counted, not estimated."""
    return has_fast() or find_vocabulary(name, directory) is not None


def has_fast() -> bool:
    """Whether toktok-rs is installed."""
    return importlib.util.find_spec("toktok") is not None


@functools.cache
def _counter(name: str, directory: Path | None) -> Counter:
    if has_fast():
        return fast_counter(name)
    found = find_vocabulary(name, directory)
    return Estimate() if found is None else tiktoken_counter(name, found)


def fast_counter(name: str) -> Exact:
    """By toktok-rs, which must be installed. It knows what is a letter in Unicode 17, tiktoken in 16; nothing else differs."""
    from toktok import batch_count, truncate  # late: a program that counts nothing does not pay for it

    # the total of one text is known sooner so than from a batch
    return Exact(name, lambda text: truncate(text, sys.maxsize, name)[1], partial(batch_count, encoding=name, threads=1))


def tiktoken_counter(name: str, directory: Path) -> Exact:
    """By tiktoken, with the vocabulary that `directory` holds."""
    encoding = _load(name, directory)
    return Exact(
        name,
        lambda text: len(encoding.encode_ordinary(text)),
        lambda texts: map(len, encoding.encode_ordinary_batch(texts, num_threads=1)),
    )


def _load(name: str, directory: Path) -> tiktoken.Encoding:
    import tiktoken

    with _loading:
        before = os.environ.get("TIKTOKEN_CACHE_DIR")
        os.environ["TIKTOKEN_CACHE_DIR"] = str(directory)
        try:
            return tiktoken.get_encoding(name)
        finally:
            if before is None:
                del os.environ["TIKTOKEN_CACHE_DIR"]
            else:
                os.environ["TIKTOKEN_CACHE_DIR"] = before
