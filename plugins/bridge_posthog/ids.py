"""Identifiers that follow from the event alone: uuids of events, uuids of sessions. Pure.

PostHog takes two events for one if uuid, name, distinct_id and day are equal, whatever the
uuid's version. A session must be a UUIDv7 whose time is at most 24 hours before its events.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final
from uuid import UUID

__all__ = [
    "DAY",
    "HYPHENATED",
    "VARIANTS",
    "derived_digest",
    "derived_session",
    "own_session",
    "uuid7",
    "uuid8",
]

DAY = 86_400_000
HYPHENATED = 36
OPAQUE = 16
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}

VARIANTS: Final = bytes.maketrans("".join(_VARIANT).encode(), "".join(_VARIANT.values()).encode())


def uuid8(digest: bytes) -> str:
    """Write 16 bytes as a UUID of version 8 (RFC 9562: custom content)."""
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"


def uuid7(milliseconds: int, digest: bytes) -> str:
    """Write a time (48 bits) and 10 bytes of digest as a UUID of version 7."""
    time, rest = f"{milliseconds:012x}", digest.hex()
    return f"{time[:8]}-{time[8:]}-7{rest[:3]}-{_VARIANT[rest[3]]}{rest[4:7]}-{rest[7:19]}"


def derived_digest(*parts: str) -> bytes:
    """Name by 16 bytes what several texts name together, the same in every process."""
    digest = hashlib.blake2b(digest_size=16, person=b"sunbird-posthog")
    for part in parts:
        data = part.encode("utf-8", "replace")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()


def own_session(sid: str, at: int) -> str | None:
    """A Sunbird session's own id, if it is a UUIDv7 whose time fits an event `at` (ms)."""
    if len(sid) != HYPHENATED or sid[14] != "7" or (found := _parsed(sid)) is None:
        return None
    text, began = found
    return text if began <= at < began + DAY else None


@lru_cache(maxsize=8_192)
def _parsed(sid: str) -> tuple[str, int] | None:
    try:
        uuid = UUID(sid)
    except ValueError:
        return None
    return (str(uuid), uuid.int >> 80) if uuid.version == 7 else None  # noqa: PLR2004


def derived_session(sid: str, salt: str, window: int) -> str:
    """The session of a Sunbird session, which is not blank, in the day that begins at `window` (ms).

    It stays the same while `sid` and, should that be short, `salt` do.
    """
    named = sid if len(sid) >= OPAQUE else f"{sid}\x1f{salt}"  # a short sid may be a mere counter
    began = max(window, 0)
    return uuid7(began, hashlib.sha256(f"{began}\x1f{named}".encode("utf-8", "replace")).digest()[:10])
