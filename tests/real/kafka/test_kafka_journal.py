"""The Kafka journal against a real broker: what the mock cluster cannot show, and its core once more."""

from __future__ import annotations

import logging
import random
import time
from datetime import UTC, datetime

import confluent_kafka
import pytest

from bridge.deadletters import DeadLetter, Filter, SqliteDeadLetters
from bridge.errors import BridgeError
from bridge.journals.base import JournalContext
from bridge.journals.kafka import KafkaJournal, kafka_cursors, reset_kafka_cursors
from bridge.state import State

pytestmark = pytest.mark.real
PROTOCOLS = ["classic", "consumer"]


def values_of(count, first=0):
    return [b'{"eid":"LOG","mid":"LOG:%d"}' % n for n in range(first, first + count)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_restart_goes_on_behind_what_was_committed(
    make_topic, produce, open_reader, take, committed, protocol
):
    topic, values = make_topic(2), values_of(2_000)
    produce(topic, values, partitions=2)
    first = open_reader(topic, group_protocol=protocol, instance=topic)
    payloads, _ = take(first, 2_000)
    assert sorted(payloads) == sorted(values)
    first.commit({f"{topic}[0]": 10, f"{topic}[1]": 1_000})
    first.close()
    assert committed(f"{topic}.x", topic) == {0: 10, 1: 1_000}
    payloads, pages = take(open_reader(topic, group_protocol=protocol, instance=topic), 990)
    assert payloads == values[20::2]
    assert pages[0].start == 10


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_next_owner_begins_where_the_last_one_has_settled(
    make_topic, produce, open_reader, take, until, committed, protocol
):
    """The commit in a revocation is not waited for, and is there all the same."""
    topic, values = make_topic(4), values_of(400)
    produce(topic, values, partitions=4)
    first = open_reader(topic, group_protocol=protocol, instance=topic)
    given_up = set()

    def settle_and_forget(streams):
        first.commit(dict.fromkeys(streams, 90))
        given_up.update(streams)

    first.on_lost = settle_and_forget
    take(first, 400)
    second = open_reader(topic, group_protocol=protocol, instance=topic)
    pages = until(lambda pages: sum(len(page.payloads) for page in pages) >= 20, first, second)
    assert {page.stream for page in pages} == given_up
    assert all(min(p.start for p in pages if p.stream == stream) == 90 for stream in given_up)
    first.commit(dict.fromkeys(given_up, 95))
    until(lambda _: not first._commits.pending, first, second)
    assert set(committed(f"{topic}.x", topic).values()) == {90}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_member_that_was_away_commits_nothing(
    make_topic, produce, open_reader, take, until, committed, protocol
):
    topic = make_topic(4)
    produce(topic, values_of(400), partitions=4)
    away = {"max.poll.interval.ms": 4_000, "session.timeout.ms": 4_000}
    options = away if protocol == "classic" else {"max.poll.interval.ms": 4_000}
    first = open_reader(topic, group_protocol=protocol, instance=topic, options=options)
    lost = set()

    def forget(streams):
        first.commit(dict.fromkeys(streams, 100))
        lost.update(streams)

    first.on_lost = forget
    take(first, 400)
    second = open_reader(topic, group_protocol=protocol, instance=topic)
    until(lambda _: len(second._places) == 4, second)
    until(lambda _: len(lost) == 4, first, second)
    assert committed(f"{topic}.x", topic) == {}


def test_deleted_records_are_counted_and_the_reader_goes_on(
    make_topic, produce, open_reader, take, admin, caplog
):
    topic, values = make_topic(1), values_of(100)
    produce(topic, values)
    reader = open_reader(topic, instance=topic)
    take(reader, 100)
    reader.rewind({f"{topic}[0]": 20})
    reader.idle()
    reader._full_since -= 2.0
    reader.idle()
    (future,) = admin.delete_records([confluent_kafka.TopicPartition(topic, 0, 70)]).values()
    future.result(20)
    payloads, pages = take(reader, 30)
    assert (payloads, pages[0].start) == (values[70:], 70)
    assert reader.missed == 50
    assert "up to 50 records" in caplog.text


def test_a_topic_that_was_made_anew_is_read_and_committed_from_its_beginning(
    make_topic, produce, open_reader, take, until, committed, admin, caplog
):
    caplog.set_level(logging.ERROR, "bridge")
    topic = make_topic(1)
    produce(topic, values_of(100))
    reader = open_reader(topic, instance=topic)
    take(reader, 100, commit=True)
    reader.close()
    (future,) = admin.delete_topics([topic]).values()
    future.result(20)
    time.sleep(1.0)
    make_topic(1, topic)
    fresh = values_of(10, first=1_000)
    produce(topic, fresh)
    reader = open_reader(topic, instance=topic)
    payloads, _ = take(reader, 10, commit=True)
    assert payloads == fresh
    until(lambda _: committed(f"{topic}.x", topic) == {0: 10}, reader)


def test_transactions_are_read_when_they_are_committed_and_leave_no_lag(
    make_topic, address, open_reader, take, until
):
    topic, values = make_topic(1), values_of(30)
    for begin, end in ((0, 10), (10, 20), (20, 30)):
        # one each: a broker may still be busy with the end of the transaction before, and refuse the next
        settings = {"bootstrap.servers": address, "transactional.id": f"{topic}-{begin}", "log_level": 0}
        producer = confluent_kafka.Producer(settings)
        producer.init_transactions(20)
        producer.begin_transaction()
        for value in values[begin:end]:
            producer.produce(topic, value)
        producer.abort_transaction(20) if begin == 10 else producer.commit_transaction(20)
    reader = open_reader(topic, instance=topic)
    payloads, _ = take(reader, 20)
    assert payloads == values[:10] + values[20:]
    until(lambda _: reader.at_end(), reader)
    reader._lag_at -= 2
    assert reader.lag().records == 0


def test_a_new_group_begins_after_a_moment(make_topic, produce, open_reader, take):
    topic = make_topic(2)
    noon = int(datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp() * 1000)
    produce(topic, values_of(10), partitions=2, timestamp=noon - 1_000)
    produce(topic, values_of(10, first=10), partitions=2, timestamp=noon)
    reader = open_reader(topic, instance=topic, start_timestamp="2026-01-31T12:00:00Z")
    payloads, _ = take(reader, 10)
    assert sorted(payloads) == sorted(values_of(10, first=10))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_new_group_may_begin_at_the_end(make_topic, produce, open_reader, take, until, committed, protocol):
    topic = make_topic(1)
    produce(topic, values_of(5))
    reader = open_reader(topic, instance=topic, start="latest", group_protocol=protocol)
    until(lambda _: reader.at_end(), reader)
    assert committed(f"{topic}.x", topic) == {0: 5}
    produce(topic, values_of(1, first=5))
    assert take(reader, 1)[0] == values_of(1, first=5)


def test_cursors_are_shown_and_moved_to_a_moment(
    make_topic, produce, make_config, open_reader, take, committed
):
    topic = make_topic(1)
    noon = int(datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp() * 1000)
    for n, value in enumerate(values_of(10)):
        produce(topic, [value], timestamp=noon + 1_000 * n)
    config = make_config(topic)
    reader = open_reader(topic, instance=topic)
    take(reader, 10, commit=True)
    with pytest.raises(BridgeError, match="stop every bridge process"):
        reset_kafka_cursors(config, topic, "x", "earliest", dry_run=False)
    reader.close()
    moment = datetime(2026, 1, 31, 12, 0, 4, tzinfo=UTC)
    (move,) = reset_kafka_cursors(config, topic, "x", moment, dry_run=False)
    assert (move.before, move.after) == (10, 4)
    assert committed(f"{topic}.x", topic) == {0: 4}
    (row,) = kafka_cursors(config, topic, ["x"])
    assert (row.position, row.lag) == (4, 6)
    assert row.lag_seconds == pytest.approx(time.time() - noon / 1000 - 4, abs=60)


def test_lag_is_told_as_a_share_of_what_the_topic_keeps(make_topic, produce, open_reader, take, until):
    topic = make_topic(1, **{"retention.ms": "7200000"})
    an_hour_ago = int(time.time() * 1000) - 3_600_000
    produce(topic, values_of(100), timestamp=an_hour_ago)
    reader = open_reader(topic, instance=topic, options={"queued.min.messages": 1})
    take(reader, 1)
    reader.rewind({f"{topic}[0]": 50})

    def known(_):
        reader._lag_at -= 2
        reader._places[topic, 0].stamp = an_hour_ago
        return reader.lag().of_retention

    until(known)
    assert reader.lag().of_retention == pytest.approx(0.5, abs=0.05)


def test_events_and_dead_letters_are_written_durably(make_topic, make_journal, open_reader, take):
    topic, graves = make_topic(3), make_topic(1, **{"cleanup.policy": "compact"})
    journal = make_journal(topic, dead_letter_topic=graves)
    journal.append(values_of(50), "http")
    assert sorted(take(open_reader(topic, instance=topic), 50)[0]) == sorted(values_of(50))
    letters = journal.dead_letters()
    letter = DeadLetter(
        "id-1",
        "search",
        "es 1",
        "deliver",
        "mapping",
        "$.x",
        "no",
        1,
        5,
        6,
        f"{topic}[2]",
        7,
        "LOG",
        "m",
        b"{}",
    )
    letters.write([letter, letter])
    with letters.look() as shelf:
        assert list(shelf.find(Filter())) == [letter]
    letters.resolve([letter])
    with letters.look() as shelf:
        assert list(shelf.find(Filter())) == []
        assert len(list(shelf.find(Filter(resolved=True)))) == 1


def test_only_what_is_too_large_by_itself_is_kept_out_of_the_topic(
    make_topic, make_config, open_reader, take, tmp_path
):
    """The broker judges a batch: small events beside large ones are written all the same."""
    topic = make_topic(1, **{"max.message.bytes": "20000"})
    values = [random.randbytes(8_000) for _ in range(40)]  # four of them are too much together
    large = random.randbytes(50_000)
    with State(tmp_path / "bridge.db") as state:
        with KafkaJournal(make_config(topic), JournalContext(state, topic, ())) as journal:
            journal.append([*values[:20], large, *values[20:]], "http")
        assert sorted(take(open_reader(topic, instance=topic), 40)[0]) == sorted(values)
        (letter,) = SqliteDeadLetters(state).find(Filter())
    assert (letter.code, letter.payload) == ("record_too_large", large)


def test_credentials_open_the_door_and_wrong_ones_are_told(
    request, make_topic, produce, make_journal, until, take
):
    broker = request.getfixturevalue("broker")
    topic = make_topic(1)
    produce(topic, values_of(3))
    keys = {"brokers": [broker.sasl], "instance": topic}
    right = {"sasl": "PLAIN", "username": "bridge", "password": "open-sesame-7"}
    reader = make_journal(topic, **keys, security=right).reader("x", "earliest", lambda: None)
    assert take(reader, 3)[0] == values_of(3)
    reader.close()
    wrong = make_journal(topic, **keys, security={**right, "password": "not-the-password"})
    refused = wrong.reader("x", "earliest", lambda: None)
    until(lambda _: "refuse the credentials" in refused.trouble, refused)
    assert "not-the-password" not in refused.trouble
    refused.close()


def test_a_topic_that_is_not_there_is_told(open_reader, until):
    reader = open_reader("sunbird-nowhere", options={"allow.auto.create.topics": False})
    until(lambda _: "a topic does not exist" in reader.trouble, reader)
    assert not reader.at_end()


def test_of_two_processes_with_one_static_id_the_older_ends(make_topic, produce, open_reader, take, until):
    topic = make_topic(2)
    produce(topic, values_of(10), partitions=2)
    first = open_reader(topic, instance=topic, static_id="same")
    take(first, 10)
    second = open_reader(topic, instance=topic, static_id="same")
    with pytest.raises(BridgeError, match="another process has the same static_id"):
        until(lambda _: False, first, second)


def test_a_process_with_a_static_id_has_the_same_partitions_in_all_its_groups(
    make_topic, produce, open_reader, until
):
    topic = make_topic(6)
    produce(topic, values_of(60), partitions=6)
    readers = {
        (process, pipeline): open_reader(
            topic, pipeline=pipeline, instance=topic, static_id=process, group_protocol="consumer"
        )
        for pipeline, processes in (("a", "pq"), ("b", "qp"), ("c", "pq"))
        for process in processes
    }

    def divided(_):
        for reader in readers.values():
            reader.read(0.01)
        return all(len(reader._places) == 3 for reader in readers.values())

    until(divided)
    held = {place: set(reader._places.keys()) for place, reader in readers.items()}
    for process in "pq":
        assert held[process, "a"] == held[process, "b"] == held[process, "c"]


def test_a_new_process_waits_for_the_last_one_with_its_static_id(
    make_topic, produce, open_reader, take, until, monkeypatch
):
    monkeypatch.setattr("bridge.journals.kafka_member.REOPEN_AFTER", 0.5)
    topic = make_topic(2)
    produce(topic, values_of(10), partitions=2)
    first = open_reader(topic, instance=topic, static_id="same", group_protocol="consumer")
    take(first, 10, commit=True)
    second = open_reader(topic, instance=topic, static_id="same", group_protocol="consumer")
    until(lambda _: "still in the group" in second.trouble, first, second)
    first.close()
    produce(topic, values_of(1, first=10))
    assert take(second, 1)[0] == values_of(1, first=10)
