"""Whose a folder of Parquet files is: one home writes it. Rollups are read, added to and written; two would lose what the other counted.

The folder holds `owner.json`, the home its id. A folder without an owner is claimed by the first run that writes to it: its last days are
counted anew before, because a home that is gone may have written rows of which its rollups know nothing.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pyarrow import ArrowException, fs

from headroom.errors import SettingsError
from headroom.settings.parts import shown_url
from headroom.stats import rollups
from headroom.stats.journal import locked
from headroom.stats.parquet import Folder
from headroom.stats.places import Places
from headroom.stats.summary import read_json, replace

OWNER = "owner.json"
_DAYS = 2  # that a run may have been at; older rows may be gone
_WAIT_S = 5.0  # at a start, for a store that gives no answer


class NotOurs(OSError):
    """The folder is that of another home."""


def check(places: Places) -> None:
    """Raises SettingsError when the folder is that of another home; a store that gives no answer now is asked again by `claim`."""
    found: list[NotOurs] = []

    def look() -> None:
        try:
            _ours(places)
        except NotOurs as failure:
            found.append(failure)
        except (OSError, ArrowException, SettingsError):
            return

    thread = threading.Thread(target=look, name="stats-owner", daemon=True)
    thread.start()
    thread.join(_WAIT_S)
    if found:
        raise SettingsError(f"stats.url: {found[0]}")


def claim(places: Places) -> None:
    """Before a run writes: the folder is this home's behind it. Raises NotOurs, OSError."""
    with locked(places.lock) as free:
        if not free or _ours(places):  # another process of this home is at it, and claims it
            return
        _count_anew(places)
        system, path = _opened(places)
        with system.open_output_stream(f"{path}/{OWNER}") as stream:
            stream.write(json.dumps(_card(places)).encode())
        _ours(places)


def _ours(places: Places) -> bool:
    """False when the folder is nobody's. Raises NotOurs."""
    system, path = _opened(places)
    try:
        with system.open_input_file(f"{path}/{OWNER}") as stream:
            found = _parsed(stream.read())
    except FileNotFoundError:
        return False
    if found.get("id") != (read_json(places.home / OWNER) or {}).get("id", ""):
        url = shown_url(places.url).rstrip("/")
        who = f"{found.get('home')} on {found.get('host')}, since {found.get('since')}"
        raise NotOurs(
            f"{url} is the ledger of another home ({who}). Give each home a prefix of its own, like {url}/{socket.gethostname()}; "
            f"or, if that home is gone and writes no more, delete {url}/{OWNER}."
        )
    return True


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _card(places: Places) -> dict[str, Any]:
    """What says who the home is; made once."""
    file = places.home / OWNER
    if not (found := read_json(file)):
        since = datetime.now(UTC).strftime("%Y-%m-%d")
        found = {"id": uuid.uuid4().hex, "home": str(places.home), "host": socket.gethostname(), "since": since}
        replace(file, found)
    return found


def _opened(places: Places) -> tuple[fs.FileSystem, str]:
    Folder(places.url)  # makes it where it is on a disk, and says what is wrong with a URL
    if "://" not in places.url:
        return fs.LocalFileSystem(), str(Path(places.url).resolve())
    system, path = fs.FileSystem.from_uri(places.url)
    return system, path.rstrip("/")


def _count_anew(places: Places) -> None:
    """The rollups of the last days that have rows; the next run does the totals."""
    folder = Folder(places.url)
    days = sorted(day for path in folder.directories("outcomes") if (day := rollups.day_of_partition(path)))
    recent = [day for day in days if day >= datetime.fromtimestamp(time.time(), UTC).date() - timedelta(days=_DAYS)]
    update = rollups.Update(folder, anew=True)
    update.hours({hour: () for day in recent for hour in rollups.hours_kept(folder, day)})
    places.doubt()
    update.write()
