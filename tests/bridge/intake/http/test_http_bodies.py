"""Bodies are held within limits, whatever way they are compressed or cut into pieces."""

from __future__ import annotations

import contextlib
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.configuration.intake import HttpLimits
from bridge.intake.http_answers import Refused
from bridge.intake.http_bodies import Body, Budget, GzipBody

MIB = 1024 * 1024


def fill(kind, data, size, limits=None, budget=None):
    body = kind(limits or HttpLimits(), budget or Budget(64 * MIB))
    for place in range(0, len(data), size):
        body.feed(data[place : place + size])
    return body


def refusal(kind, data, size=65536, limits=None):
    """How it was refused, and how many bytes were held at the most."""
    budget = Budget(64 * MIB)
    with pytest.raises(Refused) as caught:
        fill(kind, data, size, limits, budget).close()
    return caught.value.status, budget.used


@given(st.binary(max_size=5000), st.integers(1, 6000))
def test_a_plain_body_is_what_was_sent(data, size):
    assert fill(Body, data, size).close() == data


@given(st.binary(max_size=3000), st.integers(1, 40), st.integers(1, 6000), st.integers(0, 9))
def test_a_gzip_body_is_what_was_compressed(data, times, size, level):
    text = data * times
    assert fill(GzipBody, gzip.compress(text, level), size).close() == text


@given(st.binary(max_size=300), st.integers(1, 100))
def test_bytes_that_are_no_gzip_are_refused_and_never_crash(data, size):
    with contextlib.suppress(Refused):
        assert fill(GzipBody, data, size).close() == gzip.decompress(data)


def test_a_body_longer_than_the_limit_is_refused():
    limits = HttpLimits(body_bytes=1024)
    assert fill(Body, b"x" * 1024, 100, limits).close() == b"x" * 1024
    assert refusal(Body, b"x" * 1025, 100, limits)[0] == 413


@pytest.mark.parametrize("size", [1, 100, 65536])
def test_a_bomb_is_refused_while_it_is_small(size):
    status, held = refusal(GzipBody, gzip.compress(b"\0" * 100 * MIB), size)
    assert status == 413
    assert held <= 256 * 1024


def test_a_bomb_below_the_ratio_is_refused_at_the_length():
    text = b"".join(b"%08x" % (number * 2654435761 % 2**32) * 8 for number in range(120_000))
    squeezed = gzip.compress(text)
    assert len(text) > 5 * MIB > len(squeezed) * 2
    status, held = refusal(GzipBody, squeezed, limits=HttpLimits(compressed_bytes=5 * MIB))
    assert status == 413
    assert held <= 5 * MIB


def test_a_long_compressed_body_is_refused_by_what_was_sent():
    limits = HttpLimits(compressed_bytes=2048)
    noise = b"".join(
        zlib.crc32(bytes([number % 256, number // 256])).to_bytes(4, "big") for number in range(2000)
    )
    assert refusal(GzipBody, gzip.compress(noise), 100, limits)[0] == 413


def test_short_texts_may_be_compressed_very_well():
    text = b"a" * 60_000
    assert fill(GzipBody, gzip.compress(text), 10).close() == text


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (gzip.compress(b"abc", mtime=0)[:-1], "cut off"),
        (gzip.compress(b"abc", mtime=0)[:5], "cut off"),
        (b"", "cut off"),
        (gzip.compress(b"abc", mtime=0) + b"x", "goes on"),
        (gzip.compress(b"abc", mtime=0) * 2, "goes on"),
        (zlib.compress(b"abc"), "not gzip"),
        (b'{"events":[]}', "not gzip"),
        (gzip.compress(b"abc", mtime=0)[:-5] + b"\0\0\0\0\0", "not gzip"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_gzip_that_is_not_whole_is_a_bad_request(data, why, size):
    with pytest.raises(Refused, match=why) as caught:
        fill(GzipBody, data, size).close()
    assert caught.value.status == 400


def test_all_bodies_together_are_bounded():
    budget = Budget(1000)
    first, second = Body(HttpLimits(), budget), Body(HttpLimits(), budget)
    first.feed(b"x" * 600)
    with pytest.raises(Refused) as caught:
        second.feed(b"x" * 500)
    assert (caught.value.status, caught.value.after) == (503, 1)
    first.release()
    first.release()
    second.feed(b"x" * 500)
    assert budget.used == 500
    second.release()
    assert budget.used == 0


def test_a_body_counts_until_it_is_released():
    budget = Budget(MIB)
    body = fill(GzipBody, gzip.compress(b"x" * 5000, mtime=0), 10, budget=budget)
    body.close()
    assert budget.used == 5000
    body.release()
    assert budget.used == 0
