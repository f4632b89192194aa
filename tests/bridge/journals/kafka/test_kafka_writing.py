"""Events and dead letters that are written to Kafka, and are there once `append` or `write` returns."""

from __future__ import annotations

import threading

import pytest

from bridge.deadletters import DeadLetter, Filter, SqliteDeadLetters
from bridge.errors import BridgeError
from bridge.journals.base import JournalContext, JournalFullError
from bridge.journals.kafka import KafkaJournal, device_key
from bridge.state import State, StateError

BRIEF = {"message.timeout.ms": 2_000, "reconnect.backoff.max.ms": 200, "log_level": 0}


@pytest.fixture
def journal(cluster, make_journal):
    cluster.topic("t", 4)
    return make_journal("t", group_protocol="consumer", dead_letter_topic="letters")


def test_what_was_appended_is_read_and_a_device_keeps_its_partition(journal, make_raw, open_reader, patience):
    values = [make_raw(n, did=f"device-{n % 7}") for n in range(70)]
    journal.append(values, "http")
    payloads, pages = patience.take(open_reader("t", group_protocol="consumer"), 70)
    assert sorted(payloads) == sorted(values)
    homes = {}
    for page in pages:
        for payload in page.payloads:
            homes.setdefault(device_key(payload), set()).add(page.stream)
    assert len(homes) == 7
    assert all(len(streams) == 1 for streams in homes.values())
    assert payloads_of(pages, device_key(values[0])) == values[::7]


def payloads_of(pages, key):
    return [payload for page in pages for payload in page.payloads if device_key(payload) == key]


@pytest.mark.parametrize(
    ("payload", "key"),
    [
        (b'{"context":{"did":"d1"}}', b"d1"),
        (b'{"events":[]}', None),
        (b'{"context":{"did":7}}', None),
        (b'{"context":{}}', None),
        (b"{broken", None),
    ],
)
def test_the_key_is_the_device_where_there_is_one(payload, key):
    assert device_key(payload) == key


def test_many_intakes_write_at_once(journal, make_raw, open_reader, patience):
    def write(worker):
        for n in range(10):
            journal.append([make_raw(worker * 1_000 + n)], "http")

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    payloads, _ = patience.take(open_reader("t", group_protocol="consumer"), 80)
    assert len(set(payloads)) == 80


def test_an_intake_is_told_to_come_back_while_no_broker_answers(cluster, make_journal, make_raw):
    cluster.topic("t", 1)
    journal = make_journal("t", options=BRIEF)
    journal.append([make_raw(1)], "http")
    cluster.down()
    with pytest.raises(JournalFullError, match="Kafka did not take it") as caught:
        journal.append([make_raw(2)], "http")
    assert caught.value.after > 0
    cluster.up()
    journal.append([make_raw(3)], "http")


HUGE = b'{"eid":"LOG","mid":"huge","edata":{"message":"%s"}}' % (b"x" * 9_000_000)


@pytest.fixture
def state(tmp_path):
    with State(tmp_path / "bridge.db") as state:
        yield state


def test_an_event_that_no_broker_would_take_is_a_dead_letter_and_the_others_are_written(
    cluster, make_config, make_raw, state, open_reader, patience, caplog
):
    cluster.topic("t", 4)
    values = [make_raw(n) for n in range(10)]
    told = []
    context = JournalContext(state, "test", (), notify=lambda hook, letter: told.append((hook, letter.mid)))
    with KafkaJournal(make_config("t"), context) as journal:
        journal.append([*values[:5], HUGE, *values[5:]], "http")
        journal.append([HUGE], "http")
    payloads, _ = patience.take(open_reader("t", group_protocol="consumer"), 10)
    assert sorted(payloads) == sorted(values)
    (letter,) = SqliteDeadLetters(state).find(Filter())
    assert (letter.sink, letter.code, letter.stage) == ("rejects", "record_too_large", "validate")
    assert (letter.eid, letter.mid, letter.payload) == ("LOG", "huge", HUGE)
    assert "1 events from http are larger than t takes" in caplog.text
    assert told == [("bridge_dead_lettered", "huge")] * 2


def test_a_full_state_file_makes_the_sender_come_back(cluster, make_config, state):
    cluster.topic("t", 1)
    with KafkaJournal(make_config("t"), JournalContext(state, "test", (), 1_000)) as journal:
        journal.append([HUGE], "http")
        with pytest.raises(StateError, match="quota"):
            journal.append([HUGE.replace(b"huge", b"more")], "http")


def test_a_dead_letter_that_does_not_fit_into_kafka_is_in_the_state_file(cluster, make_config, state):
    cluster.topic("t", 1)
    cluster.topic("letters", 1)
    config = make_config("t", dead_letter_topic="letters")
    with KafkaJournal(config, JournalContext(state, "test", ())) as journal:
        letters = journal.dead_letters()
        letters.write([letter(1), letter(2, payload=HUGE), letter(3)])
        assert sorted(one.id for one in found(letters)) == ["id-1", "id-3"]
        assert [one.id for one in SqliteDeadLetters(state).find(Filter())] == ["id-2"]


def test_a_journal_of_several_topics_says_which_key_is_missing(make_journal, make_raw):
    with pytest.raises(BridgeError, match=r"journal\.append_to"):
        make_journal("a", "b").append([make_raw(1)], "http")


def test_a_check_names_what_was_found_and_what_is_missing(cluster, journal, make_journal):
    assert journal.check() == "1 broker; t (4 partitions)"
    with pytest.raises(BridgeError, match="there is no topic nowhere"):
        make_journal("t", "nowhere").check()


