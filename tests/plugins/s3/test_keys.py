from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ("telemetry/3", Stream("telemetry", 3)),
        ("a/b/12", Stream("a/b", 12)),
        ("telemetry:0", Stream("telemetry", 0)),
        ("journal", Stream("journal", None)),
        ("telemetry/03", Stream("telemetry/03", None)),
        ("7", Stream("7", None)),
        ("/7", Stream("/7", None)),
        ("log/2026-08-21", Stream("log/2026-08-21", None)),
    ],
)
def test_a_stream_is_a_topic_and_a_partition(name, stream):
    assert Stream.of(name) == stream


def test_hive_keys_name_topic_date_partition_and_range():
    naming = Naming("hive", "0a1b2c3d", ".jsonl.gz")
    assert naming.key("telemetry/3", "dt=2026-08-21/hour=13", 0, 1_000) == (
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
    assert naming.key("telemetry/3", "2026-08-21", 1_575, 2_000) == "2026-08-21-3-1575.json.gz"
    assert naming._replace(ranged=True).key("telemetry/3", "2026-08-21", 1_575, 2_000) == (
        "2026-08-21-3-1575-2000.json.gz"
    )


def test_plans_sort_as_positions_do():
    starts = [0, 9, 10, 99, 10**6, 10**18]
    keys = [plan_key("t/3", start) for start in starts]
    assert keys == sorted(keys)
    assert [plan_start(key) for key in keys] == starts
    assert keys[0] == "_chunks/t/00003/00000000000000000000.json"


def test_plans_of_streams_with_and_without_partition_lie_in_folders_of_their_own():
    assert plan_folder("t") == "_chunks/t/whole"
    assert not plan_folder("t/3").startswith(plan_folder("t"))


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
