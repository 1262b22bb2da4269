"""Counting: exact with a vocabulary, an honest estimate without, never a failure, never a socket."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.cli.vocabulary import NAMES
from headroom.tokens import (
    Counter,
    Estimate,
    Exact,
    Once,
    counter,
    fast_counter,
    find_vocabulary,
    is_exact,
    tiktoken_counter,
    vocabulary_for,
)

LOG = "2024-05-01T12:00:01Z ERROR [worker-3] payment 8f3a21 declined: card expired (code=51, ms=182)\n"
CODE = "def charge(card: Card, amount: int) -> Receipt:\n    if amount <= 0:\n        raise ValueError(amount)\n    return post(card)\n"
JSON = '{"id": 10001, "user": "grace.hopper@example.org", "state": "declined", "amount": 12.5, "tags": ["a", "b"]}\n'
PROSE = "The lighthouse keeper wrote down every ship that passed, its flag and the weather, for thirty years.\n"
ASSIGNED = st.characters(exclude_categories=["Cn"])  # what a newer character is, not every counter knows


def by_tiktoken(name: str, directory: Path | None = None) -> Counter:
    place = find_vocabulary(name, directory)
    assert place is not None, "the development extra installs litellm, which holds the vocabularies"
    return tiktoken_counter(name, place)


@pytest.fixture(scope="module", params=["toktok-rs", "tiktoken"])
def exact(request: pytest.FixtureRequest) -> Counter:
    return fast_counter("o200k_base") if request.param == "toktok-rs" else by_tiktoken("o200k_base")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-mini-2024-07-18", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("claude-sonnet-4-5", "o200k_base"),
        ("", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("GPT-4-turbo", "cl100k_base"),
        ("openai/gpt-4-32k", "cl100k_base"),
        ("ft:gpt-4:acme::x1", "cl100k_base"),
        ("ft:gpt-4o:acme::x1", "o200k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
    ],
)
def test_the_vocabulary_of_a_model_is_tiktokens_own(model: str, name: str) -> None:
    assert vocabulary_for(model) == name
    try:
        assert tiktoken.encoding_name_for_model(model.rsplit("/", 1)[-1].lower()) == name
    except KeyError:
        assert name == "o200k_base"


@pytest.mark.parametrize("text", ["", "a", LOG * 50, CODE * 50, "注文の支払い" * 30, "🙂" * 40, "<|endoftext|>", "\ud800 half"])
def test_counts_are_exact(exact: Counter, text: str) -> None:
    assert exact.name == by_tiktoken("o200k_base").name == "o200k_base"  # which loads the encoding below
    expected = len(tiktoken.get_encoding("o200k_base").encode_ordinary(text))
    assert exact.count(text) == expected


def test_no_text_is_slow_to_count(exact: Counter) -> None:
    """A repeated letter is the worst case of byte-pair encoding: twice as much of it costs twice the work."""
    assert exact.count("a" * 200_000) == 2 * exact.count("a" * 100_000)


def test_a_long_text_is_counted_in_slices(exact: Counter) -> None:
    text = LOG * 3000
    whole = exact.count(LOG * 30) * 100
    assert exact.count(text) == pytest.approx(whole, rel=0.001)


def test_many_texts_at_once_are_counted_as_one_by_one(exact: Counter) -> None:
    assert isinstance(exact, Exact)
    texts = ["", "a", LOG * 700, CODE, "🙂" * 60_000, "注文の支払い" * 30, JSON]
    assert exact.count_all(texts) == list(map(exact.count, texts))
    assert exact.count_all([*texts, "\ud800 half"]) == [*map(exact.count, texts), exact.count("\ud800 half")]
    assert exact.count_all([]) == []


class Asked(Exact):
    """By toktok-rs, remembering what it was asked, one text or many."""

    def __init__(self) -> None:
        inner = fast_counter("o200k_base")
        super().__init__(inner.name, inner.count, inner.count_all)
        self.one: list[str] = []
        self.many: list[list[str]] = []

    def count(self, text: str) -> int:
        self.one.append(text)
        return super().count(text)

    def count_all(self, texts: Sequence[str]) -> list[int]:
        self.many.append(list(texts))
        return super().count_all(texts)


def test_a_text_is_counted_once_and_the_announced_ones_together() -> None:
    announced, other, plain = [LOG * 90, CODE, LOG * 90, ""], JSON * 3, fast_counter("o200k_base")
    with ThreadPoolExecutor(1) as pool:
        counter = Asked()
        once = Once(counter, announced, pool)
        assert (once.name, once.exact) == ("o200k_base", True)
        for text in (other, *announced, other, *announced):
            assert once.count(text) == plain.count(text)
        assert counter.many == [[LOG * 90, CODE, ""]]
        assert counter.one == [other]


def test_few_texts_and_estimates_need_no_thread() -> None:
    with ThreadPoolExecutor(1) as pool:
        counter = Asked()
        once = Once(counter, [CODE, JSON], pool)
        assert [once.count(CODE), once.count(CODE)] == [fast_counter("o200k_base").count(CODE)] * 2
        assert (counter.one, counter.many) == ([CODE], [])
        guess = Once(Estimate(), [LOG * 90], pool)
        assert (guess.name, guess.exact, guess.count(LOG * 90)) == ("estimate", False, Estimate().count(LOG * 90))


@given(st.text(st.characters()) | st.text(st.characters(categories=["Cs", "L", "N"])))
@settings(max_examples=50)
def test_any_text_is_counted(text: str) -> None:
    assert counter("gpt-4o").count(text) >= (1 if text else 0)
    assert Estimate().count(text) >= 0


@pytest.mark.parametrize("name", NAMES)
@given(text=st.text(ASSIGNED, max_size=60) | st.text(st.sampled_from("aB1 \n\r\t'sé日-/.\u00a0\u0308\ud800_"), max_size=40))
@settings(max_examples=300)
def test_both_exact_counters_agree(name: str, text: str) -> None:
    assert fast_counter(name).count(text) == by_tiktoken(name).count(text)


def test_the_vocabularies_are_there() -> None:
    assert all(map(is_exact, NAMES))
    assert counter("gpt-4o").exact


def test_counters_are_shared() -> None:
    assert counter("gpt-4o") is counter("claude-sonnet-4-5")
    assert counter("gpt-4") is not counter("gpt-4o")


@pytest.mark.parametrize("text", [LOG, CODE, JSON, PROSE, LOG + CODE + JSON + PROSE])
def test_the_estimate_is_near(exact: Counter, text: str) -> None:
    guess = Estimate()
    assert (guess.exact, guess.name) == (False, "estimate")
    assert guess.count(text * 20) == pytest.approx(exact.count(text * 20), rel=0.25)


def test_the_estimate_of_nothing() -> None:
    assert Estimate().count("") == Estimate().count(" \n") == 0


def test_a_vocabulary_in_the_given_directory_comes_first(tmp_path: Path) -> None:
    source = find_vocabulary("o200k_base")
    assert source is not None
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    assert find_vocabulary("o200k_base", tmp_path) == tmp_path
    before = dict(os.environ)
    assert by_tiktoken("o200k_base", tmp_path).count(LOG) == counter("gpt-4o").count(LOG)
    assert dict(os.environ) == before


def test_a_damaged_vocabulary_is_passed_over(tmp_path: Path) -> None:
    source = find_vocabulary("o200k_base")
    assert source is not None
    for file in source.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(b"damaged")
    assert find_vocabulary("o200k_base", tmp_path) == source
    assert find_vocabulary("o200k_base", tmp_path / "missing") == source


def test_models_that_clients_make_up_are_not_remembered() -> None:
    assert {id(counter(f"model-{number}")) for number in range(100)} == {id(counter("gpt-4o"))}


def test_vocabularies_can_be_loaded_by_many_threads(tmp_path: Path) -> None:
    source = find_vocabulary("o200k_base")
    assert source is not None
    before = dict(os.environ)
    places = [Path(shutil.copytree(source, tmp_path / str(number))) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        counters = list(pool.map(lambda place: by_tiktoken(NAMES[int(place.name) % 2], place), places))
    assert [one.count(CODE) for one in counters] == [by_tiktoken(NAMES[number % 2]).count(CODE) for number in range(4)]
    assert dict(os.environ) == before
