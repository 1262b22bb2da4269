"""Where the ledger stands: its lock, and whose its folder is."""

from __future__ import annotations

import fcntl
import os
import re
import time
from pathlib import Path

import pytest
from pyarrow import fs

import headroom.stats.owner
import headroom.stats.places
from headroom.cli.doctor import statistics
from headroom.errors import SettingsError
from headroom.proxy.services import open_recorder
from headroom.settings import Settings
from headroom.stats import rollups
from headroom.stats.book import Book
from headroom.stats.ledger import Query
from headroom.stats.places import Places
from headroom.stats.rows import Row
from tests.stats.made import rows
from tests.stats.test_ledger import EVERYTHING, FOREVER, NOW, expected


def test_a_lock_that_is_not_let_go_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For readers and for whoever commits, who has written nothing then."""
    monkeypatch.setattr(headroom.stats.places, "_PATIENCE_S", 0.01)
    places = Places(tmp_path, str(tmp_path))
    descriptor = os.open(tmp_path / ".commit", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(OSError, match="another process holds the ledger"), places.steady():
        raise AssertionError
    with pytest.raises(OSError, match="another process holds the ledger"), places.commit():
        raise AssertionError
    os.close(descriptor)
    assert not places.dirty
    with places.steady() as whole:
        assert whole


def _book(home: Path, url: str) -> Book:
    book = Book(Places(home, url), FOREVER, home / "savings.json")
    book.start()
    return book


def _filled(home: Path, url: str, seed: int) -> tuple[Book, list[Row]]:
    book, found = _book(home, url), rows(10, seed=seed)
    book.append(found)
    book.seal()
    return book, found


def test_a_folder_is_written_by_one_home(tmp_path: Path) -> None:
    url = str(tmp_path / "shared")
    (one, found), (two, _) = (_filled(tmp_path / name, url, seed) for seed, name in enumerate("ab"))
    assert one.compact(NOW)
    with pytest.raises(OSError, match=f"is the ledger of another home .*{tmp_path}/a on .*prefix of its own.*delete .*owner.json"):
        two.compact(NOW)
    assert two.look().total["requests"] == 10, "its rows wait in its journal"
    assert _book(tmp_path / "a", url).look(EVERYTHING).total == expected(found)
    for _ in range(2):  # the owner again and again
        one.append(rows(1, seed=9))
        one.seal()
        assert one.compact(NOW)


def test_another_home_is_refused_at_the_start(tmp_path: Path) -> None:
    url = str(tmp_path / "shared")
    one, _ = _filled(tmp_path / "a" / "stats", url, 1)
    assert one.compact(NOW)
    settings = Settings(home=tmp_path / "b", stats={"url": url})
    with pytest.raises(SettingsError, match=r"stats\.url: .* is the ledger of another home"):
        open_recorder(settings)
    open_recorder(settings.model_copy(update={"home": tmp_path / "a"}))
    open_recorder(Settings(home=tmp_path / "b", stats={"url": f"{url}/b"}))


WRONG = {
    "s4://bucket/x": "Unrecognized filesystem type",
    "s3://": "names no bucket",
    "s3:///x": "Missing bucket name",
    "s3://key:secret@bucket/x?regoin=eu-west-1": "Unexpected query parameter",
    "s3://key:secret@bucket x/y": "Cannot parse URI",
    "s3://key:secret@[bucket/x": "Cannot parse URI",
    "s3:/key:secret@bucket/x": "two slashes",
    "fsspec+s4://key:secret@bucket/x": "cannot be opened",
    "{}/file/x": "Not a directory",
    "{}/file": "File exists",
    "{}/gone": "File exists",
    "file://{}/file": "Not a directory",
    "file://{}/file/x": "Not a directory",
    "/proc/self/x": "No such file or directory",
    "/sys/kernel": "cannot be written",
}


@pytest.mark.parametrize("url", WRONG)
def test_a_folder_that_never_can_be_written_stops_the_start(tmp_path: Path, url: str) -> None:
    """And says so to the doctor."""
    (tmp_path / "file").touch()
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere" / "x" / "y")
    settings = Settings(home=tmp_path / "home", stats={"url": url.format(tmp_path)})
    with pytest.raises(SettingsError, match=r"^stats\.url: .*HEADROOM_STATS_URL") as refused:
        open_recorder(settings)
    assert WRONG[url] in refused.value.message
    assert "secret" not in refused.value.message
    (finding,) = statistics(settings)
    assert (finding.state, finding.detail) == ("broken", refused.value.message)


def test_a_store_that_is_away_stops_no_start_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = "s3://key:secret@bucket/x?scheme=http&endpoint_override=127.0.0.1:1&region=us-east-1"
    settings = Settings(home=tmp_path, stats={"url": url})
    open_recorder(settings)
    assert re.search(r"stats\.url: s3://bucket/x (gives no answer|cannot be written).* wait in the journal", caplog.text)
    (finding,) = statistics(settings)
    assert finding.state == "broken"
    assert "wait in the journal" in finding.detail
    assert "secret" not in caplog.text + finding.detail + finding.mend


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk here")
def test_a_full_disk_stops_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def full(self: object, path: str) -> object:
        return fs.LocalFileSystem().open_append_stream("/dev/full")

    class Full(fs.LocalFileSystem):
        open_output_stream = full

    settings = Settings(home=tmp_path, stats={"url": str(tmp_path / "folder")})
    monkeypatch.setattr(headroom.stats.owner, "_opened", lambda _: (Full(), str(tmp_path / "folder")))
    open_recorder(settings)
    assert "No space left on device" in caplog.text


@pytest.mark.parametrize("url", ["{}/new/folder", "file://{}/new/folder"])
def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path: Path, url: str) -> None:
    settings = Settings(home=tmp_path / "home", stats={"url": url.format(tmp_path)})
    open_recorder(settings)
    (finding,) = statistics(settings)
    assert finding.state == "ok"
    assert not list((tmp_path / "new" / "folder").iterdir())
    for at_home in ({}, {"stats": {"url": str(tmp_path / "stats")}}):
        assert list(statistics(Settings.model_validate({"home": tmp_path, **at_home}))) == []


def test_a_new_home_takes_over_what_a_lost_one_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where that one was killed between rows and rollups."""
    url = str(tmp_path / "shared")
    now = time.time()
    one, two = (_book(tmp_path / name, url) for name in "ab")
    found = rows(30, start=now - 7200, step_s=60)
    one.append(found[:20])
    one.seal()
    assert one.compact(now)
    one.append(found[20:])
    one.seal()
    with monkeypatch.context() as patch:
        patch.setattr(rollups.Update, "write", lambda _: (_ for _ in ()).throw(OSError("the machine is gone")))
        with pytest.raises(OSError, match="gone"):
            one.compact(now)
    (tmp_path / "shared" / "owner.json").unlink()
    assert two.look().total["requests"] == 0
    two.append(rows(1, seed=9, start=now - 60))
    two.seal()
    assert two.compact(now)
    every = expected([*found, *rows(1, seed=9, start=now - 60)])
    assert two.look().total == every
    assert two.look(Query(first=round((now - 86_400) * 1e6), last=round((now + 86_400) * 1e6))).total == every
    assert two.look(EVERYTHING).total == every
    with pytest.raises(OSError, match="another home"):
        one.compact(now)
