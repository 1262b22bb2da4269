"""How bytes lie at rest: sealed where there is a key, and large texts in a file or object store.

`Seal` encrypts with AES-GCM, bound to the place where the bytes lie, so that they cannot be moved to another owner's.
What was written before there was a key stays readable; what was written with another key is not. `Away` keeps frames under a
URL (`file://`, `s3://`, whatever pyarrow.fs knows). A name is made anew for every writing, so that removing an old one
never takes away a new one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headroom.errors import SettingsError, StoreUnavailable
from headroom.settings.parts import shown_url

_MARK = b"\xff"  # no zstd frame, JSON or UTF-8 text begins like this; plain bytes that do get _PLAIN before them
_PLAIN = _MARK + b"\x00"
_SEALED = _MARK + b"\x01"
AWAY = _MARK + b"\x02"
_NONCE = 12
_KEY = 32
_log = logging.getLogger(__name__)


class Seal:
    """`key` is 32 bytes; None writes plainly."""

    def __init__(self, key: bytes | None = None) -> None:
        self._cipher: Any = None
        if key is not None:
            try:
                from cryptography.hazmat.primitives.ciphers.aead import AESGCM
            except ModuleNotFoundError:
                raise SettingsError("store.encryption_key needs cryptography: pip install 'headroom[encryption]'") from None
            self._cipher = AESGCM(key)

    def shut(self, place: str, data: bytes) -> bytes:
        """What is written at `place`."""
        if self._cipher is None:
            return _PLAIN + data if data.startswith(_MARK) else data
        nonce = os.urandom(_NONCE)
        return _SEALED + nonce + bytes(self._cipher.encrypt(nonce, data, _bound(place)))

    def open(self, place: str, data: bytes) -> bytes:
        """What was shut for `place`. Raises StoreUnavailable when the key is another one, or the bytes were changed or moved."""
        if data.startswith(_PLAIN):
            return data[len(_PLAIN) :]
        if not data.startswith(_SEALED):
            return data
        if self._cipher is None:
            raise StoreUnavailable("what is stored is encrypted, and this process has no key: see store.encryption_key")
        from cryptography.exceptions import InvalidTag

        sealed = data[len(_SEALED) :]
        try:
            return bytes(self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound(place)))
        except (InvalidTag, ValueError):
            raise StoreUnavailable("what is stored was encrypted with another key, or was changed") from None


class Away:
    """Frames in files of their own under `url`. Raises SettingsError for a URL that pyarrow.fs does not know."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: set[str] = set()
        try:
            from pyarrow import ArrowException
            from pyarrow.fs import FileSystem

            self._failures: tuple[type[Exception], ...] = (OSError, ArrowException)
            if urlsplit(url).scheme == "file":
                Path(urlsplit(url).path).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._files, self._base = FileSystem.from_uri(url)
        except ModuleNotFoundError:
            raise SettingsError("store.blobs_url needs pyarrow: pip install 'headroom[proxy]'") from None
        except (OSError, ValueError) as failure:
            raise SettingsError(f"store.blobs_url: {shown_url(url)}: {str(failure).replace(url, shown_url(url))}") from None

    def put(self, scope: str, hash: str, frame: bytes) -> str:
        """Write a frame; its name. Raises StoreUnavailable."""
        directory = hashlib.sha256(_bound(scope)).hexdigest()[:32]
        name = f"{directory}/{hashlib.sha256(_bound(hash)).hexdigest()[:16]}-{secrets.token_hex(8)}"
        try:
            if directory not in self._made:
                self._files.create_dir(f"{self._base}/{directory}")
                self._made.add(directory)
            with self._files.open_output_stream(f"{self._base}/{name}") as file:
                file.write(frame)
        except self._failures as failure:
            self._made.discard(directory)
            self.drop([name])
            raise StoreUnavailable(f"{shown_url(self._url)}: cannot be written: {failure}") from failure
        return name

    def get(self, name: str) -> bytes:
        """The frame. Raises StoreUnavailable."""
        try:
            with self._files.open_input_stream(f"{self._base}/{name}") as file:
                return bytes(file.read())
        except self._failures as failure:
            raise StoreUnavailable(f"{shown_url(self._url)}: cannot be read: {failure}") from failure

    def drop(self, names: Iterable[str]) -> None:
        """Remove frames; what cannot be removed is logged and stays."""
        for name in names:
            try:
                self._files.delete_file(f"{self._base}/{name}")
            except FileNotFoundError:
                continue
            except self._failures as failure:
                _log.warning("%s: an old file could not be removed: %s", shown_url(self._url), type(failure).__name__)


class Vault:
    """What a store does with bytes before they are written and after they were read; plain and in the store itself by default.

    Frames of more than `above` bytes go `away`.
    """

    def __init__(self, seal: Seal | None = None, away: Away | None = None, above: int = 0) -> None:
        self._seal = seal or Seal()
        self._away = away
        self._above = above

    def shut(self, place: str, data: bytes) -> bytes:
        """As `Seal.shut`."""
        return self._seal.shut(place, data)

    def open(self, place: str, data: bytes) -> bytes:
        """As `Seal.open`."""
        return self._seal.open(place, data)

    def open_all(self, place: str, rows: Mapping[str, bytes]) -> dict[str, bytes | None]:
        """What was shut for `place` and each key; None where that is not readable. Raises StoreUnavailable when none is."""
        found: dict[str, bytes | None] = {}
        failure: StoreUnavailable | None = None
        for key, data in rows.items():
            try:
                found[key] = self.open(place + key, data)
            except StoreUnavailable as unreadable:
                found[key], failure = None, unreadable
        if failure and all(data is None for data in found.values()):
            raise failure
        return found

    def put(self, scope: str, hash: str, frame: bytes) -> bytes:
        """What stands in the store for the frame of an original: itself, sealed, or the name of where it lies."""
        sealed = self._seal.shut(f"original:{scope}:{hash}", frame)
        if self._away is None or len(frame) <= self._above:
            return sealed
        return AWAY + self._away.put(scope, hash, sealed).encode()

    def get(self, scope: str, hash: str, stands: bytes) -> bytes:
        """The frame. Raises StoreUnavailable."""
        if stands.startswith(AWAY):
            if self._away is None:
                raise StoreUnavailable("this original lies elsewhere, and store.blobs_url does not say where")
            stands = self._away.get(stands[len(AWAY) :].decode())
        return self._seal.open(f"original:{scope}:{hash}", stands)

    def drop(self, stands: Iterable[bytes]) -> None:
        """Remove what lies elsewhere of these."""
        names = [one[len(AWAY) :].decode() for one in stands if one.startswith(AWAY)]
        if names and self._away is not None:
            self._away.drop(names)


def key_of(value: str, name: str) -> bytes | None:
    """The 32 bytes that the variable `name` holds as hex or base64; None when it is empty. Raises SettingsError, which tells no value."""
    decoders: tuple[Callable[[str], bytes], ...] = (
        bytes.fromhex,
        lambda text: base64.b64decode(text, validate=True),
        base64.urlsafe_b64decode,
    )
    for decode in decoders if value else ():
        try:
            key = decode(value.strip())
        except (ValueError, binascii.Error):
            continue
        if len(key) == _KEY:
            return key
    if value:
        raise SettingsError(f"{name}: must hold 32 bytes as hex or base64: python -c 'import os; print(os.urandom(32).hex())'")
    return None


def _bound(place: str) -> bytes:
    return place.encode("utf-8", "surrogatepass")
