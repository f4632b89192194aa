"""One fetch for several pipelines: each gets every record once and in order, whatever the others do."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

confluent_kafka = pytest.importorskip("confluent_kafka")

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition  # noqa: E402

from bridge.errors import BridgeError  # noqa: E402
from bridge.journals import kafka_feed, kafka_pages  # noqa: E402
from bridge.journals.kafka_client import Clients  # noqa: E402
from bridge.journals.kafka_feed import Feed  # noqa: E402
from bridge.journals.kafka_reader import KafkaReader  # noqa: E402

PARTITIONS = 3
PIPELINES = 3
SMALL_PAGE, FEW_PAGES, AT_ONCE = 5, 4, 7


class Logs:
    """What a cluster holds: a list of (offset, value) for each partition of one topic, offsets with gaps."""

    def __init__(self):
        self.records = {partition: [] for partition in range(PARTITIONS)}
        self.ends = dict.fromkeys(range(PARTITIONS), 0)
        self.lows = dict.fromkeys(range(PARTITIONS), 0)

    def append(self, partition, count, gap=0):
        self.ends[partition] += gap
        for _ in range(count):
            offset = self.ends[partition]
            self.records[partition].append((offset, f"{partition}:{offset}".encode()))
            self.ends[partition] += 1

    def after(self, partition, offset):
        return [record for record in self.records[partition] if record[0] >= offset]

    def span(self, keys):
        return {key: (self.lows[key[1]], self.ends[key[1]]) for key in keys}


class FakeConsumer:
    """A client of `Logs`, with the order of events that the real one keeps."""

    def __init__(self, logs):
        self.logs = logs
        self.at, self.told, self.paused = {}, {}, set()
        self.callbacks, self.errands = {}, deque()
        self.fetched = 0
        self.seeks = 0
        self.broken = False
        self.commits = {}

    def subscribe(self, topics, **callbacks):
        self.callbacks = callbacks
        self.give(range(PARTITIONS))

    def give(self, partitions):
        self.errands.append(("on_assign", [TopicPartition("t", one) for one in partitions]))

    def take_away(self, partitions):
        self.errands.append(("on_revoke", [TopicPartition("t", one) for one in partitions]))

    def incremental_assign(self, tps):
        for tp in tps:
            self.at[tp.partition] = max(tp.offset, 0)
            self.told.pop(tp.partition, None)
            self.paused.discard(tp.partition)

    def incremental_unassign(self, tps):
        for tp in tps:
            del self.at[tp.partition]

    def seek(self, tp):
        self.seeks += 1
        self.at[tp.partition] = tp.offset
        self.told.pop(tp.partition, None)

    def pause(self, tps):
        self.paused |= {tp.partition for tp in tps}

    def resume(self, tps):
        self.paused -= {tp.partition for tp in tps}

    def consume(self, most, timeout):
        if self.broken:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        while self.errands:
            name, tps = self.errands.popleft()
            self.callbacks[name](self, tps)
            if name == "on_revoke":
                self.incremental_unassign(tps)
        found, most = [], min(most, AT_ONCE)
        for partition in [one for one in self.at if one not in self.paused]:
            if self.at[partition] < self.logs.lows[partition]:
                gone = KafkaError(KafkaError._AUTO_OFFSET_RESET)
                found.append(Message("t", partition, -1, None, None, None, gone, (0, 0)))
                del self.at[partition]  # the real one fetches it no more until it is told where
                continue
            records = self.logs.after(partition, self.at[partition])[: most - len(found)]
            for offset, value in records:
                found.append(Message("t", partition, offset, None, value, None, None, (1, 1_000 + offset)))
                self.at[partition] = offset + 1
            self.fetched += len(records)
            end = self.logs.ends[partition]
            if self.logs.after(partition, self.at[partition]) or self.told.get(partition) == end:
                continue
            if self.at[partition] <= end and len(found) < most:
                self.told[partition] = end
                eof = KafkaError(KafkaError._PARTITION_EOF)
                found.append(Message("t", partition, end, None, None, None, eof, (0, 0)))
        return found

    def committed(self, tps, timeout):
        return [TopicPartition(tp.topic, tp.partition, self.commits.get(tp.partition, 0)) for tp in tps]

    def get_watermark_offsets(self, tp, cached):
        return 0, self.logs.ends[tp.partition]

    def store_offsets(self, offsets):
        pass

    def commit(self, asynchronous):
        pass

    def close(self):
        self.broken = True


class FakeWatch:
    """Knows what the logs hold."""

    def __init__(self, logs):
        self.span = logs.span

    def high(self, key):
        return -1

    def retention(self, topic):
        return None

    def tick(self, name, keys):
        pass

    def forget(self, name):
        pass


class World:
    """Pipelines of one process on one feed; `expected` is where each one's next page has to begin."""

    def __init__(self, pipelines=PIPELINES):
        self.now = 0.0
        self.logs = Logs()
        self.own, self.feeds = [], []
        self.feed = Feed(self._feeding, clock=lambda: self.now)
        self.readers = [self._reader(number) for number in range(pipelines)]
        self.expected = [{} for _ in self.readers]
        self.seen = [{} for _ in self.readers]

    def _feeding(self):
        self.feeds.append(FakeConsumer(self.logs))
        return self.feeds[-1]

    def _reader(self, number):
        consumer = FakeConsumer(self.logs)
        self.own.append(consumer)
        reader = KafkaReader(
            f"p{number}", ["t"], lambda **_: consumer, lambda: None, FakeWatch(self.logs),
            1e9, lambda: self.now, self.feed,
        )  # fmt: skip
        reader.on_lost = lambda streams: self._back(number, streams)
        return reader

    def _back(self, number, streams):
        """Who gets these partitions again begins where his group has committed."""
        for stream in streams:
            self.expected[number][stream] = self.own[number].commits.get(int(stream[2:-1]), 0)

    def committed(self, *offsets):
        """Each pipeline's group has committed an offset of the first partition."""
        for number, offset in enumerate(offsets):
            self.own[number].commits[0] = offset
            self.expected[number]["t[0]"] = offset

    def read(self, number):
        """One look for a page, which has to go on exactly where the last one of its stream ended."""
        page = self.readers[number].read(0.0)
        if page is None:
            return None
        partition = int(page.stream[2:-1])
        begin = self.expected[number].get(page.stream, 0)
        assert page.start == begin, f"pipeline {number} of {page.stream}: {page.start} after {begin}"
        inside = [value for at, value in self.logs.after(partition, begin) if at < page.end]
        assert page.payloads == inside
        self.expected[number][page.stream] = page.end
        page.release()
        return page

    def drain(self, pace=1.0):
        """Everybody reads, `pace` seconds a turn, until nothing is left for anybody."""
        for _ in range(2_000):
            self.now += pace
            got = [self.read(number) for number in range(len(self.readers))]
            if not any(got) and all(reader.at_end() for reader in self.readers):
                return
        raise AssertionError("the end was not found")

    def complete(self):
        """Whether everybody has read everything, where offsets without records count as read."""
        ends = {f"t[{partition}]": log[-1][0] for partition, log in self.logs.records.items() if log}
        return all(
            expected.get(stream, 0) > last for expected in self.expected for stream, last in ends.items()
        )


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(kafka_pages, "PAGE_RECORDS", SMALL_PAGE)
    monkeypatch.setattr(kafka_feed, "KEPT_PAGES", FEW_PAGES)
    monkeypatch.setattr(kafka_feed, "NEAR", kafka_feed.NEAR)


