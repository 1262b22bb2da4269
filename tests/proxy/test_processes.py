"""Compression in worker processes: killed, late, or asked too much, it costs a request its saving only."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from headroom.ccr import marker
from headroom.model import Job, Segment
from headroom.proxy.compress import Degraded
from headroom.proxy.processes import WorkerProcesses, warm_up_job
from headroom.settings import Settings
from tests.provider import Provider
from tests.proxy.faces import HTTP, anthropic_turns, asking, embedded, rows, settings_for


def children() -> set[int]:
    """The processes that this one started."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        except OSError:
            continue
        if int(fields["PPid"]) == os.getpid():
            found.add(int(status.parent.name))
    return found


def ask(url: str, turns: int, **headers: str) -> dict[str, str]:
    answer = HTTP.post(f"{url}/v1/messages", json=asking(anthropic_turns(turns)), headers=headers)
    answer.raise_for_status()
    return dict(answer.headers)


def test_a_killed_worker_costs_at_most_one_saving(provider: Provider, tmp_path: Path) -> None:
    before = children()
    with embedded(settings_for(provider, tmp_path)) as url:
        (worker,) = children() - before
        os.kill(worker, signal.SIGKILL)
        headers = ask(url, 1)
        assert headers.get("x-headroom-skip-reason", "") in {"", "compressor_worker_died"}
        assert "x-headroom-skip-reason" not in ask(url, 2)
        assert list(marker.hashes(provider.requests[-1].body.decode()))
    assert children() - before == set()


def test_a_deadline_sends_the_original_now_and_later(provider: Provider, tmp_path: Path) -> None:
    first = json.dumps(asking(anthropic_turns(1)), separators=(",", ":")).encode()
    with embedded(settings_for(provider, tmp_path, compression={"deadline_ms": 1})) as url:
        for _ in range(2):
            answer = HTTP.post(f"{url}/v1/messages", content=first)
            assert answer.headers["x-headroom-skip-reason"] == "compressor_deadline"
            assert provider.requests[-1].body == first
    with embedded(settings_for(provider, tmp_path)) as url:
        ask(url, 2)
        assert provider.requests[-1].json["messages"][2] == anthropic_turns(1)[2]
        assert list(marker.hashes(provider.requests[-1].body.decode()))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def test_getting_ready_leaves_nothing_in_the_store(provider: Provider, tmp_path: Path) -> None:
    settings = settings_for(provider, tmp_path)
    with embedded(settings) as url:
        assert HTTP.get(f"{url}/stats").json()["compression"]["ccr_entries"] == 0
        ask(url, 1)
        assert HTTP.get(f"{url}/stats").json()["compression"]["ccr_entries"] == 1


def test_jobs_that_wait_in_vain_are_dropped(settings: Settings) -> None:
    async def crowd() -> None:
        compress = WorkerProcesses(settings)
        large = Job(tuple(Segment(rows(n, 400), (0, 0)) for n in range(30)), settings.compression.policy, "s", "m")
        first = asyncio.create_task(compress(large, 60.0))
        await asyncio.sleep(0)
        late = await asyncio.gather(*(compress(large, 0.001) for _ in range(20)), return_exceptions=True)
        assert {failure.reason for failure in late if isinstance(failure, Degraded)} == {"deadline"}
        assert len(late) == 20
        await asyncio.sleep(0)
        assert len(compress._tasks) == 1
        assert len((await first).compressed) == 30
        assert compress.ready
        await compress.close()

    asyncio.run(crowd())


def test_a_job_whose_client_left_is_dropped(settings: Settings) -> None:
    async def leave() -> None:
        compress = WorkerProcesses(settings)
        first = asyncio.create_task(compress(warm_up_job(settings.compression.policy), 60.0))
        second = asyncio.create_task(compress(warm_up_job(settings.compression.policy), 60.0))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait({second})
        await asyncio.sleep(0)
        assert len(compress._tasks) == 1
        assert (await first).compressed[0].text
        await compress.close()

    asyncio.run(leave())


def test_close_ends_what_is_in_progress(settings: Settings) -> None:
    async def close() -> None:
        compress = WorkerProcesses(settings)
        await compress(warm_up_job(settings.compression.policy), 60.0)
        large = Job(tuple(Segment(rows(n, 400), (0, 0)) for n in range(200)), settings.compression.policy, "s", "m")
        jobs = [asyncio.create_task(compress(large, 60.0)) for _ in range(2)]
        for _ in range(5):
            await asyncio.sleep(0)
        await compress.close()
        ends = await asyncio.gather(*jobs, return_exceptions=True)
        assert [type(end) for end in ends] == [Degraded, Degraded]

    before = children()
    asyncio.run(close())
    assert children() - before == set()


def test_a_worker_that_cannot_do_the_job_degrades(settings: Settings) -> None:
    async def fail() -> None:
        compress = WorkerProcesses(settings)
        nonsense = Job((Segment(7, (0, 0)),), settings.compression.policy, "s", "m")  # type: ignore[arg-type]
        with pytest.raises(Degraded, match="failed"):
            await compress(nonsense, 60.0)
        await compress.close()

    asyncio.run(fail())
