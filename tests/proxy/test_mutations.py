"""Mutated requests never become an error of ours: the provider's answer, or a refusal in the words of the API."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutations import mutated, recorded, wrong
from tests.proxy.memory import Memory


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    memory = Memory(tmp_path, max_body_mb=1)
    yield memory
    memory.close()


@pytest.mark.parametrize("seed", range(4))
def test_no_mutation_is_an_error_of_ours(memory: Memory, seed: int) -> None:
    draw, requests = random.Random(seed), recorded()
    statuses = []
    for _ in range(100):
        request = mutated(draw, requests)
        answer = memory.ask(*request)
        assert not wrong(answer), request
        statuses.append(answer.status)
    assert {200, 400} <= set(statuses)
