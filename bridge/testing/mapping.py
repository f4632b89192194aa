"""The part of the sink contract that needs no destination: the class, its keys, its mapping."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest

from bridge.errors import EventError
from bridge.events import decode
from bridge.sinks import ObjectSink
from bridge.testing.configuring import ConfigurationContract
from bridge.testing.events import encode, make_event, nasty, samples, unknown_samples
from bridge.testing.fitting import batch_of
from bridge.testing.lessons import Breach, check, require
from bridge.testing.replay import fingerprints, in_another_process

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.events import Event
    from bridge.sinks import Sink
    from bridge.testing.replay import Replay

__all__ = ["MappingContract"]

HASH_SEEDS = (0, 4_242)
PURE = (
    "map is called again after a restart, on another machine: whatever it needs must come from the event\n"
    "or from self.config. The time of an event is event.ets or event.record_time(); an id of its own is\n"
    "event.identity; sort what you take from a set"
)


class Replays(NamedTuple):
    """The same events mapped here and in other processes."""

    here: list[str]
    there: list[Replay]
    lines: list[bytes]


_replays: dict[type, Replays] = {}


class MappingContract(ConfigurationContract):
    """What every sink keeps without a destination. Subclass it as `Test…` and set `sink_type` and `config`.

    `SinkContract` adds sending, `HttpSinkContract` everything HTTP; both include this one.
    """

    def identity_of(self, payload: Any) -> object:  # noqa: ARG002 - a subclass looks at it
        """The id by which the destination knows a payload again; None if there is none to be seen."""
        return None

    @pytest.fixture
    def replays(self, tmp_path_factory: pytest.TempPathFactory) -> Replays:
        """Every event mapped in this process and, at the same time, in two others; once per class."""
        if type(self) not in _replays:
            _replays[type(self)] = self._replay(tmp_path_factory.mktemp("replay"))
        return _replays[type(self)]

    @check
    def test_making_a_sink_opens_nothing(self, replays: Replays) -> None:
        """The constructor keeps its configuration; sockets, threads and clients are opened by __enter__."""
        opened = sorted({what for replay in replays.there for what in replay.opening})
        require(
            not opened,
            f"making the sink used {', '.join(opened)}",
            "def __enter__(self):\n    self._client = …\n    return self",
        )

    @check
    def test_every_event_is_mapped_or_declined(self, tmp_path: Path) -> None:
        """Every official event type gives a payload, or None for what this sink does not want."""
        for event in samples().values():
            self._map(self.make(tmp_path), encode(event), event["eid"])

    @check
    def test_an_event_of_an_unknown_type_is_mapped_or_declined(self, tmp_path: Path) -> None:
        """New event types appear without notice: they give a payload or None, like the others."""
        for event in unknown_samples().values():
            self._map(self.make(tmp_path), encode(event), event["eid"])

    @check
    def test_an_odd_event_is_mapped_or_refused(self, tmp_path: Path) -> None:
        """Whatever the bridge lets through gives a payload, None, or an EventError that says why not."""
        sink = self.make(tmp_path)
        for name, line in nasty().items():
            try:
                event = decode(line)
            except EventError:
                continue  # such events never reach a sink
            self._map_event(sink, event, name)

    @check
    def test_the_same_event_gives_the_same_payload(self, tmp_path: Path) -> None:
        """Mapping is deterministic: the same event gives the same payload, also from a new sink."""
        lines = self.lines()
        sink = self.make(tmp_path)
        first = fingerprints(sink, map(decode, lines))
        self._compare(lines, first, fingerprints(sink, map(decode, lines)), "the second time")
        self._compare(lines, first, fingerprints(self.make(tmp_path), map(decode, lines)), "by a new sink")

    @check
    def test_another_process_gives_the_same_payload(self, replays: Replays) -> None:
        """A redelivery after a restart carries the same bytes: other process, other PYTHONHASHSEED."""
        for seed, replay in zip(HASH_SEEDS, replays.there, strict=True):
            self._compare(replays.lines, replays.here, replay.prints, f"with PYTHONHASHSEED={seed}")

    @check
    def test_mapping_reads_no_clock_and_draws_no_lots(self, replays: Replays) -> None:
        """Mapping depends on the event alone, never on when it is done or on chance."""
        read = sorted({what for replay in replays.there for what in replay.clocks})
        require(not read, f"map used {', '.join(read)}", PURE)

    @check
    def test_mapping_touches_no_file_and_no_network(self, replays: Replays) -> None:
        """Mapping does no I/O: it runs on the pipeline's thread and would stop it."""
        touched = sorted({what for replay in replays.there for what in replay.touched})
        require(
            not touched,
            f"map caused {', '.join(touched)}",
            "read what the mapping needs in __enter__, or put it into the configuration",
        )

    @check
    def test_mapping_changes_no_event(self, tmp_path: Path) -> None:
        """Events are shared with the other sinks; mapping leaves them as they are."""
        sink = self.make(tmp_path)
        for line in self.lines():
            event, untouched = decode(line), decode(line)
            _mapped(sink, event)
            require(
                (event.raw, event.edata, msgspec.structs.astuple(event.context))
                == (untouched.raw, untouched.edata, msgspec.structs.astuple(untouched.context)),
                f"map changed the {event.eid} event it was given",
                "edata = {**event.edata, …}   # a copy; event.document is a new one at each call",
            )

    @check
    def test_many_at_once_are_mapped_as_one_by_one(self, tmp_path: Path) -> None:
        """map_batch gives, in order, what map gives for each event."""
        sink = self.make(tmp_path)
        events = [event for event in map(decode, self.lines()) if not _refused(sink, event)]
        many, each = list(sink.map_batch(events)), [sink.map(event) for event in events]
        differing = [event.eid for event, a, b in zip(events, many, each, strict=False) if a != b]
        require(
            len(many) == len(each) and not differing,
            f"{len(many)} payloads for {len(each)} events; other ones for {differing[:5]}",
            "a map_batch with one item per event, None included, or none at all: the base class has one",
        )

    @check
    def test_a_payload_has_a_size(self, tmp_path: Path) -> None:
        """The host cuts batches by size: payloads are bytes, or values it can take the event's size for."""
        sink = self.make(tmp_path)
        strings = [event.eid for event in self.events() if isinstance(sink.map(event), str)]
        require(not strings, "map returned str", "return text.encode()   # bytes have an exact size")

    @check
    def test_ordinary_payloads_are_within_the_limits(self, tmp_path: Path) -> None:
        """The payload of an ordinary event is smaller than the sink's own limits say it may be."""
        sink = self.make(tmp_path)
        most = min(sink.limits.max_payload_bytes, sink.limits.max_bytes)
        for line in map(encode, samples().values()):
            payload = _mapped(sink, decode(line))
            size = len(payload) if isinstance(payload, bytes) else 0
            require(
                size <= most,
                f"a payload of {size:,} bytes, the limits permit {most:,}",
                "limits = BatchLimits(max_bytes=…, max_payload_bytes=…) as the destination has them",
            )

    @check
    def test_an_event_keeps_its_identity(self, tmp_path: Path) -> None:
        """A redelivered event is recognised by the same id, and no other event has it."""
        sink, source = self.make(tmp_path), make_event(self.events(1)[0].eid)
        one, again, other = (
            _mapped(sink, decode(encode(event)))
            for event in (
                source,
                {**dict(reversed(source.items())), "syncts": source["ets"] + 1},
                {**source, "mid": "contract-other"},
            )
        )
        ids = [self.identity_of(payload) for payload in (one, again, other)]
        require(
            ids[0] == ids[1],
            f"{ids[0]!r}, then {ids[1]!r} for the same event with its keys in another order",
            "an id made of event.identity (16 bytes: mid, eid, ets, actor.id, context.did)",
        )
        require(
            one != other if ids[0] is None else ids[0] != ids[2],
            "two events with different mids cannot be told apart",
            "event.identity.hex(), or event.mid, somewhere in the payload",
        )

    @check
    def test_packing_keeps_every_event(self, tmp_path: Path) -> None:
        """An ObjectSink's packs hold every mapped event once, and packing again gives the same bytes."""
        sink, events = self.make(tmp_path), self.events()
        if isinstance(sink, ObjectSink):
            packs, again = batch_of(sink, events).payloads, batch_of(sink, events).payloads
            require(
                sum(pack.count for pack in packs) == len(events) and list(packs) == list(again),
                f"{sum(pack.count for pack in packs)} events in {len(packs)} packs, of {len(events)}",
                "Pack(group, count, data) with the number of events in data, made of its arguments alone",
            )

    @check
    def test_explain_is_text_and_needs_no_network(self, tmp_path: Path) -> None:
        """`bridge explain` shows what would be sent, from a sink that was never opened."""
        sink = self.make(tmp_path)
        text: object = sink.explain(batch_of(sink, self.events()))
        require(
            isinstance(text, str) and text,
            f"explain returned {text!r}",
            "text, or no explain at all: the base class has one",
        )

    def _replay(self, folder: Path) -> Replays:
        lines, config = self.lines(), self.settings(folder)
        with ThreadPoolExecutor() as pool:
            others = [
                pool.submit(in_another_process, self.sink_type, config, lines, seed) for seed in HASH_SEEDS
            ]
            here = fingerprints(self.make(folder), map(decode, lines))
            return Replays(here, [other.result() for other in others], lines)

    def _map(self, sink: Sink[Any, Any], line: bytes, name: str) -> None:
        event = decode(line)
        self._map_event(sink, event, name)
        require(
            not _refused(sink, event),
            f"map refused an ordinary {name} event",
            "a payload, or None if this sink does not want the type; EventError is for broken data",
        )

    def _map_event(self, sink: Sink[Any, Any], event: Event, name: str) -> None:
        try:
            sink.map(event)
        except EventError as error:
            require(
                re.fullmatch(r"[a-z0-9_.-]{1,64}", error.code),
                f"EventError with code {error.code!r}",
                'EventError("too_long", "one sentence", "$.edata.uri")   # the code is for metrics',
            )
        except Exception as error:
            raise Breach(
                f"map raised {type(error).__name__}: {error}, for the event {name!r} ({event.eid})",
                "edata is free-form: it may lack keys, hold nulls, or be another type than expected.\n"
                'value = event.edata.get("pageid")\nif not isinstance(value, str): …\n'
                'raise EventError("no_page", "…", "$.edata.pageid") for what cannot be expressed',
            ) from error

    def _compare(self, lines: list[bytes], first: list[str], second: list[str], when: str) -> None:
        differing = [decode(line).eid for line, a, b in zip(lines, first, second, strict=True) if a != b]
        require(not differing, f"another payload {when}: {', '.join(differing[:5])}", PURE)


def _mapped(sink: Sink[Any, Any], event: Event) -> Any:
    """The payload, None where there is none for whatever reason."""
    try:
        return sink.map(event)
    except Exception:  # noqa: BLE001 - boundary: `_map_event` says what map raises; here it is in the way
        return None


def _refused(sink: Sink[Any, Any], event: Event) -> bool:
    try:
        sink.map(event)
    except Exception:  # noqa: BLE001 - boundary: as above
        return True
    return False
