"""Looking at the cursors of a group from outside, and moving them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bridge.errors import BridgeError
from bridge.journals.kafka import kafka_cursors, reset_kafka_cursors

NOW = datetime.now(UTC)


@pytest.fixture
def config(cluster, produce, make_raw, make_config):
    cluster.topic("t", 2)
    produce(
        "t", [make_raw(n) for n in range(20)], partitions=2, timestamp=int(NOW.timestamp() * 1000) - 60_000
    )
    return make_config("t", group_protocol="consumer")


def test_each_pipelines_place_and_lag_are_shown(config, commit_for):
    commit_for("test.x", 7)
    rows = kafka_cursors(config, "test", ["x", "rejects"])
    assert [(r.pipeline, r.stream, r.position, r.low, r.high, r.lag) for r in rows] == [
        ("x", "t[0]", 7, 0, 10, 3),
        ("x", "t[1]", None, 0, 10, 10),
        ("rejects", "t[0]", None, 0, 10, 10),
        ("rejects", "t[1]", None, 0, 10, 10),
    ]
    assert all(60 <= row.lag_seconds < 600 for row in rows)


@pytest.mark.parametrize(
    ("to", "expected"), [("earliest", [0, 0]), ("latest", [10, 10]), (4, [4, 4]), (99, [10, 10])]
)
def test_cursors_are_moved_within_what_there_is(config, commit_for, committed, to, expected):
    commit_for("test.x", 7)
    planned = reset_kafka_cursors(config, "test", "x", to)
    assert [(move.stream, move.before, move.after) for move in planned] == [
        ("t[0]", 7, expected[0]),
        ("t[1]", None, expected[1]),
    ]
    assert committed("test.x", partitions=2) == {0: 7}
    reset_kafka_cursors(config, "test", "x", to, dry_run=False)
    assert committed("test.x", partitions=2) == dict(enumerate(expected))


def test_one_partition_can_be_moved_alone(config, committed):
    reset_kafka_cursors(config, "test", "x", 5, streams={"t[1]"}, dry_run=False)
    assert committed("test.x", partitions=2) == {1: 5}
    with pytest.raises(BridgeError, match="no such partition"):
        reset_kafka_cursors(config, "test", "x", 5, streams={"t[9]"})


def test_cursors_are_not_moved_under_a_running_bridge(config, open_reader, patience):
    patience.take(open_reader("t", group_protocol="consumer"), 20)
    with pytest.raises(BridgeError, match="stop every bridge process"):
        reset_kafka_cursors(config, "test", "x", "earliest", dry_run=False)


def test_what_was_moved_is_read_from_there(config, open_reader, patience, make_raw):
    reset_kafka_cursors(config, "test", "x", 8, dry_run=False)
    payloads, _ = patience.take(open_reader("t", group_protocol="consumer"), 4)
    assert sorted(payloads) == sorted(make_raw(n) for n in (16, 17, 18, 19))
