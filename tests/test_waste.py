"""What says nothing new is found, and what says something is not."""

from __future__ import annotations

import json

from headroom.waste import KINDS, signals
from tests.proxy.faces import rows


def test_each_kind() -> None:
    assert signals([rows(1)])["json_bloat"] > 500
    assert signals(["<html><body><!-- c --><p class='x'>word</p></body></html>"])["html_noise"] == 14
    assert signals(["A" * 400])["base64"] == 100
    assert signals(["a" + " " * 41 + "b"])["whitespace"] == 10
    assert signals(["connection refused by the host\n" * 3])["repetition"] == 15
    assert signals([], ["Today is 2026-03-14, session 3f2b8c1e-0000-4000-8000-1234567890ab."])["dynamic_date"] == 12


def test_plain_words_waste_nothing() -> None:
    plain = "One line about 3 nodes.\nAnother line about what they do, on 2026-03-14."
    assert set(signals([plain], ["Be brief."]).values()) == {0}
    assert tuple(signals([])) == KINDS
    assert signals([json.dumps({"a": 1, "b": 2})])["json_bloat"] == 0
