"""The beginning of PostHog events: uuid and time, written for a whole column of events at once. Pure.

Every head has the same length, so a digit stands in the same place of each: what would be a loop
over events is a loop over some forty places.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from bridge_posthog.ids import HYPHENATED, VARIANTS
from bridge_posthog.moments import MINUTE, minute_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["UUID", "heads"]

_OPENED: Final = b'{"uuid":"'
UUID: Final = slice(len(_OPENED), len(_OPENED) + HYPHENATED)
_HEAD: Final = _OPENED + b'........-....-8...-=...-............","timestamp":"%bSs.MmlZ'
_HEX: Final = 32
_VERSION: Final = 12  # the digit of 32 that the version takes the place of, and the variant's
_VARIANT: Final = 16
_TENS: Final = bytes(number // 10 % 10 + ord("0") for number in range(256))
_ONES: Final = bytes(number % 10 + ord("0") for number in range(256))


@lru_cache(maxsize=16_384)
def _blank(minutes: int) -> bytes:
    """A head in a minute since the epoch, of which nothing else is known."""
    return _HEAD % minute_of(minutes)


_WIDTH: Final = len(_blank(0))
_POINTS: Final = (place for place, letter in enumerate(_blank(0)) if letter == ord("."))
_DIGITS: Final = tuple(zip((n for n in range(_HEX) if n not in {_VERSION, _VARIANT}), _POINTS, strict=False))
_VARIANT_PLACE: Final = _HEAD.index(b"=")
_SECOND, _MILLISECOND = _WIDTH - len("Ss.MmlZ"), _WIDTH - len("MmlZ")


def heads(digests: Sequence[bytes], times: Sequence[int]) -> list[bytes]:
    """The head of each event, from 16 bytes and a time (ms): a UUID of version 8, RFC 3339 in UTC.

    `{"uuid":"…","timestamp":"2026-01-05T09:30:00.000Z`
    """
    blanks, rests = _minutes(times)
    text = bytearray(b"".join(blanks))
    digits = b"".join(digests).hex().encode()
    for digit, place in _DIGITS:
        text[place::_WIDTH] = digits[digit::_HEX]
    text[_VARIANT_PLACE::_WIDTH] = digits[_VARIANT::_HEX].translate(VARIANTS)
    seconds, hundredths = bytes([rest // 1000 for rest in rests]), bytes([rest // 10 % 100 for rest in rests])
    text[_SECOND::_WIDTH] = seconds.translate(_TENS)
    text[_SECOND + 1 :: _WIDTH] = seconds.translate(_ONES)
    text[_MILLISECOND::_WIDTH] = hundredths.translate(_TENS)
    text[_MILLISECOND + 1 :: _WIDTH] = hundredths.translate(_ONES)
    text[_MILLISECOND + 2 :: _WIDTH] = bytes([rest % 10 for rest in rests]).translate(_ONES)
    whole = bytes(text)
    return [whole[start : start + _WIDTH] for start in range(0, len(whole), _WIDTH)]


def _minutes(times: Sequence[int]) -> tuple[list[bytes], list[int]]:
    """A blank head for the minute of each time, and the milliseconds since it began."""
    blanks: list[bytes] = []
    rests: list[int] = []
    began, blank = -MINUTE, b""
    for time in times:
        rest = time - began
        if not 0 <= rest < MINUTE:  # neighbours mostly share it
            rest = time % MINUTE
            began = time - rest
            blank = _blank(began // MINUTE)
        blanks.append(blank)
        rests.append(rest)
    return blanks, rests
