"""The codes of errors that librdkafka raises by itself, which its Python package spells as private."""

from __future__ import annotations

from confluent_kafka import KafkaError

# ruff: noqa: SLF001 - the underscore is part of the names of documented constants
ALL_BROKERS_DOWN = KafkaError._ALL_BROKERS_DOWN
AUTHENTICATION = KafkaError._AUTHENTICATION
AUTO_OFFSET_RESET = KafkaError._AUTO_OFFSET_RESET
FAIL = KafkaError._FAIL
MAX_POLL_EXCEEDED = KafkaError._MAX_POLL_EXCEEDED
NO_OFFSET = KafkaError._NO_OFFSET
PARTITION_EOF = KafkaError._PARTITION_EOF
QUEUE_FULL = KafkaError._QUEUE_FULL
RESOLVE = KafkaError._RESOLVE
SSL = KafkaError._SSL
TIMED_OUT = KafkaError._TIMED_OUT
TRANSPORT = KafkaError._TRANSPORT
