"""Telemetry: sums without a name, kept here, sent only to an endpoint of one's own, once; off leaves nothing."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from headroom.cli.main import main
from headroom.proxy.services import open_book, open_recorder
from headroom.proxy.telemetry import Telemetry, file_of
from headroom.settings import Settings
from headroom.store import open_store
from headroom.store.threaded import ThreadedStore
from tests.proxy.faces import HTTP, serving, settings_for
from tests.stats.made import MODELS, rows

DAY = 86_400


@contextmanager
def endpoint(*statuses: int) -> Iterator[tuple[str, list[bytes]]]:
    """A URL that takes reports, answering with these statuses and then 204."""
    taken: list[bytes] = []
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(left.pop(0) if left else 204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/reports", taken
    server.shutdown()
    thread.join()
    server.server_close()


def with_yesterday(home: Path, **telemetry: Any) -> Settings:
    """Settings of a home whose ledger holds 150 requests of yesterday and 20 of today."""
    settings = settings_for("http://127.0.0.1:9", home, telemetry=telemetry)
    book = open_book(settings)
    book.start()
    today = time.time() // DAY * DAY
    book.append(rows(150, start=today - DAY + 60))
    book.append(rows(20, seed=1, start=today, step_s=0.001))
    book.close()
    return settings


async def reports(settings: Settings, processes: int = 1) -> list[bool]:
    """Whether each of so many processes on one store reported, all at once."""
    store = ThreadedStore(open_store(settings))
    recorder = open_recorder(settings)
    try:
        return await asyncio.gather(*(Telemetry(settings, recorder, store).once(time.time()) for _ in range(processes)))
    finally:
        await store.close()


def test_a_report_holds_sums_and_no_name(tmp_path: Path) -> None:
    settings = with_yesterday(tmp_path)
    with serving(settings) as url:
        report = HTTP.get(f"{url}/v1/telemetry/report").json()
    assert report["requests"] == 150
    assert 0 < report["tokens_saved_percent"] < 100
    text = json.dumps(report)
    row = rows(1)[0]
    names = [model for _, model in MODELS] + ["search", "billing", "ann", "bob", "claude-cli", str(tmp_path), row["conversation"]]
    assert not [name for name in names if re.search(rf"\b{re.escape(name)}\b", text)]
    assert set(report["providers"]) == {"anthropic", "openai"}
    for value in (report["tokens_before"], report["tokens_saved"], *report["kept"].values()):
        assert len(str(abs(value)).rstrip("0")) <= 2, value


def test_it_is_sent_once_as_it_is_shown(tmp_path: Path) -> None:
    with endpoint() as (url, taken):
        settings = with_yesterday(tmp_path, endpoint=url)
        shown = CliRunner().invoke(main, ["telemetry", "--show"], env={"HEADROOM_HOME": str(tmp_path)}, catch_exceptions=False)
        assert sorted(asyncio.run(reports(settings, processes=4))) == [False, False, False, True]
        assert asyncio.run(reports(settings)) == [False]
    assert taken == [shown.stdout.encode()]
    kept = json.loads(file_of(settings).read_text())["reports"]
    assert list(kept.values()) == [json.loads(shown.stdout)]


def test_without_an_endpoint_it_stays_here(tmp_path: Path) -> None:
    settings = with_yesterday(tmp_path)
    assert asyncio.run(reports(settings)) == [True]
    assert file_of(settings).stat().st_mode & 0o077 == 0
    said = CliRunner().invoke(main, ["telemetry"], env={"HEADROOM_HOME": str(tmp_path)}, catch_exceptions=False)
    assert str(file_of(settings)) in said.stdout
    assert "nobody" in said.stdout


def test_what_was_not_taken_is_sent_again(tmp_path: Path) -> None:
    with endpoint(503) as (url, taken):
        settings = with_yesterday(tmp_path, endpoint=url)
        with pytest.raises(httpx.HTTPStatusError):
            asyncio.run(reports(settings))
        assert asyncio.run(reports(settings)) == [True]
    assert len(taken) == 2
    assert taken[0] == taken[1]


def test_a_day_without_requests_is_not_reported(tmp_path: Path) -> None:
    settings = settings_for("http://127.0.0.1:9", tmp_path)
    assert asyncio.run(reports(settings)) == [False]
    assert not file_of(settings).exists()


def test_off_leaves_nothing(tmp_path: Path) -> None:
    with endpoint() as (url, taken):
        assert asyncio.run(reports(with_yesterday(tmp_path))) == [True]
        settings = settings_for("http://127.0.0.1:9", tmp_path, telemetry={"enabled": False, "endpoint": url})
        assert file_of(settings).exists()
        with serving(settings):
            assert not file_of(settings).exists()
    assert taken == []
    said = CliRunner().invoke(
        main, ["telemetry"], env={"HEADROOM_HOME": str(tmp_path), "HEADROOM_TELEMETRY": "off"}, catch_exceptions=False
    )
    assert said.stdout == "Telemetry is off: nothing is kept or sent.\n"
