"""The archive's only I/O: one range of a stream at a time, plan first, then its objects."""

from __future__ import annotations

import logging
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

from bridge.errors import PluginError, RecutError, SetupError
from bridge.sinks import DELIVERED, DUPLICATE, Batch, BatchLimits, ObjectSink, Outcome, Pack, Span
from bridge.together import at_once
from bridge_s3.bucket import Bucket, neighbours, open_bucket
from bridge_s3.config import S3Config
from bridge_s3.formats import Format, format_of
from bridge_s3.keys import PLANS, Naming, plan_key
from bridge_s3.looking import LookingStore
from bridge_s3.mapping import Grouper
from bridge_s3.planning import IGNORES_CONDITIONS, Neighbours, check_place, write_chunk
from bridge_s3.verify import verify
from bridge_s3.wire import DigestError, Sealed, fold, gather, make_plan, seal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.events import Event
    from bridge_s3.planning import Plan

__all__ = ["S3Sink"]

MIB = 1024 * 1024
SECOR_LIMITS = BatchLimits(max_events=5_000_000, max_bytes=100_000_000, max_age=14_400.0)
PROBE = f"{PLANS}/conditions.json"
PROBE_BODY = b'{"v":1}\n'

BIG = 32 * MIB

_log = logging.getLogger("bridge.sinks.s3")


