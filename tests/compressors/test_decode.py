"""Every lossless result of every kind decodes to what came in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom import pipeline
from headroom.compressors import COMPRESSORS, decode, fold, fold_phrases, fold_repeats, numbered
from headroom.compressors.base import Draft
from headroom.model import Compressed, Policy, Segment

HASH = "0123456789abcdef"
POLICY = Policy(fidelity="lossless", min_tokens=1)

_CUSTOMERS = [
    {"id": at, "name": f"n{at % 7}", "url": f"https://shop.example/api/v2/customers/{at}", "tags": ["a", None]} for at in range(60)
]
_NAMES = [f"{side}_{part}" for side in ("north", "south", "east", "west") for part in ("upper", "lower", "inner", "outer")]
_FILE = """diff --git a/src/billing/tariffs/{name}.py b/src/billing/tariffs/{name}.py
index 1f0c..2e9a 100644
--- a/src/billing/tariffs/{name}.py
+++ b/src/billing/tariffs/{name}.py
@@ -1,3 +1,3 @@ def price(tariff: Tariff, customer: Customer) -> Money:
 rate = {name}
-    return tariff.price_of(customer, default=None, rounded=True, currency=customer.currency) * 2
+    return tariff.price_of(customer, default=None, rounded=True, currency=customer.currency) * {name}
 # the end of it
"""
_DIFF = "".join(_FILE.format(name=name) for name in _NAMES)
_LOG = "\n".join(f"2031-02-03T04:{at // 60:02}:{at % 60:02}Z INFO worker-{at % 7} stored part {at * 31} of batch b{at}" for at in range(90))
_SEARCH = "\n".join(
    f"src/billing/tariffs/rate_{at // 9}.py:{at}:    return lookup(tariff_{at}, customer, default=None)" for at in range(90)
)
_TABLE = "\n".join(["NAME                     STATE      AGE", *[f"tariff-service-{at:<9} Running    {at}d" for at in range(60)]])
_PAGE = (
    "<html><body>"
    + "".join(f'<li class="tariff__entry tariff__entry--plain"><a href="/t/{at}">{at}</a></li>\n' for at in range(60))
    + "</body></html>"
)
_SAMPLES = {
    "smart_crusher": json.dumps(_CUSTOMERS, indent=1),
    "log": _LOG,
    "search": _SEARCH,
    "table": _TABLE,
    "diff": _DIFF,
    "fold": _PAGE,
}

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(["a\tb", "<table 1>", "\u00a70"]),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=30,
)
_LINE = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["[\u00a70-\u00a70 stand for the phrases in the next 1 lines]", "\u00a70=x", "\\", "@a = x <*>", "@~ ", "[lines 1-2 again]"]
    ),
    st.sampled_from([_LOG, _SEARCH, _DIFF, _TABLE, _PAGE]).flatmap(lambda text: st.sampled_from(text.split("\n"))),
)


class Characters:
    """Counts four characters as a token."""

    name = "characters"
    exact = False

    def count(self, text: str) -> int:
        return len(text) // 4


def lossless(text: str) -> Compressed:
    return pipeline.compress([Segment(text, (0, 0))], POLICY, Characters())[0]


def check(text: str) -> Compressed:
    result = lossless(text)
    assert not result.reason.startswith("failed")
    if result.text is not None:
        assert decode.decode(result.transform, result.text) == decode.original(result.transform, text)
        assert result.items == result.items_kept
    return result


@pytest.mark.parametrize("label", sorted(_SAMPLES))
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_each_kind_gets_smaller_and_comes_back(label: str, end: str) -> None:
    result = check(_SAMPLES[label].replace("\n", end))
    if end == "\n" or label != "table":
        assert result.transform == label
        assert result.tokens_after < 0.9 * result.tokens_before


def test_words_around_json_come_back() -> None:
    text = f"The customers are:\n{json.dumps(_CUSTOMERS)}\n\nThat was all.\n"
    result = check(text)
    assert result.text is not None
    decoded = decode.decode(result.transform, result.text)
    assert decoded.startswith("The customers are:\n[{")
    assert decoded.endswith("}]\n\nThat was all.\n")
    assert json.loads(decoded[19:-16]) == _CUSTOMERS


@given(st.lists(_LINE, min_size=12, max_size=40).map("\n".join))
def test_any_lines_come_back(text: str) -> None:
    check(text)


@given(
    _JSON,
    st.sampled_from(["", "Result: ", "\u00a70-\u00a71\n", "[a]\n"]),
    st.sampled_from(["", "\n", "\r\nend", "]"]),
    st.sampled_from([None, 1]),
)
def test_any_json_comes_back(value: object, before: str, behind: str, indent: int | None) -> None:
    check(before + json.dumps([value, *_CUSTOMERS[:8]], indent=indent) + behind)


@given(st.lists(_LINE, min_size=1, max_size=30).map("\n".join), st.sampled_from(sorted(COMPRESSORS)))
def test_any_lines_come_back_from_any_compressor(text: str, kind: str) -> None:
    compressor = COMPRESSORS[kind]
    segment = Segment(text, (0, 0))
    parsed = compressor.parse(segment)
    if parsed is None:
        return
    draft = compressor.render(segment, parsed, [0.0] * len(parsed.units), "lossless", HASH)
    label, draft = fold.shorten(compressor.label, text, draft, HASH)
    if draft is not None:
        assert decode.decode(label, draft.text) == decode.original(label, text)


def test_what_looks_like_a_rule_for_names_is_not_taken_for_one() -> None:
    forged = "[\u00a70-\u00a70 stand for the phrases in the next 1 lines]\n\u00a70=x\n\u00a70"
    assert fold.shorten("log", forged, Draft(f"head\n{forged}", 3, 3), HASH) == ("log", None)
    repeated = f"{forged}\n{_DIFF}"
    label, draft = fold.shorten("html", repeated, None, HASH)
    assert draft is None or decode.decode(label, draft.text) == repeated
    assert fold_phrases.decode("head\nbody") == "head\nbody"
    assert fold_repeats.decode(fold_repeats.encode(forged, HASH)) == forged


def test_a_listing_comes_back() -> None:
    text = "\n".join(f"{at:6}\tdef rate_{at}(tariff):" for at in range(1, 80))
    written = numbered.shorter(text, HASH)
    assert written is not None
    assert decode.decode(numbered.LABEL, written) == text


def test_a_label_without_a_lossless_form_is_an_error() -> None:
    with pytest.raises(KeyError):
        decode.decode("html", "head\nbody")
