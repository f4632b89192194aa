"""The bytes of capture, PostHog's intake, in both protocols: requests. Pure.

V1 (`/i/v1/analytics/events`) answers event by event, refuses with 402 what is over the quota
and knows zstd; a server offers it only if so configured. V0 (`/batch/`) is everywhere, but
answers 200 to a batch as a whole, even to one it drops for being over the quota.
"""

from __future__ import annotations

from itertools import islice, repeat
from operator import contains, itemgetter
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar

import zstandard
from xxhash import xxh3_128_digest

from bridge.compression import compress_joined, joined
from bridge_posthog.heads import UUID
from bridge_posthog.ids import uuid8
from bridge_posthog.moments import iso

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

__all__ = [
    "PATHS",
    "Encoding",
    "Parcel",
    "Protocol",
    "body",
    "headers",
    "opening",
    "pack",
    "packed",
]

T = TypeVar("T")
Protocol = Literal["v0", "v1"]
Encoding = Literal["zstd", "gzip", "none"]

PATHS: Final[dict[Protocol, str]] = {"v0": "/batch/", "v1": "/i/v1/analytics/events"}
NEWLINE: Final = ord("\n")
# A window that the processor's cache holds: an eighth faster than level 1 has it, and 7 % larger.
_ZSTD: Final = zstandard.ZstdCompressionParameters.from_level(1, window_log=18)
_ALWAYS: Final = b'"$geoip_disable":true,"$ip":null'
_uuid = itemgetter(UUID)


def opening(protocol: Protocol, profile: bool, session: str | None) -> bytes:
    """What stands between an event's head and its own properties.

    The time given is not to be shifted by the request's; neither our address nor our host is
    the user's. V1 has for itself what capture reads, and takes `$lib` from a header.
    """
    person = b"true" if profile else b"false"
    identifier = session.encode() if session else b""
    if protocol == "v1":
        options = b',"options":{"disable_skew_correction":true,"process_person_profile":%b}' % person
        return (
            options + (b',"session_id":"%b"' % identifier if session else b"") + b',"properties":{' + _ALWAYS
        )
    flags = b',"$lib":"sunbird-bridge","$ignore_sent_at":true,"$process_person_profile":%b' % person
    return b',"properties":{' + _ALWAYS + flags + (b',"$session_id":"%b"' % identifier if session else b"")


class Parcel(NamedTuple):
    """What one request carries: `events`, and the uuid of each.

    `counts` says how many of them each payload brings, one payload's after the other's: 0 if its event is in
    the parcel already. It is None where every payload is one event.
    """

    events: Sequence[bytes]
    uuids: list[bytes]
    counts: Sequence[int] | None = None

    def by_payload(self, items: Iterable[T]) -> Iterator[list[T]]:
        """What there is of each event, put together by payload."""
        rest = iter(items)
        return (list(islice(rest, count)) for count in self.counts or repeat(1, len(self.events)))


def pack(payloads: Sequence[bytes], known: Container[bytes] | None = ()) -> Parcel:
    """Take payloads apart into events, each uuid once; V1 refuses a batch that repeats one.

    `known` are the uuids of additional events that need not be sent again; None says that
    every payload is one event.
    """
    uuids = list(map(_uuid, payloads))
    single = known is None or not any(map(contains, payloads, repeat(NEWLINE)))
    if single and len(set(uuids)) == len(uuids):
        return Parcel(payloads, uuids)
    events: dict[bytes, bytes] = {}
    counts: list[int] = []
    for uuid, payload in zip(uuids, payloads, strict=True):
        before = len(events)
        if uuid not in events:
            events[uuid], *more = payload.split(b"\n")
            for event in more:
                if (other := _uuid(event)) not in (known or ()):
                    events.setdefault(other, event)
        counts.append(len(events) - before)
    return Parcel([*events.values()], [*events], counts)


def body(protocol: Protocol, events: Sequence[bytes], key: str, now: float, historical: bool) -> list[bytes]:
    """The request's body in pieces, not yet compressed; `now` in Unix seconds, `key` only in V0's."""
    time = iso(int(now * 1000)).encode()
    if protocol == "v1":
        start = b'{"created_at":"%b","batch":[' % time
        end = b'],"historical_migration":true}' if historical else b"]}"
    else:
        named = key.encode(), b"true" if historical else b"false", time
        start, end = b'{"api_key":"%b","historical_migration":%b,"sent_at":"%b","batch":[' % named, b"]}"
    pieces = [b","] * (2 * len(events))
    pieces[:1], pieces[1::2] = [start], events
    return [*pieces, end]


def headers(
    protocol: Protocol,
    *,
    key: str,
    agent: str,
    encoding: Encoding,
    uuids: Iterable[bytes],
    attempt: int,
    now: float,
) -> dict[str, str]:
    """The request's headers; its id stays the same while the same events are sent again."""
    common = {"Content-Type": "application/json", "User-Agent": agent}
    if encoding != "none":
        common["Content-Encoding"] = encoding
    if protocol == "v0":
        return common
    return common | {
        "Authorization": f"Bearer {key}",
        "PostHog-Sdk-Info": agent,
        "PostHog-Attempt": str(max(attempt, 1)),
        "PostHog-Request-Id": uuid8(xxh3_128_digest(b"".join(uuids))),
        "PostHog-Request-Timestamp": iso(int(now * 1000)),
    }


def packed(pieces: Sequence[bytes], encoding: Encoding) -> bytes:
    """Compress a body in one shot, at the fastest level."""
    if encoding == "none":
        return b"".join(pieces)
    if encoding == "gzip":
        return compress_joined(pieces)
    with joined(pieces) as text:
        return bytes(memoryview(zstandard.ZstdCompressor(compression_params=_ZSTD).compress(text)))