@pytest.fixture
def world():
    return World()


def test_records_are_fetched_once_for_all_and_are_the_same_bytes(
    cluster, produce, make_journal, make_raw, patience, monkeypatch
):
    monkeypatch.setattr(kafka_feed, "KEPT_PAGES", 256)
    cluster.topic("t", 2)
    journal = make_journal("t")
    readers = [journal.reader(name, "earliest", lambda: None) for name in ("a", "b", "c")]
    own = []
    try:
        patience.until(lambda _: all(reader._places.assigned for reader in readers), *readers)
        for reader in readers:
            reader._sort = own.extend
        produce("t", [make_raw(n) for n in range(20)], partitions=2)
        found = [patience.take(reader, 20)[0] for reader in readers]
    finally:
        for reader in readers:
            reader.close()
    assert own == []
    assert sorted(found[0]) == sorted(make_raw(n) for n in range(20))
    by_bytes = [{payload: id(payload) for payload in payloads} for payloads in found]
    assert by_bytes[0] == by_bytes[1] == by_bytes[2]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_what_is_set_for_members_of_groups_does_not_concern_the_feed(cluster, make_config, protocol):
    options = {"max.poll.interval.ms": 10_000, "session.timeout.ms": 9_000}
    if protocol == "consumer":
        del options["session.timeout.ms"]
    Clients(make_config("t", group_protocol=protocol, options=options), "test").feed().close()


