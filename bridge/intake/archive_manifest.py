"""The manifest of a Share Telemetry archive: which entries there should be, with how many events. Pure."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

import msgspec

from bridge.errors import BridgeError
from bridge.jsontext import REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["MOST_BYTES", "TELEMETRY", "Item", "read_manifest", "shortfalls"]

MOST_BYTES = 16 * 1024 * 1024
TELEMETRY = "telemetry"


class Item(msgspec.Struct, gc=False):
    """One entry as the manifest announces it."""

    file: str
    count: Any = msgspec.field(default=None, name="eventsCount")
    type: Any = msgspec.field(default=TELEMETRY, name="objectType")


class _Archive(msgspec.Struct, frozen=True, gc=False):
    items: list[Item] = []


class _Manifest(msgspec.Struct, gc=False):
    archive: _Archive = _Archive()


_decode = msgspec.json.Decoder(_Manifest).decode


def read_manifest(text: bytes, name: str) -> list[Item]:
    """The announced entries, with their names as the archive has them; `name` is the manifest's own."""
    try:
        items = _decode(text).archive.items
    except REFUSED as error:
        raise BridgeError(f"the manifest cannot be read ({error})") from None
    folder = posixpath.dirname(name)
    for item in items:
        item.file = posixpath.join(folder, item.file)
    return items


def shortfalls(items: list[Item], events: Mapping[str, int | None]) -> Iterator[tuple[str, str]]:
    """Entries that are missing or hold less than announced, as (name, reason).

    `events` says of each entry that is there how many events were in it; None: it has been
    complained of already.
    """
    for item in items:
        if item.type != TELEMETRY:
            continue
        if item.file not in events:
            yield item.file, "missing, though the manifest lists it"
            continue
        found = events[item.file]
        if found is not None and isinstance(item.count, int) and found < item.count:
            yield item.file, f"only {found:,} of the {item.count:,} events that the manifest promises"
