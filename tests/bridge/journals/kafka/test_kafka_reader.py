"""One reader on a cluster: where it begins, what it commits, and what it does when something is missing."""

from __future__ import annotations

import logging
import threading
import time

import pytest

PROTOCOLS = ["classic", "consumer"]
REBALANCE_IN_PROGRESS, NOT_COORDINATOR = 27, 16


@pytest.fixture
def topic(cluster, produce, make_raw):
    """A topic `t` with one partition and a hundred events."""
    values = [make_raw(n) for n in range(100)]
    cluster.topic("t", 1)
    produce("t", values)
    return values


@pytest.fixture
def reader(open_reader):
    return open_reader("t", group_protocol="consumer")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_restart_goes_on_behind_what_was_committed(
    cluster, produce, open_reader, make_raw, patience, protocol
):
    cluster.topic("t", 2)
    values = [make_raw(n) for n in range(100)]
    produce("t", values, partitions=2)
    first = open_reader("t", group_protocol=protocol)
    payloads, pages = patience.take(first, 100)
    assert sorted(payloads) == sorted(values)
    first.commit({"t[0]": 10, "t[1]": 50})
    first.close()
    payloads, pages = patience.take(open_reader("t", group_protocol=protocol), 40)
    assert payloads == values[20::2]
    assert (pages[0].stream, pages[0].start, pages[-1].end) == ("t[0]", 10, 50)


def test_records_carry_the_time_that_kafka_gives_them(cluster, produce, reader, make_raw, patience):
    cluster.topic("t", 1)
    produce("t", [make_raw(1), make_raw(2)], timestamp=1_700_000_000_123)
    _, pages = patience.take(reader, 2)
    assert [time for page in pages for time in page.received] == [1_700_000_000_123] * 2


def test_a_record_without_a_value_is_passed_over(cluster, produce, reader, make_raw, patience):
    cluster.topic("t", 1)
    produce("t", [make_raw(0), None, None, make_raw(3), None])
    payloads, pages = patience.take(reader, 2)
    pages += patience.until(lambda _: reader.at_end(), reader)
    assert payloads == [make_raw(0), make_raw(3)]
    assert [after for page in pages for after in page.afters] == [1, 4]
    assert pages[-1].end == 5


def test_a_cursor_never_moves_backwards(topic, reader, committed, patience):
    patience.take(reader, 100)
    reader.commit({"t[0]": 60})
    patience.until(lambda _: committed("test.x") == {0: 60}, reader)
    reader.commit({"t[0]": 10})
    reader.commit({"t[0]": 61})
    reader.close()
    assert committed("test.x") == {0: 61}


def test_what_belongs_to_somebody_else_is_not_committed(topic, reader, committed, patience):
    patience.take(reader, 100)
    reader.commit({"t[0]": 60, "t[1]": 7, "other[0]": 9})
    reader.close()
    assert committed("test.x", partitions=2) == {0: 60}


def test_the_last_cursor_is_durable_after_close(topic, open_reader, committed, patience):
    reader = open_reader("t", group_protocol="consumer")
    patience.take(reader, 100)
    reader.commit({"t[0]": 99})
    reader.close()
    assert committed("test.x") == {0: 99}


def test_a_refused_commit_is_sent_again(cluster, topic, reader, committed, patience):
    patience.take(reader, 100)
    cluster.fail_commits(REBALANCE_IN_PROGRESS, NOT_COORDINATOR)
    reader.commit({"t[0]": 42})
    patience.until(lambda _: committed("test.x") == {0: 42}, reader)
    patience.until(lambda _: reader.trouble == "", reader)


def test_reading_waits_while_nothing_can_be_committed(cluster, topic, reader, patience, caplog):
    caplog.set_level(logging.ERROR, "bridge")
    patience.take(reader, 100)
    cluster.fail_commits(*[REBALANCE_IN_PROGRESS] * 50)
    reader.commit({"t[0]": 42})
    patience.until(lambda _: reader._commits.reason != "", reader)
    reader._commits._clock = lambda: time.monotonic() + 100
    assert reader.read(0.0) is None
    assert "nothing could be committed for 100 s" in reader.trouble
    assert "reading waits until it can" in caplog.text
    cluster.heal_commits()


@pytest.mark.parametrize("moment", ["before it starts", "while it is full"])
def test_deleted_records_are_counted_and_the_reader_goes_on(
    cluster, topic, open_reader, committed, patience, caplog, moment
):
    caplog.set_level(logging.ERROR, "bridge")
    reader = open_reader("t", group_protocol="consumer")
    patience.take(reader, 100)
    reader.rewind({"t[0]": 20})
    if moment == "before it starts":
        reader.commit({"t[0]": 20})
        reader.close()
        cluster.delete_records("t", 0, 70)
        reader = open_reader("t", group_protocol="consumer")
    else:
        reader.idle()
        reader._full_since -= 2.0
        reader.idle()
        cluster.delete_records("t", 0, 70)
    payloads, pages = patience.take(reader, 30)
    assert payloads == topic[70:]
    assert pages[0].start == 70
    assert reader.missed == 50
    assert "up to 50 records of t[0] were deleted before they were read" in caplog.text


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(
    topic, open_reader, committed, commit_for, patience, caplog
):
    caplog.set_level(logging.ERROR, "bridge")
    commit_for("test.x", 5_000)
    lost = []
    reader = open_reader("t", group_protocol="consumer")
    reader.on_lost = lost.extend
    payloads, _ = patience.take(reader, 100, commit=True)
    assert payloads == topic
    assert lost == ["t[0]"]
    patience.until(lambda _: committed("test.x") == {0: 100}, reader)
    assert "t[0] ends at 100, but was read up to 5000; it is read again from its beginning" in caplog.text