def test_a_feed_that_cannot_be_made_leaves_everybody_on_his_own(world):
    def refuse():
        raise BridgeError("no such option")

    world.feed._make = refuse
    world.logs.append(0, 20)
    world.drain()
    assert world.complete()
    assert [consumer.fetched for consumer in world.own] == [20] * PIPELINES


def test_everybody_gets_everything_from_one_fetch(world):
    for partition in range(PARTITIONS):
        world.logs.append(partition, 23)
    world.drain()
    assert world.complete()
    assert [consumer.fetched for consumer in world.own] == [0] * PIPELINES
    assert sum(consumer.fetched for consumer in world.feeds) == 23 * PARTITIONS


def test_what_everybody_has_taken_is_not_kept(world):
    world.logs.append(0, 50)
    world.drain()
    assert world.feed._kept == {}
    assert world.feed._size == 0


def test_a_page_says_who_is_to_come_for_it(world):
    world.drain()
    world.logs.append(0, 5)
    page = world.read(0)
    assert page.expected == set(world.readers)  # whoever decodes it takes himself out
    world.readers[2].close()
    assert page.expected == set(world.readers[:2])


def test_nobody_is_expected_at_a_page_that_one_fetched_alone_or_that_was_let_go_of(world):
    world.drain()
    world.logs.append(0, 100)
    first = world.read(0)
    for _ in range(30):
        world.read(0)
        world.read(1)
    assert world.readers[2] not in first.expected
    pages = [page for page in (world.read(2) for _ in range(10)) if page]
    assert pages[0].expected == set()
    assert world.own[2].fetched > 0


def test_who_falls_behind_fetches_alone_and_comes_back_in_the_end(world):
    world.logs.append(0, 20)
    world.drain()
    world.logs.append(0, 100)
    for _ in range(30):
        for number in (0, 1):
            world.read(number)
    assert world.expected[2] == {"t[0]": 20}
    assert len(world.feed._kept) <= FEW_PAGES
    world.drain()
    assert world.complete()
    assert 0 < world.own[2].fetched <= 100
    before = world.own[2].fetched
    world.logs.append(0, 10)
    world.drain()
    assert world.complete()
    assert world.own[2].fetched == before


@pytest.mark.parametrize("offsets", [(40, 10, 65), (10, 40, 65), (65, 40, 10), (40, 40, 13), (37, 11, 63)])
def test_groups_that_committed_different_offsets_are_brought_together(world, offsets):
    world.logs.append(0, 100)
    world.committed(*offsets)
    world.drain(pace=0.01)
    assert world.complete()
    aligned = all(offset % SMALL_PAGE == 0 for offset in sorted(offsets)[1:])
    assert sum(consumer.fetched for consumer in world.own) <= (0 if aligned else PIPELINES * 2 * AT_ONCE)
    assert sum(consumer.fetched for consumer in world.feeds) <= 100 - min(offsets) + 2 * AT_ONCE
    before = [consumer.fetched for consumer in world.own]
    world.logs.append(0, 50)
    world.drain(pace=0.01)
    assert [consumer.fetched for consumer in world.own] == before


