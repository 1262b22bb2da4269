"""From which size of a text on a model pays, by its speed."""

from __future__ import annotations

from headroom.compressors.llmlingua.worth import MEASURED, Speed, break_even, window


def test_a_text_pays_when_what_it_loses_is_worth_the_time() -> None:
    fast, slow = Speed(20, 0.02), Speed(20, 5)
    assert break_even(fast, 0.3) == 65
    assert break_even(fast, 0.9) == 474
    assert break_even(fast, 1.0) is None
    assert break_even(slow, 0.3) is None
    assert break_even(Speed(400, 0.02), 0.3) == 202


def test_how_much_is_done_in_time() -> None:
    speed = Speed(24, 1.01)
    assert speed.ms(1000) == 24 + 1010
    assert speed.holds(1000) == 966
    assert speed.holds(10) == 0


def test_the_table_in_words() -> None:
    family = "bert-base-multilingual-cased"
    assert ("cpu", "bfloat16", family) in MEASURED
    said = window("auto", family, 0.3, 1000)
    assert "one CPU core in bfloat16: 103 to 966" in said
    assert "one CPU core in float32: none" in said
    assert "GPU: not measured" in said
    assert "GPU" not in window("cpu", family, 0.3, 1000)
    assert "not measured" in window("cpu", "", 0.3, 1000)