class S3Sink(ObjectSink[S3Config]):
    """Writes each range of a stream as few large objects, named by where the range begins and ends."""

    name = "s3"
    config_type = S3Config
    limits = BatchLimits(max_events=500_000, max_bytes=16 * MIB, max_age=300.0)
    max_in_flight = 1

    def __init__(self, config: S3Config) -> None:
        super().__init__(config)
        if config.layout == "secor":
            self.limits = SECOR_LIMITS
        if config.codec == "zstd":
            self.pack_bytes = 1024 * 1024  # its window sees all of it: 14 % smaller objects than from 256 KiB
        self._grouper = Grouper(config)
        self._form: Format | None = None
        self._open: Bucket | None = None
        self._proven = False
        self._turn = Lock()
        self._ends: dict[str, int] = {}
        self._recuts: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._format()
        self._open = open_bucket(self.config)
        return self

    def map(self, event: Event) -> Any:
        """The event's own bytes, as one line."""
        return event.raw

    def map_batch(self, events: Sequence[Event]) -> list[Any]:
        """See `map`."""
        return [event.raw for event in events]

    def pack(self, events: Sequence[Event], lines: Sequence[bytes]) -> list[Pack]:
        """One pack per hour or day (and event type), ordered by first event."""
        if not events:
            return []
        form, groups = self._format(), self._grouper.each(events)
        if len(set(groups)) == 1:
            return [form.pack(groups[0], events, lines)]
        return [
            form.pack(group, [events[place] for place in places], [lines[place] for place in places])
            for group, places in fold(groups).items()
        ]

    def send(self, batch: Batch[Pack]) -> list[Outcome]:
        """Write one range; `RecutError` if it was planned before with another end."""
        span = _span(batch)
        sealed = self._seal(batch.payloads, span)
        _tell_big(sealed, batch.sink)
        try:
            if self.config.guarantee == "at-least-once":
                return batch.all(self._replace(sealed))
            return batch.all(self._write(make_plan(sealed, span, self.config.generation), sealed))
        except RecutError as error:
            raise self._unreachable(span, error.end) or error from None
        except DigestError as error:
            raise SetupError(f"{error}, again") if batch.attempt > 1 else error from None

    def check(self) -> str:
        """Say whether the archive can be reached and listed; changes nothing."""
        found = "archive found" if self._bucket().probe() else "reachable, nothing archived yet"
        return f"{self.config.url}: {found}"

    def setup(self) -> str:
        """Find out whether the store honours If-None-Match, with one small object put twice.

        `SetupError` if it does not. Only for when an operator asks: `check` writes nothing.
        """
        if self.config.guarantee != "exactly-once":
            return f"nothing to set up for {self.config.guarantee}"
        bucket = self._bucket()
        if bucket.create(PROBE, [PROBE_BODY]) and bucket.create(PROBE, [PROBE_BODY]):
            raise SetupError(IGNORES_CONDITIONS)
        self._proven = True
        return "the store honours If-None-Match"

    def verify(self, stream: str | None = None) -> tuple[bool, list[str]]:
        """Whether the plans of a stream (all of them) leave no gap, and every object is as planned."""
        report = verify(self.config, stream)
        return report.ok, report.lines()

    def explain(self, batch: Batch[Pack]) -> str:
        """The plan, then each object's key and the events in it, unpacked."""
        span = batch.spans[0] if batch.spans else Span("journal", 0, max(1, len(batch)), len(batch))
        sealed = self._seal(batch.payloads, span)
        blocks = [f"PUT {item.key}\n{self._format().show(item.parts)}" for item in sealed]
        if self.config.guarantee != "at-least-once":
            plan = make_plan(sealed, span, self.config.generation)
            blocks.insert(0, f"PUT {plan_key(span.stream, span.start)}\n{plan.encode().decode()}")
        return "\n".join(blocks)

    def _seal(self, packs: Sequence[Pack], span: Span) -> list[Sealed]:
        groups = gather(packs, self._grouper.unplaced, self.config.min_object_bytes)
        return seal(groups, span, self._naming, self._format())

    def _replace(self, sealed: Sequence[Sealed]) -> Outcome:
        at_once([partial(self._bucket().replace, item.key, item.parts) for item in sealed])
        return DELIVERED

    def _write(self, plan: Plan, sealed: Sequence[Sealed]) -> Outcome:
        if not self._turn.acquire(blocking=False):
            raise SetupError("ranges must be written one after the other: leave max_in_flight at 1")
        try:
            return self._write_alone(plan, sealed)
        finally:
            self._turn.release()

    def _write_alone(self, plan: Plan, sealed: Sequence[Sealed]) -> Outcome:
        bucket = self._bucket()
        around = self._look(bucket, plan)
        bodies = {item.key: item.parts for item in sealed}
        alone = self.config.guarantee == "single-owner"
        store, proven = (LookingStore(bucket), True) if alone else (bucket, self._proven)
        key = plan_key(plan.stream, plan.start)
        receipt = write_chunk(store, key, plan, bodies, proven=proven, run=at_once)
        self._proven = True
        self._recuts.pop(plan.stream, None)
        self._ends.pop(plan.stream, None)
        if receipt.planned and around.after is None:
            self._ends[plan.stream] = plan.end
        return DELIVERED if receipt.planned or receipt.written else DUPLICATE

    def _unreachable(self, span: Span, end: int) -> SetupError | None:
        """What is wrong if the journal was read up to a planned end before, and does not get there.

        Said every other time only, so that a journal that has grown meanwhile is read again.
        """
        if self._recuts.pop(span.stream, None) == end and span.end < end:
            return SetupError(
                f"{span.stream} was planned up to {end}, but ends at {span.end}: is this another journal?"
            )
        self._recuts[span.stream] = end
        return None

    def _look(self, bucket: Bucket, plan: Plan) -> Neighbours:
        """What is planned around a range; nothing is, behind the one this process planned last."""
        if self._ends.get(plan.stream) == plan.start:
            return Neighbours(None, None)
        around = neighbours(bucket, plan.stream, plan.start)
        check_place(plan, around)
        return around

    @property
    def _naming(self) -> Naming:
        ranged = self.config.guarantee != "exactly-once"
        return Naming(self.config.layout, self.config.generation, self._format().suffix, ranged)

    def _format(self) -> Format:
        if self._form is None:
            self._form = format_of(self.config)
        return self._form

    def _bucket(self) -> Bucket:
        if self._open is None:
            raise PluginError("the sink has not been opened")
        return self._open


def _tell_big(sealed: Sequence[Sealed], sink: str) -> None:
    """An object is one request, which may take minutes: nobody should wonder what the sink is doing."""
    for item in sealed:
        size = sum(map(len, item.parts))
        if size >= BIG:
            _log.info("%s: writes %s, %d MiB with %d events", sink, item.key, size // MIB, item.events)


def _span(batch: Batch[Pack]) -> Span:
    if len(batch.spans) != 1:
        raise PluginError("the s3 sink takes batches of one stream each")
    return batch.spans[0]
