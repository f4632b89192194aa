"""Identifiers that follow from the event alone: uuids of events, uuids of sessions. Pure.

PostHog takes two events for one if uuid, name, distinct_id and day are equal, whatever the
uuid's version. A session must be a UUIDv7 whose time is at most 24 hours before its events.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from uuid import UUID

__all__ = ["DAY", "derived_uuid", "session_id", "uuid7", "uuid8"]

DAY = 86_400_000
HYPHENATED = 36
OPAQUE = 16
LONGEST_CACHED = 200
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def uuid8(digest: bytes) -> str:
    """Write 16 bytes as a UUID of version 8 (RFC 9562: custom content)."""
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"


def uuid7(milliseconds: int, digest: bytes) -> str:
    """Write a time (48 bits) and 10 bytes of digest as a UUID of version 7."""
    time, rest = f"{milliseconds:012x}", digest.hex()
    return f"{time[:8]}-{time[8:]}-7{rest[:3]}-{_VARIANT[rest[3]]}{rest[4:7]}-{rest[7:19]}"


def derived_uuid(*parts: str) -> str:
    """Name by a uuid what several texts name together, the same in every process."""
    digest = hashlib.blake2b(digest_size=16, person=b"sunbird-posthog")
    for part in parts:
        data = part.encode("utf-8", "replace")
        digest.update(len(data).to_bytes(8, "big") + data)
    return uuid8(digest.digest())


def session_id(sid: str, salt: str, at: int, boundary: int = 0) -> str:
    """The PostHog session of an event `at` (ms) with Sunbird session `sid`, which is not blank.

    A `sid` that is a fit UUIDv7 is taken as it is. Else the session lasts while `sid` and
    `salt` stay the same, until `boundary` (ms after midnight UTC), when a new one begins.
    """
    if len(sid) == HYPHENATED and sid[14] == "7" and (own := _fit(sid, at)):
        return own
    window = (at - boundary) // DAY * DAY + boundary
    named = sid if len(sid) >= OPAQUE else f"{sid}\x1f{salt}"  # a short sid may be a mere counter
    derive = _windowed if len(named) <= LONGEST_CACHED else _derived
    return derive(named, max(window, 0))


def _fit(sid: str, at: int) -> str | None:
    try:
        uuid = UUID(sid)
    except ValueError:
        return None
    began = uuid.int >> 80
    return str(uuid) if uuid.version == 7 and began <= at < began + DAY else None  # noqa: PLR2004


def _derived(named: str, window: int) -> str:
    digest = hashlib.sha256(f"{window}\x1f{named}".encode("utf-8", "replace")).digest()
    return uuid7(window, digest[:10])


_windowed = lru_cache(maxsize=8_192)(_derived)
