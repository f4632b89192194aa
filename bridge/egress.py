"""Which addresses a sink may connect to: public ones, and private ones that were declared.

Judged after name resolution and for every new connection, so no spelling of a host name
(octal, decimal, mapped, rebound) leads anywhere an address itself would not.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

__all__ = ["AddressPolicy", "Network"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

WEB_PORTS = frozenset({80, 443, 8443})

# `is_global` of Python 3.11 calls all of these public, though each leads to, or through,
# something private: relays and translators embed any IPv4 address in the lower bits.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # protocol assignments, Teredo among them
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Public addresses, `allow` networks besides, and only `ports`.

    A declared network is taken at its word: it also opens addresses that are never public,
    such as loopback. `::ffff:10.0.0.1` counts as `10.0.0.1`.
    """

    allow: tuple[Network, ...] = ()
    ports: frozenset[int] = WEB_PORTS

    def refusal(self, address: str, port: int) -> str | None:
        """Why there must be no connection to this numeric address and port; None if it is fine."""
        if port not in self.ports:
            return f"port {port} is not among the permitted ports"
        try:
            place = canonical(address)
        except ValueError:
            return f"{address!r} is not an address"
        if is_public(place) or any(place in network for network in self.allow):
            return None
        return f"{place} is not a public address and in no permitted network"


def canonical(address: str) -> Address:
    """Read a numeric address; an IPv4 address mapped into IPv6 becomes the former. `ValueError`."""
    place = ipaddress.ip_address(address)
    mapped = place.ipv4_mapped if isinstance(place, ipaddress.IPv6Address) else None
    return mapped or place


def is_public(place: Address) -> bool:
    """Say whether an address can only belong to a host on the public Internet."""
    if isinstance(place, ipaddress.IPv6Address) and place not in _GLOBAL_UNICAST:
        return False
    return place.is_global and not place.is_multicast and not any(place in network for network in _NOT_PUBLIC)
