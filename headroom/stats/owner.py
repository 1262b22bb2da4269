"""Whose a folder of Parquet files is: one home writes it. Rollups are read, added to and written; two would lose what the other counted.

The folder holds `owner.json`, the home its id. A folder without an owner is claimed by the first run that writes to it: its last days are
counted anew before, because a home that is gone may have written rows of which its rollups know nothing.
"""

from __future__ import annotations

import errno
import json
import os
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
# of a folder on a disk, which no later try mends; a full disk may have room again
_LASTING = frozenset((errno.EACCES, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EPERM, errno.EROFS))


class NotOurs(OSError):
    """The folder is that of another home."""


def check(places: Places) -> str:
    """Why the folder cannot be written now, in words, for it to be tried again later; an empty string where it can.

    Raises SettingsError for one that is another home's, or that no later try would write: a URL that is none, a path that nobody may write.
    """
    found: list[SettingsError | str] = []
    thread = threading.Thread(target=lambda: found.append(_trouble(places)), name="stats-owner", daemon=True)
    thread.start()
    thread.join(_WAIT_S)
    trouble = found[0] if found else f"{shown_url(places.url)} gives no answer within {_WAIT_S:.0f} seconds"
    if isinstance(trouble, SettingsError):
        raise trouble
    return trouble


def _trouble(places: Places) -> SettingsError | str:
    url = shown_url(places.url)
    try:
        _ours(places)
        _try(places)
    except SettingsError as failure:
        return failure
    except NotOurs as failure:
        return SettingsError(f"stats.url: {failure}")
    except (OSError, ArrowException) as failure:
        number = getattr(failure, "errno", None)
        why = os.strerror(number) if number else str(failure).partition("\n")[0].rstrip(".")
        told = why.removeprefix("stats.url: ") if url in why else f"{url} cannot be written: {why}"
        on_disk = "://" not in places.url or places.url.startswith("file://")
        if not on_disk or number not in _LASTING:
            return told
        mend = f"Set HEADROOM_STATS_URL to a folder that can be, or leave it out: the ledger is then in {places.home}."
        return SettingsError(f"stats.url: {url} cannot be written: {why}. {mend}")
    return ""


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


def _try(places: Places) -> None:
    """Write a file and remove it. Raises OSError."""
    system, path = _opened(places)
    if isinstance(system, fs.LocalFileSystem):
        system.create_dir(path)
    file = f"{path}/.trial-{uuid.uuid4().hex[:8]}"
    with system.open_output_stream(file) as stream:
        stream.write(b"headroom")
    system.delete_file(file)


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
