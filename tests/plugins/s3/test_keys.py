from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.journals import sqlite
from bridge.journals.kafka_places import stream_name
from bridge.journals.sources import open_source
from bridge_s3.keys import Naming, Stream, plan_folder, plan_key, plan_start, segment

ANY_TEXT = st.text() | st.text(st.characters())  # lone surrogates too
HOSTILE = [
    "",
    ".",
    "..",
    "/",
    "a/b",
    "\\",
    "\0",
    "\n",
    "%2e%2e",
    "../../etc/passwd",
    "a" * 5_000,
    "आ" * 500,
    "~",
    "\ud800",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_becomes_one_harmless_segment(text):
    assert re.fullmatch(r"[A-Za-z0-9_%~-]{1,100}", segment(text))


@given(ANY_TEXT)
def test_any_text_becomes_one_harmless_segment(text):
    assert re.fullmatch(r"[A-Za-z0-9_%~-]{1,100}", segment(text))


@given(ANY_TEXT, ANY_TEXT)
def test_different_texts_become_different_segments(one, other):
    assert (segment(one) == segment(other)) == (one == other)


def test_long_texts_that_begin_alike_stay_apart():
    assert segment("a" * 500) != segment("a" * 501)


def test_ordinary_names_stay_readable():
    assert segment("sunbird_telemetry-raw") == "sunbird_telemetry-raw"
    assert segment("dev.telemetry raw") == "dev%2Etelemetry%20raw"


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("telemetry[3]", Stream("telemetry", 3)),
        ("a[1][12]", Stream("a[1]", 12)),
        ("dev.telemetry_raw-v3[0]", Stream("dev.telemetry_raw-v3", 0)),
        ("journal", Stream("journal", None)),
        ("telemetry[03]", Stream("telemetry[03]", None)),
        ("7", Stream("7", None)),
        ("[7]", Stream("[7]", None)),
        ("telemetry[3] ", Stream("telemetry[3] ", None)),
        ("telemetry/3", Stream("telemetry/3", None)),
    ],
)
def test_a_stream_is_a_topic_and_a_partition(name, stream):
    assert Stream.of(name) == stream


TOPICS = st.from_regex(r"[A-Za-z0-9._-]{1,249}", fullmatch=True) | st.text(min_size=1)


@given(TOPICS, st.integers(0, 2**31 - 1))
def test_every_partition_of_the_kafka_journal_is_read_back_from_its_stream(topic, partition):
    assert Stream.of(stream_name(topic, partition)) == Stream(topic, partition)


def test_kafka_partitions_lie_in_folders_of_their_topic():
    stream = stream_name("dev.telemetry-raw", 11)
    assert plan_key(stream, 5) == "_chunks/dev%2Etelemetry-raw/00011/00000000000000000005.json"
    hive, secor = Naming("hive", "0a1b2c3d", ".jsonl.gz"), Naming("secor", "0a1b2c3d", ".json.gz")
    assert hive.key(stream, "dt=2026-08-21/hour=13", 5, 9) == (
        "data/topic=dev%2Etelemetry-raw/dt=2026-08-21/hour=13/"
        "0a1b2c3d-00011-00000000000000000005-00000000000000000009.jsonl.gz"
    )
    assert secor.key(stream, "2026-08-21", 5, 9) == "2026-08-21-11-5.json.gz"


def test_the_streams_of_files_and_of_sqlite_have_no_partition(tmp_path):
    path = tmp_path / "events[3].jsonl"
    path.write_bytes(b"{}\n")
    source = open_source(path, whole_lines=True)
    assert source is not None
    source.close()
    for stream in (source.stream, f"{source.stream}~1", sqlite.STREAM):
        assert Stream.of(stream) == Stream(stream, None)
        assert plan_folder(stream).endswith("/whole")


def test_hive_keys_name_topic_date_partition_and_range():
    naming = Naming("hive", "0a1b2c3d", ".jsonl.gz")
    assert naming.key("telemetry[3]", "dt=2026-08-21/hour=13", 0, 1_000) == (
        "data/topic=telemetry/dt=2026-08-21/hour=13/"
        "0a1b2c3d-00003-00000000000000000000-00000000000000001000.jsonl.gz"
    )


def test_without_a_partition_and_a_date_the_range_remains():
    naming = Naming("hive", "0a1b2c3d", ".jsonl")
    assert naming.key("journal", "", 7, 8) == (
        "data/topic=journal/0a1b2c3d-00000000000000000007-00000000000000000008.jsonl"
    )


def test_secor_keys_name_date_partition_and_start():
    naming = Naming("secor", "0a1b2c3d", ".json.gz")
    assert naming.key("telemetry[3]", "2026-08-21", 1_575, 2_000) == "2026-08-21-3-1575.json.gz"
    assert naming._replace(ranged=True).key("telemetry[3]", "2026-08-21", 1_575, 2_000) == (
        "2026-08-21-3-1575-2000.json.gz"
    )


def test_plans_sort_as_positions_do():
    starts = [0, 9, 10, 99, 10**6, 10**18]
    keys = [plan_key("t[3]", start) for start in starts]
    assert keys == sorted(keys)
    assert [plan_start(key) for key in keys] == starts
    assert keys[0] == "_chunks/t/00003/00000000000000000000.json"


def test_plans_of_streams_with_and_without_partition_lie_in_folders_of_their_own():
    assert plan_folder("t") == "_chunks/t/whole"
    assert not plan_folder("t[3]").startswith(plan_folder("t"))


@pytest.mark.parametrize(
    "key", ["_chunks/conditions.json", "_chunks/t/00000/1.json", "x", "_chunks/t/1.json.tmp"]
)
def test_other_keys_are_no_plans(key):
    assert plan_start(key) is None


@given(ANY_TEXT, ANY_TEXT, st.integers(0, 10**19), st.integers(0, 10**19))
def test_no_stream_can_leave_the_archive(stream, eid, start, end):
    for layout in ("hive", "secor"):
        group = f"eid={segment(eid)}" if layout == "hive" else f"{segment(eid)}/2026-08-21"
        key = Naming(layout, "0a1b2c3d", ".jsonl.gz").key(stream, group, start, end)
        assert not {"", ".", ".."} & set(key.split("/"))
        assert re.fullmatch(r"[A-Za-z0-9_%~=./-]+", key)
        assert len(key) < 400
