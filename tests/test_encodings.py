"""Bodies come back as they were, whatever the pieces; bombs, breaks and unknown encodings are refused early."""

from __future__ import annotations

import functools
import gzip
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from headroom.encodings import Decoder, decoded
from headroom.errors import BodyTooLarge, InvalidRequest

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
LIMIT = 100_000
NAMES = sorted(ENCODERS)


@given(st.binary(max_size=5000), st.sampled_from(NAMES), st.integers(1, 700))
def test_round_trip_in_pieces(data: bytes, name: str, size: int) -> None:
    encoded = ENCODERS[name](data)
    decoder = Decoder(name, LIMIT)
    pieces = [decoder.feed(encoded[start : start + size]) for start in range(0, len(encoded), size)]
    decoder.finish()
    assert b"".join(pieces) == data
    assert decoded(encoded, name.upper(), LIMIT) == data


@pytest.mark.parametrize("name", NAMES)
def test_the_limit_is_exact(name: str) -> None:
    assert len(decoded(ENCODERS[name](b"a" * LIMIT), name, LIMIT)) == LIMIT
    with pytest.raises(BodyTooLarge):
        decoded(ENCODERS[name](b"a" * (LIMIT + 1)), name, LIMIT)


@functools.cache
def bomb(name: str) -> bytes:
    return brotli.compress(bytes(10_000_000), quality=2) if name == "br" else ENCODERS[name](bytes(10_000_000))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 1000, 10**9])
def test_a_bomb_is_refused_before_it_grows(name: str, size: int) -> None:
    data, decoder = bomb(name), Decoder(name, LIMIT)
    grown: list[int] = []
    with pytest.raises(BodyTooLarge):
        grown.extend(len(decoder.feed(data[start : start + size])) for start in range(0, len(data), size))
    assert sum(grown) <= LIMIT


@pytest.mark.parametrize("name", NAMES)
def test_a_bomb_inside_another_encoding(name: str) -> None:
    with pytest.raises(BodyTooLarge):
        decoded(gzip.compress(bomb(name)), f"{name}, gzip", LIMIT)


@pytest.mark.parametrize("name", NAMES)
def test_broken_data_is_an_error(name: str) -> None:
    encoded = ENCODERS[name](bytes(range(256)) * 9)
    for broken in (encoded[:-1], encoded[: len(encoded) // 2], b"", b"{}" + encoded):
        with pytest.raises(InvalidRequest):
            decoded(broken, name, LIMIT)


@given(st.lists(st.binary(max_size=3000) | st.integers(0, 9000).map(bytes), min_size=1, max_size=9), st.integers(1, 9000), st.data())
def test_members_follow_each_other(members: list[bytes], size: int, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["gzip", "deflate", "zstd"]))
    encoded = b"".join(map(ENCODERS[name], members))
    decoder = Decoder(name, LIMIT)
    pieces = [decoder.feed(encoded[start : start + size]) for start in range(0, len(encoded), size)]
    decoder.finish()
    assert b"".join(pieces) == b"".join(members) == decoded(encoded, name, LIMIT)
    for broken in (encoded[:-1], encoded + b"{}", encoded + encoded[:5]):
        with pytest.raises(InvalidRequest):
            decoded(broken, name, LIMIT)


class Counting:
    """A decompressor of zlib's that notes how many bytes it is handed, and hands back."""

    def __init__(self, made: Any, moved: list[int]) -> None:
        self._made, self._moved = made, moved

    def decompress(self, data: bytes, most: int) -> bytes:
        out: bytes = self._made.decompress(data, most)
        self._moved.append(len(data) + len(self._made.unused_data))
        return out

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)


@pytest.mark.parametrize("name", ["gzip", "deflate"])
@pytest.mark.parametrize("member", [b"", b"x", bytes(9000), bytes(range(256)) * 9])
def test_many_members_are_no_more_work_than_their_bytes(name: str, member: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is copied for a member does not depend on how many follow it."""
    moved: list[int] = []
    make = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", lambda bits: Counting(make(bits), moved))
    count = 3000
    encoded = ENCODERS[name](member) * count
    assert decoded(encoded, name, 10**8) == member * count
    assert sum(moved) <= 4 * len(encoded) + 2 * 512 * count


def test_many_frames_share_one_context(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    make = zstandard.ZstdDecompressor
    monkeypatch.setattr(zstandard, "ZstdDecompressor", lambda **given: made.append(given) or make(**given))
    assert decoded(ENCODERS["zstd"](b"x") * 300, "zstd", LIMIT) == b"x" * 300
    assert len(made) == 1


def test_two_encodings_are_undone_last_first() -> None:
    assert decoded(gzip.compress(brotli.compress(b"x")), "br, gzip", LIMIT) == b"x"
    assert decoded(b"x", "identity", LIMIT) == b"x"


@pytest.mark.parametrize("name", ["compress", "gzip, gzip, gzip", "br;q=1"])
def test_unknown_encodings_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="not supported"):
        Decoder(name, LIMIT)
