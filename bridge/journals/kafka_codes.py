"""What the Python package of librdkafka has, but spells as private or exports without types."""

from __future__ import annotations

from confluent_kafka import KafkaError
from confluent_kafka.admin import ConfigResource, OffsetSpec, ResourceType  # type: ignore[attr-defined]

__all__ = ["EARLIEST", "LATEST", "after", "topic_resource"]

# ruff: noqa: SLF001 - the underscore is part of the names of documented constants
ALL_BROKERS_DOWN = KafkaError._ALL_BROKERS_DOWN
AUTHENTICATION = KafkaError._AUTHENTICATION
AUTO_OFFSET_RESET = KafkaError._AUTO_OFFSET_RESET
FAIL = KafkaError._FAIL
FATAL = KafkaError._FATAL
MAX_POLL_EXCEEDED = KafkaError._MAX_POLL_EXCEEDED
NO_OFFSET = KafkaError._NO_OFFSET
PARTITION_EOF = KafkaError._PARTITION_EOF
QUEUE_FULL = KafkaError._QUEUE_FULL
RESOLVE = KafkaError._RESOLVE
SSL = KafkaError._SSL
TIMED_OUT = KafkaError._TIMED_OUT
TRANSPORT = KafkaError._TRANSPORT

EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


def after(moment_ms: int) -> OffsetSpec:
    """The first offset whose record is not older than a moment."""
    spec: OffsetSpec = OffsetSpec.for_timestamp(moment_ms)
    return spec


def topic_resource(topic: str) -> ConfigResource:
    """A topic, as questions about its settings name it."""
    return ConfigResource(ResourceType.TOPIC, topic)