def test_who_waits_for_others_gets_nothing_that_was_before_him(world):
    world.logs.append(0, 100)
    world.committed(50, 0, 50)
    pages = []
    while len(pages) < 4:
        pages += [page for page in (world.read(number) for number in (0, 2, 1)) if page]
    assert [page.start for page in pages] == [0, 5, 10, 15]
    assert all(page.expected == {world.readers[1]} for page in pages)


def test_groups_that_are_far_apart_are_not_brought_together(world, monkeypatch):
    monkeypatch.setattr(kafka_feed, "NEAR", 20)
    world.logs.append(0, 100)
    world.committed(80, 0, 90)
    world.drain()
    assert world.complete()
    assert [consumer.fetched > 50 for consumer in world.own] == [False, True, False]


def test_nobody_waits_long_for_one_that_does_not_read(world):
    world.logs.append(0, 100)
    world.committed(60, 0, 60)
    assert world.read(1) is None  # it has its partitions now
    got = []
    for _ in range(40):
        world.now += kafka_feed.PATIENCE / 20
        got += [page.start for page in (world.read(0), world.read(2)) if page]
        assert len(world.feed._kept) <= FEW_PAGES
    assert got[:2] == [60, 60]
    world.drain()
    assert world.complete()
    assert world.own[0].fetched == world.own[2].fetched == 0


def test_who_stands_behind_the_end_of_a_partition_does_not_wait_for_it(world):
    world.logs.append(0, 30)
    world.committed(10, 20, 40)
    for _ in range(20):
        world.read(0)
        world.read(1)
        world.readers[2].read(0.0)
    assert world.expected[0]["t[0]"] == world.expected[1]["t[0]"] == 30
    assert ("t", 0) not in world.readers[2]._places.fed()


def test_who_overtakes_a_feed_that_nobody_reads_goes_on_alone(world):
    world.logs.append(0, 33)
    world.drain()
    world.logs.append(0, 100)  # the others do not come back: they are stuck
    world.readers[2].rewind({"t[0]": 10})
    world.expected[2]["t[0]"] = 10
    pages = [page for page in (world.read(2) for _ in range(40)) if page]
    assert pages[-1].end == 133
    assert world.own[2].seeks <= 2


def test_nothing_is_kept_for_who_has_been_full_for_a_while(world):
    world.drain()
    world.readers[2].idle()
    world.now += 2.0
    world.readers[2].idle()
    world.logs.append(0, 15)
    for _ in range(20):
        for number in (0, 1):
            world.read(number)
    assert world.feed._kept == {}
    world.drain()
    assert world.complete()


def test_a_feed_that_fails_leaves_everybody_on_his_own_until_it_works_again(world):
    world.logs.append(0, 20)
    world.drain()
    world.feeds[-1].broken = True
    world.logs.append(0, 20)
    for _ in range(10):
        for number in range(PIPELINES):
            world.read(number)
    assert world.complete()
    assert [consumer.fetched for consumer in world.own] == [20] * PIPELINES
    world.now += kafka_feed.REFUSE_SECONDS
    world.drain()
    before = [consumer.fetched for consumer in world.own]
    world.logs.append(0, 20)
    world.drain()
    assert len(world.feeds) == 2
    assert world.feeds[-1].fetched == 20
    assert [consumer.fetched for consumer in world.own] == before


def test_a_partition_that_cannot_be_fetched_there_is_fetched_by_each(world):
    world.drain()
    for partition in range(PARTITIONS):
        world.logs.append(partition, 10)
    error = Message("t", 1, 0, None, None, None, KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), (0, 0))
    consume, told = world.feeds[-1].consume, [error]
    world.feeds[-1].consume = lambda *how: [told.pop()] if told else consume(*how)
    world.drain()
    assert world.complete()
    assert {consumer.fetched for consumer in world.own} == {10}


def test_a_first_record_that_is_missing_is_for_each_group_to_judge(world):
    world.drain()
    world.logs.append(0, 10, gap=3)
    world.drain()
    assert world.complete()


