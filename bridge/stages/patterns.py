"""What personal data looks like inside a text: addresses, numbers, and what operators add. Pure.

None of these backtracks over more than a few characters, so masking takes time in proportion to the text.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["BUILT_IN", "Masker", "absent", "masker", "truncate_addresses"]

Masker = Callable[[str], str]
"""A text with what was looked for replaced; the very same text if there is none of it."""

# A search is fast where a pattern begins with a character set, so what must stand before is said behind it.
_V4 = r"[0-9](?<!\w[0-9])(?<!\w\.[0-9])[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?!\w|\.[0-9])"
_AADHAAR = r"[2-9](?<!\w[2-9])\d{3}(?:\d{8}|[ ]\d{4}[ ]\d{4}|-\d{4}-\d{4})(?!\w)"
# Indian mobile numbers as people group them, and any number with a plus and a country code.
_REST = r"(?:\d{9}|\d{4}[ .-]\d{5}|\d{2}[ .-]\d{3}[ .-]\d{4}|\d{3}[ .-]\d{3}[ .-]\d{3})"
_PHONE = (
    r"[+06-9](?<!\w[+06-9])(?<!\d\.[+06-9])"
    rf"(?:(?<=[6-9]){_REST}|(?<=0)[6-9]{_REST}|(?<=9)1[ .-]?[6-9]{_REST}"
    rf"|(?<=\+)(?:91[ .-]?[6-9]{_REST}|[1-9](?:[ .()-]{{0,2}}\d){{6,14}}))(?!\w)"
)
# Nearly anything, vowel signs of Indic scripts too, but what lists and URLs put around an address.
_LOCAL = r"[^\s<>()\[\]\",:;@\\/?=&%]"
_HOST = r"[^\s<>()\[\]\",:;@\\/?=&%.'!#*|{}]"
_EMAIL = rf"(?<!{_LOCAL}){_LOCAL}++(?:@|%40){_HOST}++(?:\.{_HOST}++)+"
_V6 = (
    r"(?<!\w)(?=[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:)"
    r"(?:[0-9A-Fa-f:]{2,30}:(?:[0-9]{1,3}\.){3}[0-9]{1,3}|[0-9A-Fa-f:]{2,39})(?!\w)"
)


class Pattern(NamedTuple):
    """What to look for, and a `hint` without which it is not there, which is found much faster."""

    exact: re.Pattern[str]
    hint: re.Pattern[str]


BUILT_IN: dict[str, Pattern] = {
    "email": Pattern(re.compile(_EMAIL), re.compile("[@%]")),
    "ipv6": Pattern(re.compile(_V6), re.compile(":[0-9A-Fa-f]{0,4}:")),
    "ipv4": Pattern(re.compile(_V4), re.compile(_V4)),
    "aadhaar": Pattern(re.compile(_AADHAAR), re.compile(_AADHAAR)),
    "phone": Pattern(re.compile(_PHONE), re.compile(_PHONE)),
}
"""In the order they are looked for: an address may hold what looks like a number."""


def absent(names: tuple[str, ...], text: str) -> bool:
    """Whether none of these built-in patterns is in the text."""
    wanted = [BUILT_IN[name] for name in names]
    return not any(each.hint.search(text) and each.exact.search(text) for each in wanted)


def masker(names: tuple[str, ...], custom: tuple[str, ...] = ()) -> Masker:
    """Replaces what the built-in patterns find by `[email]` and so on, and what others find by `[masked]`."""
    steps = [_built_in(name) for name in BUILT_IN if name in names]
    steps += [_custom(re.compile(pattern)) for pattern in custom]
    return _all(steps)


def truncate_addresses(text: str) -> str:
    """The text with each IPv4 address cut to its /24 and each IPv6 address to its /48."""
    shorter = BUILT_IN["ipv6"].exact.sub(lambda found: _address(found[0], _cut), text)
    return BUILT_IN["ipv4"].exact.sub(lambda found: f"{found[0].rpartition('.')[0]}.0", shorter)


def _built_in(name: str) -> Masker:
    pattern, label = BUILT_IN[name].exact, f"[{name}]"
    if name == "ipv6":
        return lambda text: pattern.sub(lambda found: _address(found[0], lambda _: label), text)
    return lambda text: pattern.sub(label, text)


def _custom(pattern: re.Pattern[str]) -> Masker:
    return lambda text: pattern.sub(lambda found: "[masked]" if found[0] else "", text)


def _all(steps: list[Masker]) -> Masker:
    def mask(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    return mask


def _address(text: str, replaced: Callable[[ipaddress.IPv6Address], str]) -> str:
    """What takes the place of an address; a time or a hardware address stays, as does a colon around it."""
    for begin, end in ((0, 0), (0, 1), (1, 0), (1, 1)):
        inner = text[begin : len(text) - end]
        if text[:begin].strip(":") or text[len(text) - end :].strip(":"):
            continue
        try:
            address = ipaddress.IPv6Address(inner)
        except ValueError:
            continue
        return f"{text[:begin]}{replaced(address)}{text[len(text) - end :]}"
    return text


def _cut(address: ipaddress.IPv6Address) -> str:
    if address.ipv4_mapped:
        return f"::ffff:{str(address.ipv4_mapped).rpartition('.')[0]}.0"
    return str(ipaddress.IPv6Network((address, 48), strict=False).network_address)
