"""What is committed, what is on its way, and when a member may leave."""

from __future__ import annotations

import pytest

confluent_kafka = pytest.importorskip("confluent_kafka")

from bridge.journals.kafka_commits import Commits  # noqa: E402

KEY = ("t", 0)


class Client:
    """Remembers what it is asked for."""

    def __init__(self):
        self.stored, self.asked = [], 0

    def store_offsets(self, offsets):
        self.stored += [tp.offset for tp in offsets]

    def commit(self, asynchronous):
        assert asynchronous
        self.asked += 1


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def commits(clock):
    commits = Commits("x", clock)
    commits.begin(KEY, 0)
    return commits


def answer(offset):
    return [confluent_kafka.TopicPartition(*KEY, offset)]


def test_one_request_is_under_way_at_a_time(commits):
    client = Client()
    commits.store(client, {KEY: 5})
    commits.send(client)
    commits.store(client, {KEY: 7})
    commits.send(client)
    assert (client.stored, client.asked) == ([5, 7], 1)
    commits.landed(None, answer(5))
    assert commits.pending
    commits.send(client)
    commits.landed(None, answer(7))
    assert (client.asked, commits.unfinished) == (2, False)


def test_nobody_leaves_while_the_commit_of_a_partition_that_went_is_under_way(commits):
    client = Client()
    commits.store(client, {KEY: 5})
    commits.send(client)
    commits.send(client, at_once=True)
    commits.drop([KEY])
    assert (client.asked, commits.pending, commits.unfinished) == (2, False, True)
    commits.landed(None, answer(5))
    assert commits.unfinished
    commits.landed(None, answer(5))
    assert not commits.unfinished


def test_an_answer_that_never_came_is_given_up(commits, clock):
    client = Client()
    commits.store(client, {KEY: 5})
    commits.send(client)
    commits.drop([KEY])
    clock.now = 61.0
    assert not commits.unfinished
    commits.begin(KEY, 0)
    commits.store(client, {KEY: 6})
    commits.send(client)
    commits.landed(None, answer(6))
    assert not commits.unfinished


def test_a_commit_that_failed_is_sent_again_after_a_moment(commits, clock):
    client = Client()
    commits.store(client, {KEY: 5})
    commits.send(client)
    commits.landed(confluent_kafka.KafkaError(confluent_kafka.KafkaError.ILLEGAL_GENERATION), [])
    commits.send(client)
    assert (client.asked, commits.unfinished) == (1, True)
    clock.now = 1.5
    commits.send(client)
    assert client.asked == 2
