from __future__ import annotations

import gzip
import io

import pytest
import zstandard

from bridge_s3 import S3Config
from bridge_s3.formats import Lines, format_of

RUNS = [[b'{"a":1}', b'{"b":"\xe0\xa4\x86"}'], [b'{"c":3}'], [b'{"d":4}'] * 50]
TEXT = b"".join(line + b"\n" for run in RUNS for line in run)


def packs(codec: str) -> list[bytes]:
    form = Lines(codec)
    return [form.pack("g", [], run).data for run in RUNS]


def test_joined_gzip_packs_are_one_file_for_the_standard_library():
    assert gzip.decompress(b"".join(packs("gzip"))) == TEXT


def test_joined_zstd_packs_are_one_file_for_zstandard():
    reader = zstandard.ZstdDecompressor().stream_reader(
        io.BytesIO(b"".join(packs("zstd"))), read_across_frames=True
    )
    assert reader.read() == TEXT


def test_without_compression_the_bytes_are_the_lines():
    assert b"".join(packs("none")) == TEXT


def test_gzip_members_carry_neither_time_nor_name():
    for member in packs("gzip"):
        assert member[3] == 0  # no optional fields
        assert member[4:8] == bytes(4)  # no modification time


@pytest.mark.parametrize("codec", ["gzip", "zstd", "none"])
def test_the_same_run_gives_the_same_bytes(codec):
    assert packs(codec) == packs(codec)


@pytest.mark.parametrize("codec", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_events_are_counted_in_pieces_of_any_size(codec, size):
    data = b"".join(packs(codec))
    pieces = [data[begin : begin + size] for begin in range(0, len(data), size)]
    assert Lines(codec).count(pieces) == 53


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_damaged_objects_cannot_be_counted(codec):
    data = b"".join(packs(codec))
    for broken in (data[:-1], data[1:], b"", data[:30] + b"\0" + data[31:], data + b"x"):
        with pytest.raises(ValueError, match="damaged"):
            Lines(codec).count([broken])


@pytest.mark.parametrize("codec", ["gzip", "zstd", "none"])
def test_people_see_the_lines(codec):
    assert Lines(codec).show(packs(codec)).encode() == TEXT


@pytest.mark.parametrize(
    ("settings", "suffix"),
    [
        ({}, ".jsonl.gz"),
        ({"compression": "zstd"}, ".jsonl.zst"),
        ({"compression": "none"}, ".jsonl"),
        ({"layout": "secor"}, ".json.gz"),
    ],
)
def test_the_name_tells_the_format(settings, suffix):
    assert format_of(S3Config.model_validate({"url": "memory:///x", **settings})).suffix == suffix
