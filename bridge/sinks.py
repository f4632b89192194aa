"""The sink contract: `map` an event to a payload, `send` a batch, answer one outcome a payload.

A sink is small because the host does the rest. The host reads, decodes, validates, filters,
maps, batches by count, bytes and age, retries, bisects, dead-letters, counts and commits;
a sink holds no buffer and no retry loop. The built-in sinks import nothing but what a
stranger's sink can import.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from bridge.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from bridge.events import Event

__all__ = [
    "DELIVERED",
    "DUPLICATE",
    "Batch",
    "BatchLimits",
    "Delivered",
    "ObjectSink",
    "Outcome",
    "Pack",
    "Reject",
    "Retry",
    "Sink",
    "SinkConfig",
    "Span",
]

PayloadT = TypeVar("PayloadT")
ConfigT = TypeVar("ConfigT", bound="SinkConfig")


@dataclass(frozen=True, slots=True)
class Delivered:
    """The destination has the payload; `duplicate` says that it had it already."""

    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """Try this payload again, the same bytes, not before `after` seconds (None: back off)."""

    reason: str
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """The destination will never take this payload: dead letter, under a short stable `code`."""

    code: str
    reason: str


Outcome = Delivered | Retry | Reject
DELIVERED = Delivered()
DUPLICATE = Delivered(duplicate=True)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch is closed; whichever limit is met first. Operators override each one.

    `max_events` events, `max_bytes` bytes of payload, `max_age` seconds since its first event.
    A single payload above `max_payload_bytes` is dead-lettered before it is sent.
    """

    max_events: int = 1_000
    max_bytes: int = 4 * 1024 * 1024
    max_age: float = 1.0
    max_payload_bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Span:
    """The part of one journal stream a batch was read from: `start` ≤ position < `end`."""

    stream: str
    start: int
    end: int
    count: int


@dataclass(frozen=True, slots=True)
class Batch(Generic[PayloadT]):
    """What `send` receives: `payloads` in delivery order, and where they came from.

    `events` has the same length and order as `payloads` (it is empty for an `ObjectSink`,
    whose events were packed and let go). `attempt` counts from 1. `sink` is the identifier
    in the configuration, the `product` of `[sinks.product]`.
    """

    payloads: Sequence[PayloadT]
    events: Sequence[Event]
    sink: str
    attempt: int = 1
    spans: tuple[Span, ...] = ()

    def __len__(self) -> int:
        return len(self.payloads)

    def all(self, outcome: Outcome) -> list[Outcome]:
        """Answer the whole batch with one outcome."""
        return [outcome] * len(self.payloads)


class SinkConfig(BaseModel):
    """Base of every sink's configuration: unknown keys are refused, values are frozen.

    Give every field a `description`: it appears in `bridge schema` and in the generated
    documentation. Use `bridge.secrets.Secret` for anything that must not be shown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Sink(ABC, Generic[ConfigT, PayloadT]):
    """One destination. Subclass, set `name` and `config_type`, write `map` and `send`.

    `limits` and `max_in_flight` are defaults for the class; a constructor may set them for an
    instance where the configuration decides them.

    The constructor only keeps its configuration; sockets and optional packages belong into
    `__enter__`. `map` and `map_batch` run on the pipeline's thread, `send` on up to
    `max_in_flight` sender threads at a time; every method may block.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[SinkConfig]] = SinkConfig
    limits: BatchLimits = BatchLimits()
    max_in_flight: int = 16
    api_version: ClassVar[int] = 1

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @abstractmethod
    def map(self, event: Event) -> PayloadT | None:
        """Turn an event into the destination's model; None says that it is not for this sink.

        Pure and deterministic: no clock, no randomness, no I/O, and `event` is not changed.
        Return `bytes` where possible: their size is exact, and a retry sends the same bytes.
        Raise `EventError` for an event the destination's model cannot express.
        """

    def map_batch(self, events: Sequence[Event]) -> Sequence[PayloadT | None]:
        """Map many events at once, in order; override it where a column-wise way is faster.

        An exception here makes the host fall back to `map`, event by event, so that only the
        culprit is dead-lettered.
        """
        return [self.map(event) for event in events]

    @abstractmethod
    def send(self, batch: Batch[PayloadT]) -> Sequence[Outcome]:
        """Deliver a batch and answer one outcome per payload, in order.

        Raise a `DeliveryError` when one answer covers the whole batch. Any other exception
        counts as transient three times, then the batch is bisected as if rejected.
        """

    def check(self) -> str:
        """Say in one line what was found at the destination; raise `DeliveryError` if unusable.

        Called by `bridge check` on an entered sink; must not change anything there.
        """
        return "no check offered"

    def where(self) -> str:
        """The destination's address, fit to be shown to people; "" if it has none."""
        return str(getattr(self.config, "url", None) or getattr(self.config, "host", None) or "")

    def setup(self) -> str:
        """Prepare the destination (templates, tables …) and say in one line what was done.

        Called by `bridge check --setup` on an entered sink, never by itself; "" for nothing to do.
        """
        return ""

    def verify(self, stream: str | None = None) -> tuple[bool, list[str]]:  # noqa: ARG002 - for subclasses
        """Prove from the destination alone that nothing is missing: whether so, and lines that say it.

        `stream` narrows it to one stream of the journal. Called by `bridge verify` on an entered
        sink; a sink that cannot raises `PluginError`.
        """
        raise PluginError(f"a {self.name} sink cannot be verified from its destination alone")

    def tally(self) -> Mapping[str, int]:
        """Count what no outcome can say, by a short stable word, since the sink was made.

        Delivered, but to a failure store, say. It may be asked at any time, from any thread, and
        must answer at once; numbers only grow.
        """
        return {}

    def explain(self, batch: Batch[PayloadT]) -> str:
        """Show what `send` would transmit for this batch, as text and without any secret."""
        return "\n".join(
            p.decode("utf-8", "replace") if isinstance(p, bytes) else repr(p) for p in batch.payloads
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Pack:
    """Many events in their final form: `count` events as `data`, all bound for `group`."""

    group: str
    count: int
    data: bytes


class ObjectSink(Sink[ConfigT, Pack]):
    """A sink that writes few large objects: events are packed as they come, then let go.

    The host calls `pack` on each run of mapped events and keeps only the packed bytes, so
    memory holds compressed data while an object grows to its size, count or age. A batch
    then has one payload per pack. Such a destination takes or refuses an object whole, so a
    `Reject` from here is treated as a set-up problem and dead-letters nothing.

    `pack_bytes` of lines become one pack: more compresses better, and costs four times as much
    memory for each stream that is read. The same events must always be cut in the same way, so it
    may follow from the configuration and from nothing else.
    """

    pack_bytes: int = 256 * 1024

    @abstractmethod
    def map(self, event: Event) -> Any:
        """Turn an event into the line or row that `pack` folds into an object."""

    @abstractmethod
    def pack(self, events: Sequence[Event], lines: Sequence[Any]) -> Sequence[Pack]:
        """Fold mapped events into packs, one a group; a pure function of its arguments."""
