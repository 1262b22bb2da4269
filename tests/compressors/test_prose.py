"""Running text made shorter: kept pieces are verbatim and in order, gaps are marked, what is asked for stays."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.ccr import marker
from headroom.compressors import extract
from headroom.compressors.base import Draft
from headroom.compressors.prose import Prose
from headroom.compressors.prose_units import split
from headroom.model import Fidelity, Segment, content_hash
from headroom.scoring import bm25

PROSE = Prose()
GAP = re.compile(r"\[[^\]]* left out here\]")

SPEAKERS = ("Ada", "Project Manager", "Dr. Lind")
TALK = "\n".join(
    f"{SPEAKERS[n % 3]}: {'Mm , yeah .' if n // 7 % 2 else f'We looked at part {n} of the harbour wall and the stones there are sound .'}"
    for n in range(400)
)
ANSWER = "Ada: The crane is too old, so we decided to rent one from Brest until May."
TRANSCRIPT = TALK.replace(TALK.split("\n")[200], f"{ANSWER}\nDr. Lind: That was long overdue, I would say .")

ARTICLE = "# Lighthouses\n\n" + "\n\n".join(
    f"## Chapter {chapter}\n\nChapter {chapter} begins here with a sentence of its own. "
    + " ".join(f"The keeper walked slowly up the stairs of tower {chapter * 20 + n} and looked at the sea." for n in range(20))
    for chapter in range(12)
)


def compress(text: str, question: str = "", arguments: str = "", fidelity: Fidelity = "reversible") -> Draft | None:
    segment = Segment(text, (0, 0), question=question, arguments=arguments)
    parsed = PROSE.parse(segment)
    if parsed is None:
        return None
    query = f"{question}\n{arguments}"
    return PROSE.render(segment, parsed, bm25.scores(query, parsed.units), fidelity, content_hash(text))


def view(text: str, question: str = "", arguments: str = "") -> str:
    draft = compress(text, question, arguments)
    assert draft is not None
    return draft.text


def assert_verbatim(text: str, shown: str) -> None:
    """What stands between the gaps stands in the text too, in the same order."""
    position = 0
    for piece in GAP.split(shown.split("\n", 1)[1]):
        if piece.strip():
            position = text.index(piece.strip(), position)


@pytest.mark.parametrize("text", [TRANSCRIPT, ARTICLE])
@pytest.mark.parametrize("question", ["", "Read it.", "Which crane was rented?"])
def test_kept_text_is_verbatim_and_shorter(text: str, question: str) -> None:
    shown = view(text, question)
    assert_verbatim(text, shown)
    assert len(shown) < 0.95 * len(text)
    assert list(marker.hashes(shown)) == [content_hash(text)]


@pytest.mark.parametrize("question", ["What was decided about the crane?", "Who said 'long overdue'?"])
def test_what_is_asked_stays_with_its_neighbours(question: str) -> None:
    shown = view(TRANSCRIPT, question)
    assert f"{ANSWER}\nDr. Lind: That was long overdue" in shown
    assert len(shown) < 0.75 * len(TRANSCRIPT)


def test_what_the_call_asks_for_counts_too() -> None:
    shown = view(ARTICLE, "Search the books.", '{"query": "which keeper walked up tower 137"}')
    assert "stairs of tower 137 and" in shown


def test_headings_their_first_sentences_and_both_ends_stay() -> None:
    shown = view(ARTICLE, "Why is the fog horn silent?")
    for chapter in range(12):
        assert f"## Chapter {chapter}\n\nChapter {chapter} begins here with a sentence of its own." in shown
    assert shown.split("\n", 1)[1].startswith("# Lighthouses")
    assert shown.endswith("tower 239 and looked at the sea.")


def test_gaps_count_what_they_held() -> None:
    draft = compress(ARTICLE, "Why is the fog horn silent?")
    assert draft is not None
    body = draft.text.split("\n", 1)[1]
    counts = [int(count) for count in re.findall(r"\[(\d+) sentences? left out here\]", body)]
    assert sum(counts) == draft.items - draft.items_kept
    assert not draft.lossless


@pytest.mark.parametrize("text", ["", "Short.", "A few words. " * 100])
def test_short_texts_stay(text: str) -> None:
    assert compress(text, "What is it?") is None


def test_there_is_no_lossless_form() -> None:
    assert compress(TRANSCRIPT, fidelity="lossless") is None


@pytest.mark.parametrize(
    ("question", "arguments", "expected"),
    [
        ("Read the transcript.", '{"path": "meetings/May 2 board.txt"}', False),
        ("Please open https://example.com/page", "{}", False),
        ("Can you show me the file", "", False),
        ("", "", False),
        ("Read the transcript. Who was there?", "", True),
        ("What did they decide?", "", True),
        ("Fix the failing login", "", True),
        ("", '{"query": "who was the last keeper"}', True),
    ],
)
def test_a_wish_to_read_points_at_nothing(question: str, arguments: str, expected: bool) -> None:
    assert extract.points(Segment("", (0, 0), question=question, arguments=arguments)) is expected


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("Title\n=====\n\nOne sentence stands here, and it is rather long. Another one follows it.", ["heading", "sentence", "sentence"]),
        ("- one\n- two\n  goes on\n1. three", ["item", "item", "sentence", "item"]),
        ("Dr. Smith met Mr. Jones at 5 p.m. and they spoke about the wall for hours.", ["sentence"]),
        ("```\ncode. More code.\n```\nWords.", ["code", "sentence"]),
        ("| a | b |\n| 1 | 2 |", ["row", "row"]),
        ("```\nnever closed", ["code", "sentence"]),
        ("A line of a text that an editor has wrapped at a column\nand that goes on here.", ["sentence"]),
    ],
)
def test_units(text: str, kinds: list[str]) -> None:
    assert [unit.kind for unit in split(text)] == kinds


def test_text_without_sentence_ends_is_cut_at_blanks() -> None:
    units = split("word " * 2000)
    assert max(unit.end - unit.start for unit in units) <= 1500
    assert view("word and thing " * 2000, "Where is the thing?")


_PIECES = st.sampled_from(
    ["Ada: ", "Bob (10:02): ", "# ", "- ", "```", "\n", "\n\n", "---", ". ", "! ", "\u3002", "| a | b |", " ", "\0", "\t", "**", "12 "]
)


@given(st.lists(st.one_of(_PIECES, st.text(max_size=20)), max_size=60))
def test_units_cover_all_but_white_space(pieces: list[str]) -> None:
    text = "".join(pieces)
    position = 0
    for unit in split(text):
        assert not text[position : unit.start].strip()
        assert unit.end > unit.start
        position = unit.end
    assert not text[position:].strip()


@given(st.lists(st.one_of(_PIECES, st.text(max_size=20)), min_size=1, max_size=40), st.text(max_size=40))
def test_any_text_is_cut_or_left(pieces: list[str], question: str) -> None:
    text = "".join(pieces)
    text *= 1 + 8000 // max(1, len(text))
    first = compress(text, question)
    assert first == compress(text, question)
    if first is not None:
        assert first.items_kept < first.items


@given(st.lists(st.integers(0, 300), max_size=60), st.sets(st.integers(0, 59)), st.integers(1, 400))
def test_gaps_are_the_runs_that_are_large_enough(sizes: list[int], kept: set[int], least: int) -> None:
    found = list(extract.gaps(sizes, kept, least))
    for first, end in found:
        assert first < end
        assert kept.isdisjoint(range(first, end))
        assert sum(sizes[first:end]) >= least
    assert found == sorted(found)
