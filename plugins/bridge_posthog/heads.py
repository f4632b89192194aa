"""PostHog events put together, and their beginning: uuid and time, written for all at once. Pure.

Every head has the same length, so a digit stands in the same place of each: what would be a loop
over events is a loop over some forty places.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import compress, repeat
from operator import contains, floordiv, mod
from struct import Struct
from typing import TYPE_CHECKING, Final

from bridge_posthog.ids import HYPHENATED, VARIANTS
from bridge_posthog.moments import MINUTE, minute_of
from bridge_posthog.tokens import BACKSLASH

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["UUID", "heads", "joined"]

_OPENED: Final = b'{"uuid":"'
UUID: Final = slice(len(_OPENED), len(_OPENED) + HYPHENATED)
_HEAD: Final = _OPENED + b'........-....-8...-=...-............","timestamp":"%bSs.MmlZ'
_HEX: Final = 32
_VERSION: Final = 12  # the digit of 32 that the version takes the place of, and the variant's
_VARIANT: Final = 16


@lru_cache(maxsize=16_384)
def _blank(minutes: int) -> bytes:
    """A head in a minute since the epoch, of which nothing else is known."""
    return _HEAD % minute_of(minutes)


_WIDTH: Final = len(_blank(0))
_POINTS: Final = (place for place, letter in enumerate(_blank(0)) if letter == ord("."))
_DIGITS: Final = tuple(zip((n for n in range(_HEX) if n not in {_VERSION, _VARIANT}), _POINTS, strict=False))
_VARIANT_PLACE: Final = _HEAD.index(b"=")
_LATER: Final = tuple(_WIDTH - back for back in (7, 6, 4, 3, 2))  # seconds and milliseconds: `Ss.MmlZ`
_each = Struct(f"{_WIDTH}s").iter_unpack


def heads(digests: Sequence[bytes], times: Sequence[int]) -> list[bytes]:
    """The head of each event, from 16 bytes and a time (ms): a UUID of version 8, RFC 3339 in UTC.

    `{"uuid":"…","timestamp":"2026-01-05T09:30:00.000Z`
    """
    text = bytearray(b"".join(map(_blank, map(floordiv, times, repeat(MINUTE)))))
    digits = b"".join(digests).hex().encode()
    for digit, place in _DIGITS:
        text[place::_WIDTH] = digits[digit::_HEX]
    text[_VARIANT_PLACE::_WIDTH] = digits[_VARIANT::_HEX].translate(VARIANTS)
    rests = (b"%05d" * len(times)) % tuple(map(mod, times, repeat(MINUTE)))
    for digit, place in enumerate(_LATER):
        text[place::_WIDTH] = rests[digit :: len(_LATER)]
    return [head for (head,) in _each(text)]


def joined(
    digests: Sequence[bytes], times: Sequence[int], columns: Sequence[list[bytes] | bytes]
) -> tuple[list[bytes], list[int]]:
    """Events put together: a head, and behind it a piece of each column, which may be the same in all.

    The indices are of those with a backslash in them.
    """
    count = len(times)
    each = [repeat(column, count) if isinstance(column, bytes) else column for column in columns]
    payloads = list(map(b"".join, zip(heads(digests, times), *each, strict=True)))
    return payloads, list(compress(range(count), map(contains, payloads, repeat(BACKSLASH))))
