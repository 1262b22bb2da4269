"""How stores write down a text and a result. Texts may hold lone surrogates, as JSON bodies may."""

from __future__ import annotations

import json
from dataclasses import fields

import zstandard

from headroom.model import Compressed

_NAMES = tuple(field.name for field in fields(Compressed) if field.name != "text")


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def pack(text: str) -> bytes:
    """A zstd frame with a checksum; never empty."""
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(encode(text))


def unpack(frame: bytes) -> str:
    """Raises zstandard.ZstdError when the frame is damaged."""
    return decode(zstandard.ZstdDecompressor().decompress(frame))


def split_result(result: Compressed) -> tuple[str, bytes | None]:
    """The small fields as JSON, and the text, which is not compressed: results are read far more often than written."""
    small = {name: getattr(result, name) for name in _NAMES}
    return json.dumps(small, separators=(",", ":")), None if result.text is None else encode(result.text)


def join_result(small: str, text: bytes | None) -> Compressed | None:
    """The result, or None when another version of `Compressed` wrote it."""
    try:
        values = json.loads(small)
        decoded = None if text is None else decode(text)
    except ValueError:
        return None
    if not isinstance(values, dict) or tuple(values) != _NAMES:
        return None
    return Compressed(decoded, **values)
