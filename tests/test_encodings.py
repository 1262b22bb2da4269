"""Bodies come back as they were, whatever the pieces; bombs, breaks and unknown encodings are refused early."""

from __future__ import annotations

import functools
import gzip
import zlib
from collections.abc import Callable

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


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_members_follow_each_other(name: str) -> None:
    assert decoded(ENCODERS[name](b"one ") + ENCODERS[name](b"two"), name, LIMIT) == b"one two"


def test_two_encodings_are_undone_last_first() -> None:
    assert decoded(gzip.compress(brotli.compress(b"x")), "br, gzip", LIMIT) == b"x"
    assert decoded(b"x", "identity", LIMIT) == b"x"


@pytest.mark.parametrize("name", ["compress", "gzip, gzip, gzip", "br;q=1"])
def test_unknown_encodings_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="not supported"):
        Decoder(name, LIMIT)
