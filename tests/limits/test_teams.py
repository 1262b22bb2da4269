"""The limits of teams while the store is lost: what was found goes on, the rest is open or closed as the settings say."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from headroom.errors import StoreUnavailable
from headroom.grants import Allowance
from headroom.limits import keys, teams
from headroom.limits.keys import TeamRules
from headroom.limits.teams import Teams
from headroom.settings import LimitsSettings
from headroom.store.sqlite import SqliteStore


class Asked:
    """The store, which can be lost; counts how often it is asked."""

    def __init__(self, path: Path) -> None:
        self.store = SqliteStore(path / "s", 3600, 10**6)
        self.calls = 0
        self.lost = False

    async def get_record(self, table: str, key: str) -> bytes | None:
        self.calls += 1
        if self.lost:
            raise StoreUnavailable("lost")
        return self.store.get_record(table, key)


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    asked = Asked(tmp_path)
    teams.put(asked.store, "data", {"rpm": 5})
    return asked


@pytest.mark.parametrize(
    ("limits", "closed"),
    [
        ({}, False),
        ({"rate_when_lost": "closed"}, True),
        ({"budget_when_lost": "closed"}, True),
        ({"rate_when_lost": "closed", "rate_limit": False}, False),
        ({"budget_when_lost": "closed", "rate_limit": False}, True),
    ],
)
def test_a_team_never_found_is_refused_where_limits_are_closed(asked: Asked, limits: dict[str, str], closed: bool) -> None:
    rules = keys.register(LimitsSettings.model_validate({"teams": {"fixed": {"rpm": 7}}, **limits})).teams

    async def find() -> None:
        found = Teams(asked, rules)
        asked.lost = True
        assert await found.find("fixed") == Allowance(rpm=7)
        assert await found.find("") is None
        if not closed:
            assert await found.find("data") is None
            return
        with pytest.raises(StoreUnavailable):
            await found.find("data")

    asyncio.run(find())


@pytest.mark.parametrize("closed", [True, False])
def test_a_failed_look_up_is_not_remembered_and_a_lost_store_is_asked_seldom(asked: Asked, closed: bool) -> None:
    async def find() -> None:
        patient = Teams(asked, TeamRules({}, closed), pause_s=3600)
        eager = Teams(asked, TeamRules({}, closed), pause_s=0)
        asked.lost = True
        for number in range(20):
            for found in (patient, eager):
                try:
                    assert await found.find(f"team{number}") is None
                    assert not closed
                except StoreUnavailable:
                    assert closed
        assert asked.calls == 1 + 20
        asked.lost = False
        assert await eager.find("data") == Allowance(rpm=5)

    asyncio.run(find())


def test_what_was_found_goes_on_while_the_store_is_lost(asked: Asked) -> None:
    async def find() -> None:
        found = Teams(asked, TeamRules({}, closed=True), memory_s=0, pause_s=0)
        assert await found.find("data") == Allowance(rpm=5)
        assert await found.find("unlimited") is None
        asked.lost = True
        assert await found.find("data") == Allowance(rpm=5)
        assert await found.find("unlimited") is None
        asked.lost = False
        teams.put(asked.store, "data", {"rpm": 6})
        assert await found.find("data") == Allowance(rpm=6)

    asyncio.run(find())
