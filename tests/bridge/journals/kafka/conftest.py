"""A mock cluster that speaks the real protocol, out of the client's own library, and readers on it."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path

import pytest

confluent_kafka = pytest.importorskip("confluent_kafka")

from bridge.journals.kafka import KafkaJournalConfig  # noqa: E402
from tests.kafka_readers import Patience, make_journal, open_reader  # noqa: E402, F401 - fixtures

POINTER = ctypes.c_void_p
SIGNATURES = {
    "rd_kafka_conf_new": (POINTER, []),
    "rd_kafka_new": (POINTER, [ctypes.c_int, POINTER, ctypes.c_char_p, ctypes.c_size_t]),
    "rd_kafka_conf_set": (ctypes.c_int, [POINTER, *[ctypes.c_char_p] * 3, ctypes.c_size_t]),
    "rd_kafka_destroy": (None, [POINTER]),
    "rd_kafka_mock_cluster_new": (POINTER, [POINTER, ctypes.c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [POINTER]),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, [POINTER]),
    "rd_kafka_mock_topic_create": (ctypes.c_int, [POINTER, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]),
    "rd_kafka_mock_topic_delete": (ctypes.c_int, [POINTER, ctypes.c_char_p]),
    "rd_kafka_mock_broker_set_down": (ctypes.c_int, [POINTER, ctypes.c_int32]),
    "rd_kafka_mock_broker_set_up": (ctypes.c_int, [POINTER, ctypes.c_int32]),
    "rd_kafka_mock_push_request_errors_array": (None, [POINTER, ctypes.c_int16, ctypes.c_size_t, POINTER]),
    "rd_kafka_mock_clear_request_errors": (None, [POINTER, ctypes.c_int16]),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [POINTER, ctypes.c_int32]),
    "rd_kafka_mock_set_group_consumer_session_timeout_ms": (None, [POINTER, ctypes.c_int]),
    "rd_kafka_mock_set_group_consumer_heartbeat_interval_ms": (None, [POINTER, ctypes.c_int]),
    "rd_kafka_mock_partition_delete_records": (
        ctypes.c_int,
        [POINTER, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int64],
    ),
}
OFFSET_COMMIT = 8


class MockCluster:
    """One in-process broker; other processes can connect to it too."""

    def __init__(self):
        folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
        self._library = ctypes.CDLL(str(next(folder.glob("librdkafka-*"))))
        for name, (result, arguments) in SIGNATURES.items():
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
        settings = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(settings, b"log_level", b"0", None, 0)
        self._client = self._library.rd_kafka_new(0, settings, None, 0)
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, 1)
        self.brokers = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        self._do("group_initial_rebalance_delay_ms", 0)
        self.forget_the_dead_after(3_000)
        self._do("set_group_consumer_heartbeat_interval_ms", 100)

    def _do(self, name, *arguments):
        return getattr(self._library, f"rd_kafka_mock_{name}")(self._cluster, *arguments)

    def forget_the_dead_after(self, milliseconds):
        self._do("set_group_consumer_session_timeout_ms", milliseconds)

    def topic(self, name, partitions):
        assert self._do("topic_create", name.encode(), partitions, 1) == 0

    def remove_topic(self, name):
        assert self._do("topic_delete", name.encode()) == 0

    def delete_records(self, topic, partition, before):
        assert self._do("partition_delete_records", topic.encode(), partition, before) == 0

    def down(self):
        self._do("broker_set_down", 1)

    def up(self):
        self._do("broker_set_up", 1)

    def fail_commits(self, *codes):
        self._do("push_request_errors_array", OFFSET_COMMIT, len(codes), (ctypes.c_int * len(codes))(*codes))

    def heal_commits(self):
        self._do("clear_request_errors", OFFSET_COMMIT)

    def close(self):
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)


@pytest.fixture
def cluster():
    cluster = MockCluster()
    yield cluster
    cluster.close()


def raw_event(number, did="d1", size=0):
    """An event whose identity is its number."""
    event = {
        "eid": "LOG",
        "ets": 1_700_000_000_000 + number,
        "ver": "3.0",
        "mid": f"LOG:{number}",
        "actor": {"id": "u1", "type": "User"},
        "context": {"channel": "in.test", "env": "home", "pdata": {"id": "test.app"}, "did": did},
        "edata": {"type": "system", "level": "INFO", "message": "m" * size},
    }
    return json.dumps(event, separators=(",", ":")).encode()


@pytest.fixture
def make_raw():
    return raw_event


@pytest.fixture
def produce(cluster):
    """Write values to a partition, or spread them."""
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": cluster.brokers, "linger.ms": 1, "log_level": 0}
    )

    def write(topic, values, partition=None, partitions=1, **fields):
        for number, value in enumerate(values):
            where = number % partitions if partition is None else partition
            producer.produce(topic, value, partition=where, **fields)
        assert producer.flush(10) == 0

    yield write
    producer.flush(1)


@pytest.fixture
def make_config(cluster):
    def make(*topics, **keys):
        options = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 200, "fetch.wait.max.ms": 50}
        if keys.get("group_protocol") == "consumer":
            options = {"fetch.wait.max.ms": 50}
        options |= keys.pop("options", {})
        return KafkaJournalConfig(brokers=[cluster.brokers], topics=topics, options=options, **keys)

    return make


@pytest.fixture
def patience():
    return Patience(15.0)


def outsider(brokers, group):
    settings = {"bootstrap.servers": brokers, "group.id": group, "enable.auto.commit": False, "log_level": 0}
    return confluent_kafka.Consumer(settings)


@pytest.fixture
def commit_for(cluster):
    """Commit an offset for a group without members."""

    def commit(group, offset, topic="t", partition=0):
        consumer = outsider(cluster.brokers, group)
        consumer.commit(
            offsets=[confluent_kafka.TopicPartition(topic, partition, offset)], asynchronous=False
        )
        consumer.close()

    return commit


@pytest.fixture
def committed(cluster):
    """What a group has committed, by partition number."""

    def look(group, topic="t", partitions=1):
        consumer = outsider(cluster.brokers, group)
        asked = [confluent_kafka.TopicPartition(topic, number) for number in range(partitions)]
        found = consumer.committed(asked, timeout=10)
        consumer.close()
        return {tp.partition: tp.offset for tp in found if tp.offset >= 0}

    return look
