"""Writing to Kafka so that it can be relied on: when `write` returns, every in-sync replica has it."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from confluent_kafka import KafkaError, KafkaException

from bridge.errors import BridgeError
from bridge.journals import kafka_codes as codes
from bridge.journals.kafka_client import cause, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from confluent_kafka import Message, Producer

__all__ = ["Record", "WriteError", "Writer"]

log = logging.getLogger(__name__)

TOO_LARGE = "a record is larger than its topic takes (max.message.bytes)"
POLL = 0.2
ROOM_SECONDS = 10.0
ANSWER_SECONDS = 60.0  # above message.timeout.ms, within which the client answers for each record


class WriteError(BridgeError):
    """Not everything was written; `temporary` says whether trying again may help.

    `too_large` has the places of records that the brokers take in no batch, however small. If
    there are any, every other record is written.
    """

    def __init__(self, reason: str, *, temporary: bool, too_large: Sequence[int] = ()) -> None:
        self.temporary = temporary
        self.too_large = too_large
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
        self.failures: dict[int, KafkaError] = {}
        self.complete = threading.Event()

    def expect(self) -> None:
        with self._lock:
            self._left += 1

    def landed(self, place: int, error: KafkaError | None, message: Message | None = None) -> None:  # noqa: ARG002 - as it is called
        with self._lock:
            if error is not None:
                self.failures[place] = error
        self.handed_over()

    def handed_over(self) -> None:
        with self._lock:
            self._left -= 1
            if not self._left:
                self.complete.set()


class Writer:
    """Writes for many threads, and finds the records that are too large."""

    def __init__(self, connect: Callable[..., Producer], name: str) -> None:
        """`connect(**options)` makes a producer; it is called when something is written."""
        self._batches = _Outlet(connect, name)
        self._singles = _Outlet(partial(connect, **{"batch.num.messages": 1}), f"{name}-single")

    def write(self, records: Sequence[Record]) -> None:
        """Write records; they are durable when this returns. `WriteError` if any of them may not be.

        The brokers judge whole batches, so what is too large is written once more in batches of one.
        """
        places = self._batches.write(records)
        if places:
            again = self._singles.write([records[place] for place in places])
            places = [places[place] for place in again]
        if places:
            raise WriteError(TOO_LARGE, temporary=False, too_large=places)

    def close(self) -> None:
        """Wait a moment for what is on its way, and let go of the producers."""
        self._batches.close()
        self._singles.close()


class _Outlet:
    """One idempotent producer for many threads, and the thread that takes its reports."""

    def __init__(self, connect: Callable[[], Producer], name: str) -> None:
        self._connect = connect
        self._name = name
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._poller: threading.Thread | None = None
        self._closed = threading.Event()

    def write(self, records: Sequence[Record]) -> list[int]:
        """Write records durably; returns the places of those that are too large.

        `WriteError` for any other fault.
        """
        producer = self._ready()
        receipt = _Receipt()
        for place, record in enumerate(records):
            receipt.expect()
            error = self._hand_over(producer, record, partial(receipt.landed, place))
            if error is not None:
                receipt.landed(place, error)
                if error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
                    break
        receipt.handed_over()
        if not receipt.complete.wait(ANSWER_SECONDS):
            raise WriteError("Kafka gave no answer", temporary=True)
        for error in receipt.failures.values():
            if error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
                self._failed(error)
        return sorted(receipt.failures)

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

    def _hand_over(
        self, producer: Producer, record: Record, landed: Callable[..., None]
    ) -> KafkaError | None:
        """Give the client a record, waiting for room in its queue; returns why it does not take it."""
        ends = time.monotonic() + ROOM_SECONDS
        while True:
            try:
                producer.produce(
                    record.topic, record.value, record.key, headers=record.headers, on_delivery=landed
                )
            except BufferError:
                if time.monotonic() > ends:
                    return KafkaError(codes.QUEUE_FULL)
                time.sleep(0.01)
            except KafkaException as error:
                return cause(error)
            else:
                return None

    def _failed(self, failure: KafkaError) -> NoReturn:
        if failure.fatal():
            with self._lock:
                self._producer = None  # an idempotent producer that lost its place cannot go on
        temporary = failure.code() != KafkaError.TOPIC_AUTHORIZATION_FAILED
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
