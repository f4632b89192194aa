"""Compression: readable by everybody, the same bytes every time."""

from __future__ import annotations

import gzip
import io
import random
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bridge import compression
from bridge.native import compiled

LINES = b"".join(b'{"eid":"INTERACT","mid":"%d"}\n' % random.Random(n).getrandbits(64) for n in range(2_000))


@given(st.binary(max_size=2_000), st.integers(0, 9))
def test_gzip_is_read_back_by_the_standard_library(data, level):
    assert gzip.decompress(compression.compress(data, level)) == data


@given(st.binary(max_size=2_000), st.sampled_from([1, 3, 9]))
def test_zstd_is_read_back(data, level):
    assert zstandard.decompress(compression.compress_zstd(data, level)) == data


def test_the_same_input_gives_the_same_bytes():
    assert compression.compress(LINES) == compression.compress(bytes(LINES))
    assert compression.compress_zstd(LINES) == compression.compress_zstd(bytes(LINES))


@given(st.lists(st.binary(max_size=2_000), max_size=20), st.integers(0, 9))
def test_parts_are_compressed_as_if_they_were_joined(parts, level):
    assert compression.compress_joined(parts, level) == compression.compress(b"".join(parts), level)


def test_parts_may_come_from_an_iterator_and_are_all_of_the_body():
    assert gzip.decompress(compression.compress_joined(iter([LINES, b"tail"]))) == LINES + b"tail"
    assert gzip.decompress(compression.compress_joined([b"short"])) == b"short"


@given(
    st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=30)), max_size=20),
    st.binary(max_size=5),
    st.integers(0, 3),
)
def test_rows_are_joined_column_by_column(rows, same, kept):
    columns = [one[0] for one in rows], same, tuple(one[1] for one in rows)
    expected = b"".join(first + same + last for first, last in rows)
    assert b"".join(compression.Rows(*columns)) == expected
    for module in {None, compiled()}:
        buffer = io.BytesIO(bytes(100 * kept))
        size = compression._write(buffer, compression.Rows(*columns), module)
        assert buffer.getvalue()[:size] == expected
    with compression.joined(compression.Rows(*columns)) as text:
        assert bytes(text) == expected


def test_columns_of_different_lengths_are_refused():
    rows = compression.Rows([b"a", b"b"], b",", [b"c"])
    for attempt in (lambda: b"".join(rows), lambda: compression.compress_joined(rows)):
        with pytest.raises(ValueError, match=r"argument|length"):
            attempt()


@pytest.mark.parametrize("parts", [["text"], [b"a", None], [7]])
def test_a_part_that_is_no_bytes_is_refused(parts):
    with pytest.raises(TypeError):
        compression.compress_joined(parts)


def test_parts_of_many_threads_do_not_mix():
    bodies = [[bytes([65 + n]) * 100_000, LINES] for n in range(8)] * 10
    with ThreadPoolExecutor(8) as threads:
        packed = list(threads.map(compression.compress_joined, bodies))
    assert packed == [compression.compress(b"".join(body)) for body in bodies]


def test_the_memory_of_a_huge_body_is_not_kept():
    compression.compress_joined([bytes(compression.LARGEST_KEPT)] * 2)
    assert all(len(one.getbuffer()) <= compression.LARGEST_KEPT for one in compression._used)
    assert len(compression._used) <= compression.MOST_KEPT


def test_a_gzip_header_tells_neither_time_nor_name():
    packed = compression.compress(LINES)
    assert packed[:2] == b"\x1f\x8b"
    assert packed[3] == 0
    assert packed[4:8] == bytes(4)


def test_a_zstd_frame_states_its_size():
    assert zstandard.get_frame_parameters(compression.compress_zstd(LINES)).content_size == len(LINES)


def test_members_and_frames_can_be_joined():
    assert gzip.decompress(compression.compress(b"a") + compression.compress(b"b")) == b"ab"
    joined = compression.compress_zstd(b"a") + compression.compress_zstd(b"b")
    assert zstandard.ZstdDecompressor().stream_reader(joined, read_across_frames=True).read() == b"ab"


def test_zlib_steps_in_where_isal_has_no_build(monkeypatch):
    monkeypatch.setattr(compression, "_fast", None)
    assert compression.compress(LINES) == zlib.compress(LINES, 1, 31)


def test_isal_is_used_where_it_can_be():
    isal_zlib = pytest.importorskip("isal.isal_zlib")
    assert compression.compress(LINES) == isal_zlib.compress(LINES, 1, 31)
    assert compression.compress(LINES, 9) == zlib.compress(LINES, 9, 31)
