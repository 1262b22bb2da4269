"""The ledger takes whatever an outcome may say, in bounded memory."""

from __future__ import annotations

import json

from headroom.model import Outcome, Usage
from headroom.stats.ledger import Ledger


def outcome(model: str = "m", **more: object) -> Outcome:
    return Outcome("id", 1.0, "openai", "openai", model, "reversible", 200, False, 100, 60, **more)  # type: ignore[arg-type]


def test_names_that_callers_choose_are_bounded() -> None:
    ledger = Ledger()
    for number in range(3000):
        ledger.record(outcome(f"model-{number}"))
    by_model = ledger.stats("reversible")["requests"]["by_model"]
    assert len(by_model) <= 501
    assert sum(by_model.values()) == 3000
    assert ledger.exposition.render().count(b"headroom_requests_by_model{") <= 51


def test_an_outcome_without_figures() -> None:
    ledger = Ledger()
    assert json.dumps(ledger.stats("off"))
    ledger.record(outcome("", usage=Usage(), error="client_disconnected"))
    ledger.record(Outcome("id", 1.0, "openai", "openai", "m", "off", 0, True, 0, 5))
    stats = ledger.stats("off")
    assert (stats["requests"]["total"], stats["requests"]["failed"]) == (2, 1)
    assert stats["tokens"]["saved"] == 35
    assert ledger.exposition.render()