FACTS = {
    "sink": "search",
    "plugin": "elasticsearch 1",
    "stage": "deliver",
    "code": "mapping",
    "path": "",
    "reason": "a date was expected: «später»",
    "attempts": 2,
    "last_ms": 2_000,
    "stream": "prod.telemetry.unique[3]",
    "position": 812_345,
    "eid": "LOG",
    "mid": None,
}


def letter(n, **changes):
    own = {"id": f"id-{n}", "first_ms": 1_000 + n, "payload": b'{"n":%d}' % n}
    return DeadLetter(**{**FACTS, **own, **changes})


@pytest.fixture
def letters(cluster, journal):
    cluster.topic("letters", 2)
    return journal.dead_letters()


def found(letters, limit=None, **chosen):
    with letters.look() as shelf:
        return list(shelf.find(Filter(**chosen), limit))


def test_dead_letters_come_back_as_they_were_written(letters):
    written = [letter(n) for n in range(20)]
    letters.write(written)
    assert sorted(found(letters), key=lambda one: one.first_ms) == written
    assert [one.id for one in found(letters, since=1_019)] == ["id-19"]
    assert [one.id for one in found(letters, until=1_000)] == ["id-0"]
    assert len(found(letters, limit=3, sink="search")) == 3
    assert found(letters, code="other") == []


def test_letters_come_in_the_order_in_which_they_were_written(letters, monkeypatch):
    monkeypatch.setattr("bridge.journals.kafka_letters.PAGE_LETTERS", 7)
    for n in range(30):
        letters.write([letter(n)])
    letters.write([letter(4, attempts=2)])
    ids = [one.id for one in found(letters)]
    assert sorted(ids) == sorted(f"id-{n}" for n in range(30))
    assert ids[-1] == "id-4"
    assert found(letters, limit=2)[0].id == "id-0"


def test_letters_are_counted_and_found_by_the_beginning_of_their_ids(letters):
    letters.write([letter(11), letter(12), letter(2, sink="hook", code="http_422", stage="stage")])
    with letters.look() as shelf:
        assert shelf.count(Filter()) == {("search", "mapping"): 2, ("hook", "http_422"): 1}
        assert shelf.get("id-2") == letter(2, sink="hook", code="http_422", stage="stage")
        assert shelf.get("id-1") is None
        assert shelf.get("id-3") is None


def test_a_letter_written_again_or_resolved_is_one_letter(letters):
    letters.write([letter(1), letter(2), letter(1, attempts=5)])
    assert sorted((one.id, one.attempts) for one in found(letters)) == [("id-1", 5), ("id-2", 2)]
    letters.resolve([letter(2)], now_ms=9_000)
    assert [one.id for one in found(letters)] == ["id-1"]
    assert [(one.id, one.resolved_ms) for one in found(letters, resolved=True)] == [("id-2", 9_000)]


def test_other_records_in_the_topic_are_passed_over(letters, produce):
    produce("letters", [b"something else"], partition=0)
    produce("letters", [b"{}"], partition=0, key=b"k", headers={"bridge.stage": b"deliver"})
    letters.write([letter(1)])
    assert found(letters) == [letter(1)]


def test_what_cannot_be_read_to_its_end_is_not_taken_for_all(cluster, make_journal, monkeypatch):
    monkeypatch.setattr("bridge.journals.kafka_letters.QUIET_SECONDS", 1.0)
    cluster.topic("t", 1)
    cluster.topic("letters", 1)
    letters = make_journal("t", dead_letter_topic="letters", options=BRIEF).dead_letters()
    letters.write([letter(1)])
    with letters.look() as shelf:
        cluster.down()
        with pytest.raises(StateError, match="cannot be read"):
            shelf.count(Filter())
    cluster.up()


def test_dead_letters_carry_the_headers_of_kafka_connect(cluster, letters):
    import confluent_kafka

    letters.write([letter(1)])
    settings = {
        "bootstrap.servers": cluster.brokers,
        "group.id": "look",
        "auto.offset.reset": "earliest",
        "log_level": 0,
    }
    consumer = confluent_kafka.Consumer(settings)
    consumer.assign([confluent_kafka.TopicPartition("letters", n, 0) for n in range(2)])
    message = consumer.poll(10)
    consumer.close()
    headers = {name: value.decode() for name, value in message.headers()}
    assert message.value() == b'{"n":1}'
    assert headers["__connect.errors.topic"] == "prod.telemetry.unique"
    assert headers["__connect.errors.partition"] == "3"
    assert headers["__connect.errors.offset"] == "812345"
    assert headers["__connect.errors.connector.name"] == "test.search"
    assert headers["__connect.errors.stage"] == "DELIVER"
    assert headers["__connect.errors.exception.message"] == "a date was expected: «später»"
    assert headers["bridge.attempts"] == "2"
    assert "bridge.mid" not in headers


def test_the_pipeline_waits_while_dead_letters_cannot_be_written(cluster, make_journal):
    cluster.topic("t", 1)
    cluster.topic("letters", 1)
    letters = make_journal("t", dead_letter_topic="letters", options=BRIEF).dead_letters()
    letters.write([letter(1)])
    cluster.down()
    with pytest.raises(StateError, match="Kafka did not take it"):
        letters.write([letter(2)])
    cluster.up()
    letters.write([letter(2)])


def test_without_a_topic_dead_letters_stay_in_the_state_file(make_journal):
    assert make_journal("t").dead_letters() is None
