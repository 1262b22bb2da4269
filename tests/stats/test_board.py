"""A board counts what the ledger counts, whatever is compacted, filtered or split."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from headroom.outcome import Usage
from headroom.stats.board import SPLITS, Board, Wish
from headroom.stats.book import Book
from headroom.stats.ledger import Query
from headroom.stats.places import Places
from headroom.stats.prices import bundled
from headroom.stats.rows import row_of
from headroom.stats.series import SERIES, begin_of
from headroom.stats.tally import DIMENSIONS, FIGURES, HOUR_US, PLAIN, Tally, dimensions, tally
from tests.stats.made import START, outcomes

DAY_US = 24 * HOUR_US


def test_a_board_counts_every_request_once_before_and_after_compaction(tmp_path: Path) -> None:
    rows = [row_of(outcome, bundled()) for outcome in outcomes(48, step_s=80_000)]  # six weeks
    book = Book(Places(tmp_path, str(tmp_path)), 36_500, tmp_path / "savings.json")
    book.start()
    book.append(rows[:16])
    book.seal()
    assert book.compact(START + 90 * 86_400)
    book.append(rows[16:])
    everything: Tally = Counter()
    for row in rows:
        everything.update(tally(row))  # a sum of counters would drop what is negative meanwhile
    plain = sum(row["input_tokens"] or 0 for row in rows if row["provider"] == "anthropic")
    found = [{split: book.board(Wish(series=name, split=split)) for split in SPLITS} for name in SERIES]
    book.seal()
    assert book.compact(START + 90 * 86_400)
    found += [{split: book.board(Wish(series=name, split=split)) for split in SPLITS} for name in SERIES]
    for boards, name in zip(found, (*SERIES, *SERIES), strict=True):
        one = boards["team"]
        assert +one.total == +everything
        assert one.by["provider"]["anthropic"][PLAIN] == plain > one.by["provider"]["openai"][PLAIN] > 0
        assert {at: bucket["requests"] for at, bucket in one.buckets.items()} == Counter(
            begin_of(name, row["timestamp"] // HOUR_US * HOUR_US) for row in rows
        )
        for figure in FIGURES:
            assert sum(bucket[figure] for bucket in one.buckets.values()) == everything[figure]
        for number, dimension in enumerate(DIMENSIONS):
            by_name = {value: board["requests"] for value, board in one.by[dimension].items()}
            assert by_name == Counter(dimensions(row)[number] for row in rows)
            assert sum(board["saved_nanousd"] for board in boards[dimension].split.values()) == everything["saved_nanousd"]
        assert sum(board["tokens_saved"] for board in boards["transform"].split.values()) == everything["transform_tokens/log"]
    book.close()


@pytest.mark.parametrize("provider", ["bedrock", "vertex_ai", "azure", "openrouter"])
def test_what_is_plain_follows_the_dialect_whoever_serves_it(provider: str, tmp_path: Path) -> None:
    """Messages count cached tokens beside `input_tokens`, chat completions in it; clouds serve both."""
    usage = Usage(1000, 10, 600, 100)
    made = next(outcomes(1))
    rows = [
        row_of(dataclasses.replace(made, request_id=dialect, provider=provider, dialect=dialect, usage=usage), bundled())
        for dialect in ("anthropic", "openai_chat", "openai_responses")
    ]
    book = Book(Places(tmp_path, str(tmp_path)), 36_500, tmp_path / "savings.json")
    book.start()
    book.append(rows)
    waiting = book.board(Wish()).total[PLAIN]
    book.seal()
    assert book.compact(START + 7200)
    assert waiting == book.board(Wish()).total[PLAIN] == 1000 + 300 + 300
    book.close()


def test_a_board_of_some_requests(tmp_path: Path) -> None:
    rows = [row_of(outcome, bundled()) for outcome in outcomes(400, step_s=2400)]
    book = Book(Places(tmp_path, str(tmp_path)), 36_500, tmp_path / "savings.json")
    book.start()
    book.append(rows[:50])
    book.seal()
    assert book.compact(START + 90 * 86_400)
    book.append(rows[50:])
    first, last = round(START * 1e6) + 2 * DAY_US, round(START * 1e6) + 9 * DAY_US
    board = book.board(Wish(Query({"team": "search", "user": "ann"}, first, last), "daily"))
    wanted = [row for row in rows if row["team"] == "search" and row["user"] == "ann" and first <= row["timestamp"] < last]
    assert board.total["requests"] == len(wanted) > 10
    assert set(board.by["team"]) == {"search"}
    assert board.total["tokens_saved"] == sum(row["tokens_saved"] for row in wanted)
    assert book.board(Wish(Query({"team": "nobody"}))) == Board()
    book.close()