def test_what_was_fetched_before_a_gap_is_read_all_the_same(world):
    reader = world.readers[0]
    world.feed._shut_until = 1e9
    world.logs.append(0, 7)
    reader._ready()
    reader._take_in(1_000, 0.0)
    assert reader._places[("t", 0)].position == 7
    world.logs.append(0, 20)
    world.logs.lows[0] = 20
    pages = [page for page in (reader.read(0.0) for _ in range(20)) if page is not None]
    got = [value for page in pages for value in page.payloads]
    assert got == [value for at, value in world.logs.records[0] if at < 7 or at >= 20]
    assert reader.missed == 13


def test_nobody_left_means_no_client_left(world):
    world.logs.append(0, 5)
    world.drain()
    for reader in world.readers:
        reader.close()
    assert world.feeds[-1].broken
    assert world.feed._consumer is None


def test_a_page_that_one_has_let_go_of_is_whole_for_the_others(world):
    world.logs.append(0, 5)
    pages = []
    while len(pages) < PIPELINES:
        pages += [page for page in (reader.read(0.0) for reader in world.readers) if page]
    pages[0].release()
    assert [len(page.payloads) for page in pages] == [0, 5, 5]


class Pipelines(RuleBasedStateMachine):
    """Records come, pipelines read at their own speed, are full, go back, lose partitions and regain them."""

    @initialize(
        near=st.sampled_from([0, 12, 1_000]), commits=st.lists(st.integers(0, 30), max_size=PIPELINES)
    )
    def begin(self, near, commits):
        kafka_feed.NEAR = near  # the fixture sets it back
        self.world = World()
        self.world.logs.append(0, 30)
        self.world.committed(*commits)

    @rule(
        partition=st.integers(0, PARTITIONS - 1),
        count=st.integers(1, 30),
        gap=st.sampled_from([0, 0, 0, 1, 7]),
    )
    def append(self, partition, count, gap):
        self.world.logs.append(partition, count, gap)

    @rule(number=st.integers(0, PIPELINES - 1), times=st.integers(1, 12))
    def read(self, number, times):
        for _ in range(times):
            self.world.read(number)

    @rule(number=st.integers(0, PIPELINES - 1))
    def be_full(self, number):
        self.world.readers[number].idle()
        self.world.now += 2.0
        self.world.readers[number].idle()

    @rule(number=st.integers(0, PIPELINES - 1), data=st.data())
    def go_back(self, number, data):
        world = self.world
        held = world.readers[number]._places.keys()
        if held:
            stream = f"t[{data.draw(st.sampled_from(sorted(partition for _, partition in held)))}]"
            offset = data.draw(st.integers(0, world.expected[number].get(stream, 0)))
            world.readers[number].rewind({stream: offset})
            world.expected[number][stream] = offset

    @rule(number=st.integers(0, PIPELINES - 1), partition=st.integers(0, PARTITIONS - 1), back=st.booleans())
    def lose(self, number, partition, back):
        consumer = self.world.own[number]
        if partition in consumer.at and not consumer.errands:
            consumer.take_away([partition])
            self.world.read(number)
            if back:
                self.world.read(number)
            consumer.give([partition])

    @rule()
    def fail(self):
        if self.world.feeds:
            self.world.feeds[-1].broken = True

    @rule(seconds=st.floats(0.1, 10.0))
    def wait(self, seconds):
        self.world.now += seconds

    @invariant()
    def no_page_is_kept_for_ever(self):
        feed = self.world.feed
        assert len(feed._kept) <= FEW_PAGES
        assert feed._size == sum(kept.page.size for kept in feed._kept.values())

    @invariant()
    def whoever_is_to_come_for_a_page_is_expected(self):
        assert all(kept.waiting <= kept.page.expected for kept in self.world.feed._kept.values())

    def teardown(self):
        self.world.drain()
        assert self.world.complete()


TestPipelines = pytest.mark.usefixtures("small")(Pipelines.TestCase)
TestPipelines.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
