"""Writing to Kafka so that it can be relied on: when `write` returns, every in-sync replica has it."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import KafkaError, KafkaException

from bridge.errors import BridgeError
from bridge.journals import kafka_codes as codes
from bridge.journals.kafka_client import cause, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from confluent_kafka import Message, Producer

__all__ = ["Record", "WriteError", "Writer"]

log = logging.getLogger(__name__)

POLL = 0.2
ROOM_SECONDS = 10.0
ANSWER_SECONDS = 60.0  # above message.timeout.ms, within which the client answers for each record


class WriteError(BridgeError):
    """Not everything was written; `temporary` says whether trying again may help."""

    def __init__(self, reason: str, *, temporary: bool) -> None:
        self.temporary = temporary
        super().__init__(reason)


class Record(NamedTuple):
    """One record to write."""

    topic: str
    value: bytes
    key: bytes | None = None
    headers: list[tuple[str, str | bytes | None]] | None = None


class _Receipt:
    """Counts the delivery reports of one call; they come on the writer's own thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = 1  # the call itself, until all of its records are handed over
        self.failure: KafkaError | None = None
        self.complete = threading.Event()

    def expect(self) -> None:
        with self._lock:
            self._left += 1

    def landed(self, error: KafkaError | None, message: Message | None = None) -> None:  # noqa: ARG002 - as it is called
        with self._lock:
            self.failure = self.failure or error
            self._left -= 1
            if not self._left:
                self.complete.set()


class Writer:
    """One idempotent producer for many threads, and the thread that takes its reports."""

    def __init__(self, connect: Callable[[], Producer], name: str) -> None:
        self._connect = connect
        self._name = name
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._poller: threading.Thread | None = None
        self._closed = threading.Event()

    def write(self, records: Sequence[Record]) -> None:
        """Write records; they are durable when this returns. `WriteError` if any of them may not be."""
        producer = self._ready()
        receipt = _Receipt()
        try:
            for record in records:
                receipt.expect()
                self._hand_over(producer, record, receipt)
        except KafkaException as error:
            receipt.landed(cause(error))
        receipt.landed(None)
        if not receipt.complete.wait(ANSWER_SECONDS):
            raise WriteError("Kafka gave no answer", temporary=True)
        if receipt.failure is not None:
            self._failed(receipt.failure)

    def close(self) -> None:
        """Wait a moment for what is on its way, and let go of the producer."""
        self._closed.set()
        if self._poller is not None:
            self._poller.join()
        if self._producer is not None:
            self._producer.flush(5.0)
            self._producer = None

    def _ready(self) -> Producer:
        with self._lock:
            if self._closed.is_set():
                raise WriteError("the bridge is stopping", temporary=True)
            if self._producer is None:
                self._producer = self._connect()
            if self._poller is None:
                self._poller = threading.Thread(target=self._poll, name=self._name, daemon=True)
                self._poller.start()
            return self._producer

    def _hand_over(self, producer: Producer, record: Record, receipt: _Receipt) -> None:
        ends = time.monotonic() + ROOM_SECONDS
        while True:
            try:
                producer.produce(
                    record.topic, record.value, record.key, headers=record.headers, on_delivery=receipt.landed
                )
            except BufferError:
                if time.monotonic() > ends:
                    raise KafkaException(KafkaError(codes.QUEUE_FULL)) from None
                time.sleep(0.01)
            else:
                return

    def _failed(self, failure: KafkaError) -> None:
        if failure.fatal():
            with self._lock:
                self._producer = None  # an idempotent producer that lost its place cannot go on
        temporary = failure.code() not in {
            KafkaError.MSG_SIZE_TOO_LARGE,
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
        }
        raise WriteError(f"Kafka did not take it: {sentence(failure)}", temporary=temporary)

    def _poll(self) -> None:
        while not self._closed.is_set():
            producer = self._producer
            if producer is None:
                self._closed.wait(POLL)
                continue
            try:
                producer.poll(POLL)
            except KafkaException as error:
                log.warning("%s: %s", self._name, sentence(cause(error)))
                self._closed.wait(POLL)
