"""What is learned about a tool's outputs, and what compression makes of it."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom import pipeline
from headroom.ccr import retrieve
from headroom.model import NO_ADVICE, Advice, Compressed, Original, Policy, Segment
from headroom.scoring import toin
from headroom.tokens import counter

TOOL = "list_invoices"


def output(seed: int, count: int = 100, **more: Any) -> str:
    """Invoices whose number says where they stand."""
    draw = random.Random(seed)
    records = [
        {"number": f"INV-{seed}-{row:04}", "customer": f"customer {draw.randrange(9999)}", "cents": draw.randrange(10**6), "state": "paid"}
        | more
        for row in range(count)
    ]
    return json.dumps(records)


def smaller(text: str, advice: Advice = NO_ADVICE, fidelity: Any = "reversible", question: str = "How many are there?") -> Compressed:
    segment = Segment(text, (0, 0), tool=TOOL, question=question, advice=advice)
    return pipeline.compress([segment], Policy(fidelity), counter())[0]


def search(text: str, query: str, advice: Advice = NO_ADVICE) -> Mapping[str, int]:
    hits = retrieve.search(Original("", text), query)
    return toin.searched(text, query, [(hit.text, hit.score) for hit in hits], advice)


def after(*events: Mapping[str, int]) -> Mapping[str, int]:
    patterns: toin.Patterns = {}
    for event in events:
        patterns = toin.merged(patterns, {"s": event})
    return patterns["s"]


CUT = toin.compressed(Compressed("short", "smart_crusher", "", 900, 100, "h", 100, 9), NO_ADVICE)


def test_outputs_of_one_shape_have_one_signature() -> None:
    name = toin.signature(TOOL, output(1))
    assert {toin.signature(TOOL, output(seed, count)) for seed in range(5) for count in (3, 300)} == {name}
    assert toin.signature(TOOL, output(1).replace('"state": "paid"}]', '"state": "paid", "note": "only here"}]')) == name
    assert toin.signature(TOOL, output(1, vat=19)) != name
    assert toin.signature("another", output(1)) != name
    assert toin.signature("tail", "a log line\n") == toin.signature("tail", "another\nlog")
    assert toin.signature("", "prose") == ""
    assert toin.signature("", output(1))


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_has_a_signature(tool: str, text: str) -> None:
    name = toin.signature(tool, text)
    assert len(name) <= 100
    assert name == toin.signature(tool, text)


def test_counts_hold_no_values() -> None:
    text = json.dumps([{"email": f"secret-{n}@example.com", "4711-0815": "Bearer abcdef", "Müller & Co": n} for n in range(50)])
    counts = search(text, "secret-25@example.com bearer müller")
    assert counts["field:email"] == 1
    assert not [name for name in counts if any(word in name.lower() for word in ("secret", "bearer", "4711", "ller"))]
    assert all(name.split(":")[0] in ("asked", "searched", "at", "field", "errors") for name in counts)


@pytest.mark.parametrize("row", [0, 37, 50, 99])
def test_a_search_tells_which_tenth_was_wanted(row: int) -> None:
    counts = search(output(3), f"INV-3-{row:04}")
    assert [name for name in counts if name.startswith("at:")] == [f"at:{row // 10}"]
    assert (counts["asked"], counts["searched"], counts["field:number"]) == (1, 1, 1)


def test_advice_needs_evidence() -> None:
    asked = search(output(3), "INV-3-0045")
    assert toin.advice_from(after(CUT, *[asked] * 4)) == NO_ADVICE
    assert toin.advice_from(after(CUT, *[asked] * 5)) == Advice(asked=10, tenths=(4,), fields=("number",))
    rarely = toin.advice_from(after(*[CUT] * 26, *[asked] * 5))
    assert (rarely.asked, rarely.tenths, rarely.fields) == (1, (), ())


def test_reading_back_whole_outputs_means_no_compression_unless_nobody_asked_for_it() -> None:
    assert toin.advice_from(after(*[CUT] * 10, *[toin.read_whole(taught=True)] * 9)).whole is False
    assert toin.advice_from(after(*[CUT] * 10, *[toin.read_whole(taught=True)] * 10)).whole
    assert toin.advice_from(after(*[CUT] * 20, *[toin.read_whole(taught=True)] * 10)).whole is False
    assert toin.advice_from(after(*[CUT] * 10, *[toin.read_whole(taught=False)] * 50)) == NO_ADVICE


def test_wanted_everywhere_means_all_of_it() -> None:
    everywhere = [search(output(3), f"INV-3-{row:04}") for row in range(5, 65, 10) for _ in range(5)]
    assert toin.advice_from(after(*[CUT] * 5, *everywhere)).whole


def test_asking_again_in_spite_of_the_advice_means_all_of_it() -> None:
    text, kept = output(3), Advice(tenths=(4,))
    asked = [search(text, "INV-3-0045", kept)] * 5
    assert not toin.advice_from(after(CUT, *asked[:4])).whole
    assert toin.advice_from(after(CUT, *asked)).whole


def test_outputs_that_follow_an_advice_do_not_count_against_it() -> None:
    asked, kept = search(output(3), "INV-3-0045"), Advice(tenths=(4,), fields=("number",))
    following = toin.compressed(Compressed("short", "smart_crusher", "", 900, 200, "h", 100, 19), kept)
    assert toin.advice_from(after(*[CUT] * 10, *[asked] * 6, *[following] * 300)).tenths == (4,)


def test_advice_fades_when_nobody_asks_any_more() -> None:
    asked, counts = search(output(3), "INV-3-0045"), {}
    kept = Advice(tenths=(4,), fields=("number",))
    following = toin.compressed(Compressed("short", "smart_crusher", "", 900, 200, "h", 100, 19), kept)
    counts = after(*[CUT] * 10, *[asked] * 10)
    for _ in range(2 * toin.MEMORY):
        counts = toin.merged({"s": counts}, {"s": following})["s"]
    assert toin.advice_from(counts).tenths == ()
    assert max(counts.values()) < 10 * toin.MEMORY * 900


@given(
    st.lists(
        st.tuples(
            st.integers(0, 400),
            st.dictionaries(st.sampled_from(["seen", "asked", *map("field:{}".format, range(60))]), st.integers(1, 500)),
        )
    )
)
def test_counts_stay_small(events: list[tuple[int, dict[str, int]]]) -> None:
    patterns: toin.Patterns = {f"tool-{n}": {"seen": 1} for n in range(toin.SIGNATURES)}
    for number, counts in events:
        patterns = toin.merged(patterns, {f"new-{number}": counts})
        assert len(patterns) <= toin.SIGNATURES
        assert all(len(counts) <= 40 for counts in patterns.values())


def test_a_snapshot_is_known_by_what_it_says() -> None:
    asked = search(output(3), "INV-3-0045")
    patterns = {toin.signature(TOOL, output(1)): after(CUT, *[asked] * 5), "quiet": CUT}
    learned = toin.snapshot(patterns)
    copy = toin.load(learned.dump())
    assert copy == learned
    assert (copy.version, len(copy.version)) == (learned.version, 16)
    assert learned.for_output(TOOL, output(9)).tenths == (4,)
    assert learned.for_output("another", output(9)) == NO_ADVICE
    assert toin.Snapshot().version == toin.snapshot({"quiet": CUT}).version == ""
    assert toin.snapshot({**patterns, "quiet": after(CUT, CUT)}).version == learned.version
    for odd in (b"[]", b"{", b'{"s": {"new": 1}}', b'{"s": 1}'):
        with pytest.raises(ValueError):
            toin.load(odd)


def test_rows_asked_for_again_stay() -> None:
    text = output(5, 400)
    middle = [f"INV-5-{row:04}" for row in range(160, 240)]
    before, learned = smaller(text).text or "", smaller(text, Advice(tenths=(4, 5))).text or ""
    assert before
    assert not [number for number in middle if number in before]
    assert [number for number in middle if number not in learned] == []
    assert "INV-5-0080" not in learned
    assert len(learned) < len(text) / 2


def test_lines_asked_for_again_stay() -> None:
    lines = [f"{n}: the worker {random.Random(n).getrandbits(80):x} moved {n * 7919 % 1000} items to shelf {n % 17}" for n in range(600)]
    text = "\n".join(lines)
    before, learned = smaller(text).text or "", smaller(text, Advice(tenths=(4,))).text or ""
    assert before
    kept = [sum(line in shown for line in lines[240:300]) for shown in (before, learned)]
    assert kept[1] > 2 * kept[0]


def test_fields_asked_for_again_are_not_cut() -> None:
    long = " ".join(f"word{n}" for n in range(120))
    text = json.dumps([{"id": n, "note": f"{n} {long}", "log": f"{n} {long}"} for n in range(40)])
    before, learned = smaller(text), smaller(text, Advice(fields=("note",)))
    assert before.text
    assert learned.text
    assert learned.text.count(long) > before.text.count(long)
    assert learned.tokens_after < learned.tokens_before


def test_every_error_stays_when_errors_were_asked_for() -> None:
    records = [{"id": n, "message": f"step {n} {'failed' if n % 4 == 0 else 'done'} after {n * 37 % 101} ms"} for n in range(200)]
    learned = smaller(json.dumps(records), Advice(errors=True)).text or ""
    assert all(f"step {n} failed" in learned for n in range(0, 200, 4))


def test_an_output_wanted_whole_is_not_touched() -> None:
    kept = smaller(output(5), Advice(whole=True))
    assert (kept.text, kept.reason) == (None, "asked_for_whole")
    assert smaller(output(5), Advice(whole=True), "lossless").text == smaller(output(5), fidelity="lossless").text


def test_advice_is_no_part_of_the_key() -> None:
    plain = Segment(output(1), (0, 0), tool=TOOL)
    assert plain.memo_key("scope", Policy()) == replace(plain, advice=Advice(whole=True)).memo_key("scope", Policy())
