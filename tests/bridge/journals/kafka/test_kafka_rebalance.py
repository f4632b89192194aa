"""Two members of one group: who reads what, and who may commit it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bridge.journals.kafka_reader import KafkaReader
from bridge.journals.kafka_watch import Watch

PARTITIONS = 4


@pytest.fixture
def values(cluster, produce, make_raw):
    cluster.topic("t", PARTITIONS)
    values = [make_raw(n) for n in range(400)]
    produce("t", values, partitions=PARTITIONS)
    return values


def held(reader):
    return {place.stream for _, place in reader._places.items()}


def test_a_second_member_goes_on_where_the_first_has_settled(values, open_reader, patience, committed):
    first = open_reader("t", group_protocol="consumer")
    given_up, asked = set(), []

    def settle_and_forget(streams):
        assert asked  # before, while there is time to settle something
        first.commit(dict.fromkeys(streams, 90))
        given_up.update(streams)

    first.on_revoke, first.on_lost = asked.append, settle_and_forget
    patience.take(first, 400)
    second = open_reader("t", group_protocol="consumer")
    pages = patience.until(lambda pages: sum(len(page.payloads) for page in pages) >= 20, first, second)
    assert asked == [5.0]
    assert len(given_up) == PARTITIONS // 2
    assert {page.stream for page in pages} == given_up
    assert all(min(p.start for p in pages if p.stream == stream) == 90 for stream in given_up)
    first.commit(dict.fromkeys(given_up, 95))
    first.close()
    assert set(committed("test.x", partitions=PARTITIONS).values()) == {90}


def test_members_divide_the_partitions_and_inherit_them(values, open_reader, patience):
    first = open_reader("t", group_protocol="consumer")
    patience.take(first, 400, commit=True)
    second = open_reader("t", group_protocol="consumer")
    patience.until(lambda _: len(held(first)) == len(held(second)) == 2, first, second)
    assert not held(first) & held(second)
    first.close()
    patience.until(lambda _: len(held(second)) == PARTITIONS, second)


def test_a_member_that_lost_its_partitions_commits_nothing(values, open_reader, patience, committed):
    """It stopped polling for longer than the group waits, as a process that was suspended does."""
    lost = set()
    first = open_reader("t", options={"max.poll.interval.ms": 1500, "session.timeout.ms": 1500})

    def forget(streams):
        first.commit(dict.fromkeys(streams, 100))
        lost.update(streams)

    first.on_revoke, first.on_lost = pytest.fail, forget
    patience.take(first, 400)
    second = open_reader("t", options={"max.poll.interval.ms": 60_000})
    patience.until(lambda _: len(held(second)) == PARTITIONS, second)
    patience.until(lambda _: len(lost) == PARTITIONS, first)
    assert committed("test.x", partitions=PARTITIONS) == {}


class Suspended:
    """A client in whose call the process is suspended for a while."""

    def __init__(self, clock):
        self.clock = clock
        self.closed = False

    def subscribe(self, topics, **callbacks):
        pass

    def pause(self, partitions):
        assert partitions == []

    def consume(self, most, timeout):
        self.clock.now += 41.0 if self.clock.now < 41.0 else 0.0
        return []

    def close(self):
        self.closed = True


def test_a_member_that_was_suspended_inside_a_call_begins_anew():
    clock, made = SimpleNamespace(now=0.0), []

    def connect(**callbacks):
        made.append(Suspended(clock))
        return made[-1]

    reader = KafkaReader("x", ["t"], connect, lambda: None, Watch(pytest.fail), 45.0, lambda: clock.now)
    reader.read(0.0)
    reader.read(0.0)
    assert [client.closed for client in made] == [True, False]
    reader.close()


def test_each_pipeline_is_a_group_of_its_own(values, open_reader, patience):
    for pipeline in ("a", "b"):
        payloads, _ = patience.take(open_reader("t", pipeline=pipeline, group_protocol="consumer"), 400)
        assert sorted(payloads) == sorted(values)
