"""Two members of one group: who reads what, and who may commit it."""

from __future__ import annotations

import pytest

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
    given_up = set()

    def settle_and_forget(streams):
        first.commit(dict.fromkeys(streams, 90))
        given_up.update(streams)

    first.on_lost = settle_and_forget
    patience.take(first, 400)
    second = open_reader("t", group_protocol="consumer")
    pages = patience.until(lambda pages: sum(len(page.payloads) for page in pages) >= 20, first, second)
    assert len(given_up) == PARTITIONS // 2
    assert {page.stream for page in pages} == given_up
    assert {page.start for page in pages} == {90}
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

    first.on_lost = forget
    patience.take(first, 400)
    second = open_reader("t", options={"max.poll.interval.ms": 60_000})
    patience.until(lambda _: len(held(second)) == PARTITIONS, second)
    patience.until(lambda _: len(lost) == PARTITIONS, first)
    assert committed("test.x", partitions=PARTITIONS) == {}


def test_each_pipeline_is_a_group_of_its_own(values, open_reader, patience):
    for pipeline in ("a", "b"):
        payloads, _ = patience.take(open_reader("t", pipeline=pipeline, group_protocol="consumer"), 400)
        assert sorted(payloads) == sorted(values)
