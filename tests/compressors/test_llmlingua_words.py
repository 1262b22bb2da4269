"""Words, what must stay, the choice and the text that it makes: everything of LLMLingua-2 that needs no model."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.cli.llmlingua_texts import many
from headroom.compressors.llmlingua import select
from headroom.compressors.llmlingua.chunks import batches, chunks
from headroom.compressors.llmlingua.keep import missing, must_keep
from headroom.compressors.llmlingua.words import Words, probabilities, split, touched

NONE = np.empty(0, np.int64)
TEXTS = st.one_of(
    st.text(max_size=200),
    st.lists(
        st.sampled_from(["a", "\u65e5\u672c", ",", "b-c", " ", "\n", "\r\n", "\u2014", "\ud800", "x_y", "'", ".", "\u200b", "\x00"])
    ).map("".join),
)


def spelled(text: str, words: Words) -> list[str]:
    return [text[start:end] for start, end in zip(words.starts.tolist(), words.ends.tolist(), strict=True)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('He said: "well-known", don\'t!', ["He", "said", ":", '"', "well-known", '",', "don't", "!"]),
        ("one\u2014two (v2.3) src/app.py.", ["one", "\u2014", "two", "(", "v2.3", ")", "src/app.py", "."]),
        ("  x_y  \n\n* item\u2026", ["x_y", "*", "item", "\u2026"]),
        ("", []),
        (" \n\t", []),
        ("...", ["..."]),
        ("\u0939\u093f\u0928\u094d\u0926\u0940 na\u00efve", ["\u0939\u093f\u0928\u094d\u0926\u0940", "na\u00efve"]),
    ],
)
def test_whole_words(text: str, words: list[str]) -> None:
    assert spelled(text, split(text, NONE)) == words


def test_scripts_without_spaces_are_cut_where_tokens_are() -> None:
    text = "\u59d4\u5458\u4f1a\u3002\u7136\u540e ok"
    assert spelled(text, split(text, np.array([0, 2, 3, 4, 7]))) == ["\u59d4\u5458", "\u4f1a", "\u3002", "\u7136\u540e", "ok"]


@given(TEXTS, st.lists(st.integers(0, 220)))
def test_words_hold_everything_but_white_space(text: str, cuts: list[int]) -> None:
    words = split(text, np.array(sorted(cuts), np.int64))
    pieces = spelled(text, words)
    assert "".join(pieces) == "".join(text.split()), "something is in no word, or in two"
    assert all(piece and piece == piece.strip() for piece in pieces)


def test_a_word_is_as_probable_as_its_tokens_on_average() -> None:
    text = "unbelievable,  yes\u200b x"
    words = split(text, NONE)
    starts, ends = np.array([0, 2, 10, 14]), np.array([2, 10, 13, 18])
    found = probabilities(words, starts, ends, np.array([0.2, 0.4, 0.9, 0.5], np.float32))
    assert spelled(text, words) == ["unbelievable", ",", "yes\u200b", "x"]
    assert np.allclose(found[:3], [0.5, 0.9, 0.5])
    assert np.isnan(found[3]), "of which nothing is known"


def test_which_words_ranges_touch() -> None:
    text = "one two three four"
    assert touched(split(text, NONE), [(5, 6), (12, 15)]).tolist() == [False, True, True, True]
    assert touched(split(text, NONE), []).tolist() == [False] * 4


@pytest.mark.parametrize(
    ("text", "question", "kept"),
    [
        ("It took 450 ms and 3.5 GB on 2024-03-01, 12 % more.", "", ["450 ms", "3.5 GB", "2024-03-01,", "12 %"]),
        ("See https://a.org/x?y=1 and me@b.de or src/app/main.py.", "", ["https://a.org/x?y=1", "me@b.de", "src/app/main.py."]),
        ("Call `get_user()` or parseInt on MAX_SIZE via --dry-run.", "", ["`get_user()`", "parseInt", "MAX_SIZE", "--dry-run"]),
        ("```sh\nrm -r x\n``` then", "", ["```sh\nrm -r x\n```"]),
        ('He wrote "as is" and \u00ab jamais \u00bb there.', "", ['"as is"', "\u00ab jamais \u00bb"]),
        ("We do not, cannot and won't say why.", "", ["not", "cannot", "won't", "why"]),
        ("Das ist nicht wahr, keiner kam ohne Hut.", "", ["nicht", "keiner", "ohne"]),
        ("\u5979\u6ca1\u6709\u6765\u3002", "", ["\u6ca1"]),
        ("The report by Ada Lovelace praised engines.", "What did Lovelace and the engines do?", ["Lovelace"]),
        ("The order W34 was late.", "Where is `late`?", ["W34", "late"]),
        ("plain words only here", "", []),
    ],
)
def test_what_must_stay(text: str, question: str, kept: list[str]) -> None:
    assert [text[start:end] for start, end in must_keep(text, question)] == kept


@given(TEXTS, st.text(max_size=40))
def test_what_must_stay_are_ranges_of_the_text(text: str, question: str) -> None:
    spans = must_keep(text, question)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(one[1] < other[0] for one, other in pairwise(spans))
    assert missing(text, spans, text) is None


def test_what_is_missing_is_told() -> None:
    text = "It is not 5 ms."
    spans = must_keep(text)
    assert missing(text, spans, "not 5 ms.") is None
    assert missing(text, spans, "5 ms. not") == "5 ms"
    assert missing(text, spans, "not 5") == "5 ms"


def chosen(text: str, likely: dict[str, float], rate: float, threshold: float = 0.0, forced: tuple[str, ...] = ()) -> str:
    words = split(text, NONE)
    pieces = spelled(text, words)
    probabilities = np.array([likely.get(piece, 0.1) for piece in pieces], np.float32)
    must = np.array([piece in forced for piece in pieces], np.bool_)
    kept = select.choose(words, probabilities, np.ones(len(words), np.int64), must, rate, threshold)
    return select.assemble(text, words, kept)


def test_the_most_probable_words_stay_with_what_frames_them() -> None:
    text = "# Head\n\nOne two three. Four five six!\n\n  - item of little\n  - another\n"
    likely = {"Head": 0.9, "two": 0.8, "item": 0.7}
    assert chosen(text, likely, 0.5, 0.5) == "# Head\n\ntwo.\n\n  - item\n"
    assert chosen(text, likely, 1.0) == text
    assert chosen(text, likely, 0.01, forced=("five",)) == "five!\n"
    assert chosen(text, {}, 0.0) == ""


def test_words_that_were_apart_stay_apart() -> None:
    assert chosen("one, two three four", {"one": 0.9, "four": 0.9}, 0.4) == "one four"
    assert chosen("a  b c", {"a": 1, "b": 1}, 0.7) == "a  b", "neighbours keep what is between them"
    assert chosen("one two, three", {"one": 0.9, ",": 0.8}, 0.5) == "one,"
    assert chosen("a b\r\nc d", {"a": 1, "d": 1}, 0.5) == "a\r\nd"


@given(st.integers(0, 10_000), st.sampled_from([0.2, 0.33, 0.5, 0.7, 0.9]))
def test_the_rate_is_kept_to_two_points(seed: int, rate: float) -> None:
    draw = np.random.default_rng(seed)
    text = many(1, seed, 60)[0] + " " + many(1, seed + 9, 60)[0]
    words = split(text, NONE)
    weights = draw.integers(1, 4, len(words))
    kept = select.choose(words, draw.random(len(words), np.float32), weights, np.zeros(len(words), np.bool_), rate)
    marks = weights[words.closes | words.opens].sum()
    if rate * weights.sum() > marks + 3 and len(words) > 150:
        assert abs(weights[kept].sum() / weights.sum() - rate) <= 0.02
    pieces = iter(spelled(text, words))
    shorter = select.assemble(text, words, kept)
    assert all(any(piece == word for piece in pieces) for word in spelled(shorter, split(shorter, NONE)) if word.isalpha())


@given(st.integers(0, 3000), st.integers(2, 600), st.integers(0, 1000))
def test_pieces_of_a_long_text(count: int, window: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    ends, begins = draw.random(count) < 0.03, draw.random(count) < 0.6
    found = chunks(count, window, ends, begins)
    assert [place for start, end in found for place in range(start, end)] == list(range(count))
    assert all(0 < end - start <= window for start, end in found)


@given(st.lists(st.integers(1, 512), max_size=100), st.integers(512, 5000))
def test_batches_hold_little_padding(lengths: list[int], budget: int) -> None:
    found = list(batches(lengths, budget))
    assert sorted(place for batch in found for place in batch) == list(range(len(lengths)))
    for batch in found:
        sizes = [lengths[place] for place in batch]
        assert max(sizes) * len(sizes) <= budget
        assert min(sizes) >= 0.85 * max(sizes)