def test_a_new_group_may_begin_at_the_end(topic, open_reader, produce, committed, make_raw, patience):
    reader = open_reader("t", start="latest", group_protocol="consumer")
    patience.until(lambda _: reader.at_end(), reader)
    assert committed("test.x") == {0: 100}  # before anything was read, so that a crash skips nothing
    reader.close()
    produce("t", [make_raw(500)])
    payloads, _ = patience.take(open_reader("t", start="latest", group_protocol="consumer"), 1)
    assert payloads == [make_raw(500)]


def test_a_partition_that_comes_later_is_read_from_its_beginning(
    cluster, topic, produce, open_reader, patience, make_raw
):
    reader = open_reader(
        "^t.*", start="latest", group_protocol="consumer", options={"topic.metadata.refresh.interval.ms": 200}
    )
    patience.until(lambda _: reader.at_end(), reader)
    cluster.topic("t-new", 1)
    produce("t-new", [make_raw(1), make_raw(2)])
    payloads, pages = patience.take(reader, 2)
    assert payloads == [make_raw(1), make_raw(2)]
    assert pages[0].stream == "t-new[0]"


def test_rewinding_reads_again(topic, reader, patience):
    patience.take(reader, 100)
    reader.rewind({"t[0]": 95})
    payloads, pages = patience.take(reader, 5)
    assert payloads == topic[95:]
    assert pages[0].start == 95


def test_the_end_is_known_only_after_everything_was_read(topic, produce, reader, patience, make_raw):
    assert not reader.at_end()
    patience.take(reader, 100)
    patience.until(lambda _: reader.at_end(), reader)
    produce("t", [make_raw(100)])
    assert not reader.at_end()
    patience.take(reader, 1)
    patience.until(lambda _: reader.at_end(), reader)


def test_lag_counts_what_is_not_read_yet_even_while_the_reader_is_full(
    topic, produce, reader, patience, make_raw
):
    assert reader.lag().records is None
    patience.until(lambda _: reader.at_end(), reader)
    reader._lag_at -= 2
    assert (reader.lag().records, reader.lag().seconds) == (0, 0.0)
    reader.idle()
    reader._full_since -= 2.0
    reader.idle()
    produce("t", [make_raw(n) for n in range(100, 130)])

    def known(_):
        reader._lag_at -= 2
        reader._watch._ends_at -= 20
        return reader.lag().records == 30

    patience.until(known)
    assert 0 <= reader.lag().seconds < 3600


def test_a_full_reader_keeps_its_partitions_past_the_poll_interval(
    topic, open_reader, patience, produce, make_raw
):
    lost = []
    reader = open_reader("t", options={"max.poll.interval.ms": 1500, "session.timeout.ms": 1500})
    reader.on_lost = lost.extend
    patience.take(reader, 100)
    ends = time.monotonic() + 2.5
    while time.monotonic() < ends:
        reader.idle()
        time.sleep(0.05)
    produce("t", [make_raw(100)])
    payloads, pages = patience.take(reader, 1)
    assert lost == []
    assert (payloads, pages[0].start) == ([make_raw(100)], 100)


def test_it_goes_on_when_the_brokers_come_back(
    cluster, topic, produce, reader, committed, make_raw, patience
):
    patience.take(reader, 100)
    cluster.down()
    reader.commit({"t[0]": 100})
    patience.until(lambda _: "no broker can be reached" in reader.trouble, reader)
    cluster.up()
    produce("t", [make_raw(100)])
    payloads, _ = patience.take(reader, 1)
    assert payloads == [make_raw(100)]
    patience.until(lambda _: committed("test.x") == {0: 100}, reader)
    assert reader.trouble == ""


def test_closing_does_not_wait_for_brokers_that_are_gone(
    cluster, topic, open_reader, patience, monkeypatch, caplog
):
    monkeypatch.setattr("bridge.journals.kafka_reader.CLOSE_SECONDS", 0.3)
    reader = open_reader("t", group_protocol="consumer")
    patience.take(reader, 100)
    cluster.down()
    reader.commit({"t[0]": 100})
    reader.close()
    assert "does not wait for brokers" in caplog.text
    cluster.up()
    for thread in threading.enumerate():
        if thread.name == "test.x-close":
            thread.join(20)
