"""Sunbird telemetry v3 as typed values: the head of an event is decoded, its `edata` when asked for.

Field meanings: the Sunbird telemetry specification, version 3. A value here has passed one of the
levels of `bridge.validation`; what a looser level lets through untyped reads as blank.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from struct import Struct as Packing
from typing import TYPE_CHECKING, Any, cast

import msgspec
from xxhash import xxh3_128_digest

from bridge.jsontext import load

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Actor", "CData", "Context", "Event", "Object", "Producer", "identities"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MOMENT = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z: what a calendar can still name
_TRUSTED_DRIFT = 7 * 24 * 3600 * 1000
_HEADER = Packing("<d4I").pack


class Actor(msgspec.Struct, frozen=True, gc=False):
    """Who did it: a user, a device or a service; both fields may be blank."""

    id: str = ""
    type: str = ""


class Producer(msgspec.Struct, frozen=True, gc=False):
    """`context.pdata`: the product, its component (`pid`) and its version."""

    id: str = ""
    pid: str | None = None
    ver: str | None = None


class CData(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One correlation of the context: what `type` of thing, and its `id`."""

    type: str
    id: str


class Context(msgspec.Struct, frozen=True, gc=False):
    """Where and with what: tenant (`channel`), place (`env`), producer, session and device.

    `rollup` places the tenant in its hierarchy (`l1` to `l4`).
    """

    channel: str = ""
    pdata: Producer = Producer()
    env: str = ""
    sid: str | None = None
    did: str | None = None
    cdata: list[CData] | None = None
    rollup: dict[str, str] | None = None


class Object(msgspec.Struct, frozen=True, gc=False):
    """On what: content, course, user …; `rollup` places it in its hierarchy (`l1` to `l4`)."""

    id: str | None = None
    type: str | None = None
    ver: str | None = None
    rollup: dict[str, str] | None = None


class Event(
    msgspec.Struct,
    kw_only=True,
    gc=False,
    eq=False,
    rename={
        "edata_held": "edata",
        "timestamp": "@timestamp",
        "raw": "raw ()",
        "received": "received ()",
        "digest": "digest ()",
        "original": "original ()",
    },
):
    """One telemetry event. Those of one session share `actor`, `context` and `object`: not to be changed.

    `ets` is the device's clock in ms since the epoch; `syncts` (ms) and `timestamp` (`@timestamp`,
    ISO 8601) are the server's, exactly as sent, unchecked. `raw` holds the event's own JSON
    bytes on one line, valid UTF-8. `received` is when the journal took it in, ms, where it knows;
    `digest` remembers `identity`; `original` holds the journal's bytes of an event that a stage
    has changed, None for any other. None of these four is read from the JSON. `edata_held` is what
    there is of `edata`: its value, its text, or the place of that in `raw` (`start << 32 | end`).
    """

    eid: str
    ets: float
    ver: str = ""
    mid: str
    actor: Actor = Actor()
    context: Context = Context()
    object: Object | None = None
    tags: list[str] | None = None
    edata_held: msgspec.Raw = msgspec.Raw(b"{}")
    syncts: Any = None
    timestamp: Any = None
    raw: bytes = b""
    received: int | None = None
    digest: bytes | None = None
    original: bytes | None = None

    @property
    def edata(self) -> dict[str, Any]:
        """What happened; decoded on first use and kept. It may hold nulls; not to be changed."""
        edata: Any = self.edata_held
        if not isinstance(edata, dict):
            edata = load(bytes(self.edata_text or b"{}"))
            edata = edata if isinstance(edata, dict) else {}
            self.edata_held = edata
        return edata  # type: ignore[no-any-return]

    @property
    def edata_text(self) -> msgspec.Raw | None:
        """The JSON of `edata`, on one line; None once `edata` was asked for."""
        held: Any = self.edata_held
        if isinstance(held, int):
            held = self.edata_held = msgspec.Raw(self.raw[held >> 32 : held & 0xFFFF_FFFF])
        return held if isinstance(held, msgspec.Raw) else None

    @property
    def document(self) -> dict[str, Any]:
        """The whole event as sent, decoded anew at every call."""
        return load(self.raw)  # type: ignore[no-any-return]

    @property
    def identity(self) -> bytes:
        """16 bytes that every delivery of this event shares and no other event does.

        XXH3-128 of (ets, lengths, mid, eid, actor.id, context.did); key order, white space, number
        notation and all other keys play no part, and an absent did counts as a blank one.
        """
        return self.digest or identities((self,))[0]

    @property
    def source(self) -> bytes:
        """The event's bytes as the journal holds them, whatever stages made of it."""
        return self.original or self.raw

    def record_time(self, received: int | None = None) -> int:
        """When it happened, ms since the epoch, with wild device clocks set right.

        `ets` while it lies within 7 days of the server's time, else that time: `syncts`, or
        `@timestamp`, or `received` (ms; by default the journal's), whichever is the first to make
        sense; without any, `ets`.
        """
        server: int | None = self.syncts
        if type(server) is not int or not 0 < server <= _LAST_MOMENT:  # the usual case costs no call
            server = _milliseconds(server) or _milliseconds(self.timestamp) or received or self.received
        if server is None or abs(self.ets - server) <= _TRUSTED_DRIFT:
            return int(self.ets)
        return server

    def __repr__(self) -> str:
        return f"<Event {self.eid} {self.mid}>"  # without the person's data that `raw` holds


def identities(events: Iterable[Event]) -> list[bytes]:
    """The identity of each event, in order."""
    events = list(events)
    known = [event.digest for event in events]
    if all(known):
        return cast("list[bytes]", known)
    new = [event for event in events if event.digest is None]
    # The lengths keep the fields apart; adding 0.0 turns -0.0, which equals 0.0, into it.
    texts = [
        _HEADER(
            event.ets + 0.0,
            len(mid := event.mid),
            len(eid := event.eid),
            len(actor := event.actor.id),
            len(did := event.context.did or ""),
        )
        + f"{mid}{eid}{actor}{did}".encode()
        for event in new
    ]
    for event, digest in zip(new, map(xxh3_128_digest, texts), strict=True):
        event.digest = digest
    return cast("list[bytes]", [event.digest for event in events])


def _milliseconds(value: Any) -> int | None:
    """A server time as sent: a number, its digits, or ISO 8601 (UTC if unsaid); None if neither."""
    if value is None:
        return None
    try:
        if isinstance(value, str):
            value = int(value) if value.isdecimal() else _since_epoch(value)
        moment = 0 if isinstance(value, bool) else int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return moment if 0 < moment <= _LAST_MOMENT else None


def _since_epoch(text: str) -> int:
    moment = datetime.fromisoformat(text)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(milliseconds=1)
