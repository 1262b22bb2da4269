"""The ledger in an object store, over HTTP: written, compacted, read, rolled up; by writers that are killed, and while it is away."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

from headroom.errors import SettingsError
from headroom.stats import journal
from headroom.stats.board import Wish
from headroom.stats.book import Book
from headroom.stats.export import outcomes
from headroom.stats.ledger import Query
from headroom.stats.places import Places
from headroom.stats.series import SERIES
from tests.stats.made import START, rows
from tests.stats.test_ledger import EVERYTHING, FOREVER, NOW, expected

_MONTHS = Query(first=round(START * 1e6), last=round((START + 90 * 86_400) * 1e6))
_COMPACTS = """
import sys
from pathlib import Path
from headroom.stats.compaction import Compaction
from headroom.stats.parquet import Folder
from headroom.stats.places import Places

class Told(Folder):
    def write(self, path, *more):
        print(path, flush=True)
        sys.stdin.readline()
        super().write(path, *more)

places = Places(Path(sys.argv[1]), sys.argv[2])
Compaction(places, 36_500, Told(places.url)).run(float(sys.argv[3]))
"""


@pytest.fixture
def store() -> Iterator[ThreadedMotoServer]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    httpx.put(f"{_address(server)}/ledger").raise_for_status()
    yield server
    httpx.post(f"{_address(server)}/moto-api/reset").raise_for_status()
    server.stop()


def _address(server: ThreadedMotoServer) -> str:
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


def _url(server: ThreadedMotoServer) -> str:
    address = _address(server).removeprefix("http://")
    return f"s3://key:secret@ledger/stats?scheme=http&endpoint_override={address}&region=us-east-1"


def _book(home: Path, url: str) -> Book:
    book = Book(Places(home, url), FOREVER, home / "savings.json")
    book.start()
    return book


def _compact_until(written: int, home: Path, url: str) -> None:
    """By a process that is killed when it is about to write the next file."""
    command = [sys.executable, "-c", _COMPACTS, str(home), url, str(NOW)]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdin
    assert writer.stdout
    for _ in range(written):
        assert writer.stdout.readline().endswith(".parquet\n")
        writer.stdin.write("\n")
        writer.stdin.flush()
    assert writer.stdout.readline().endswith(".parquet\n")
    writer.kill()
    writer.communicate()


def test_what_writers_left_that_were_killed_counts_once(store: ThreadedMotoServer, tmp_path: Path) -> None:
    """In the middle of the parts, and of the rollups; then by a process that ends well. The files open in Arrow."""
    found, url = rows(24, step_s=1800), _url(store)
    book = _book(tmp_path, url)
    for part in (found[:10], found[10:20], found[20:]):
        book.append(part)
        book.seal()
    for written in (3, 14):  # of 12 parts and 4 rollups
        _compact_until(written, tmp_path, url)
        assert book.look().total == expected(found)
    assert book.look(EVERYTHING).total == expected(found)  # which mends what was left half done
    assert not journal.files(tmp_path / "journal")
    other = _book(tmp_path, url)
    assert other.look(_MONTHS).total == other.look().total == expected(found)
    for series in SERIES:
        assert other.board(Wish(series=series)).total["saved_nanousd"] == expected(found)["saved_nanousd"]
    kept = pa.concat_tables(outcomes(Places(tmp_path, url), Query()))
    assert Counter(kept.column("event_id").to_pylist()) == Counter(row["event_id"] for row in found)
    system, path = fs.FileSystem.from_uri(url)
    files = system.get_file_info(fs.FileSelector(path, recursive=True))
    assert sum(file.path.endswith(".parquet") for file in files) == 16
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_store_that_is_away_loses_nothing(store: ThreadedMotoServer, tmp_path: Path) -> None:
    found, url = rows(20), _url(store)
    book = _book(tmp_path, url)
    book.append(found[:10])
    book.seal()
    assert book.compact(NOW)
    _, port = store.get_host_and_port()
    store.stop()
    book.append(found[10:])
    book.seal()
    with pytest.raises(OSError):
        book.compact(NOW)
    assert book.look().total == expected(found)  # the journal is on this machine
    again = ThreadedMotoServer("127.0.0.1", port, verbose=False)  # the same process: it has what was written
    again.start()
    try:
        assert book.compact(NOW)
        assert book.look(EVERYTHING).total == expected(found)
    finally:
        again.stop()
        store.start()


def test_a_bucket_has_one_home(store: ThreadedMotoServer, tmp_path: Path) -> None:
    """Until its owner is removed; a prefix of its own is another folder."""
    url = _url(store)
    one, two = _book(tmp_path / "one", url), _book(tmp_path / "two", url)
    for seed, book in enumerate((one, two)):
        book.append(rows(10, seed=seed))
        book.seal()
    assert one.compact(NOW)
    with pytest.raises(SettingsError, match="is the ledger of another home") as refused:
        two.check()
    assert "secret" not in str(refused.value)
    with pytest.raises(OSError, match="is the ledger of another home"):
        two.compact(NOW)
    system, path = fs.FileSystem.from_uri(url)
    system.delete_file(f"{path}/owner.json")
    assert two.compact(NOW)
    assert two.look().total == expected([*rows(10, seed=0), *rows(10, seed=1)])
    two.check()
    assert _book(tmp_path / "three", url.replace("/stats?", "/stats/three?")).compact(NOW) is False


def test_a_bucket_that_is_not_there_is_told(store: ThreadedMotoServer, tmp_path: Path) -> None:
    """It may be made yet; one that is there is left as it was."""
    book = _book(tmp_path, _url(store).replace("@ledger/", "@another/"))
    told = book.check()
    assert "s3://another/stats cannot be written" in told
    assert "bucket" in told.lower()
    assert "secret" not in told
    httpx.put(f"{_address(store)}/another").raise_for_status()
    assert book.check() == ""
    system, path = fs.FileSystem.from_uri(_url(store).replace("@ledger/", "@another/"))
    assert not [file for file in system.get_file_info(fs.FileSelector(path, recursive=True)) if file.is_file]
