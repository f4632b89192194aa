"""What an entry of an archive is, told by its bytes, and whether all of it can be read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from bridge.errors import BridgeError
from bridge.intake.opening import SQLITE, ZIP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["HEAD", "Budget", "Content", "Nature", "Part", "examine", "foreign", "nature_of"]

KIB, MIB, GIB = 1024, 1024**2, 1024**3
HEAD = 64 * KIB
KEPT = 4 * MIB
RATIO, RATIO_FREE = 200, 16 * MIB  # telemetry shrinks 8 to 30 times; a bomb 1,000 to 1,000,000 times
MOST_ENTRY, MOST_ARCHIVE = 1 * GIB, 4 * GIB

TELEMETRY = re.compile(rb'"eid"\s*:\s*"|"events"\s*:\s*\[')
MANIFEST = re.compile(rb'"id"\s*:\s*"sunbird\.data\.archive"')
LEFT_BY_MACS = (b"\x00\x05\x16\x07", b"\x00\x00\x00\x01Bud1")
TAR, TAR_AT = b"ustar", 257
PACKED = (
    *((magic, "a zip archive") for magic in ZIP),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (SQLITE, "an SQLite file"),
)
OTHERS = (
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\xff\xfe", "UTF-16 text; save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text; save it as UTF-8"),
)


class Nature(Enum):
    """What a run of bytes is."""

    TELEMETRY = auto()
    MANIFEST = auto()
    LITTER = auto()
    """What a file manager left there; of no interest."""
    OTHER = auto()


@dataclass(slots=True)
class Part:
    """One run of telemetry text.

    Whoever imports it sets `events`, how many there were, and `cut` if not all of it was read.
    """

    blocks: Callable[[], Iterator[bytes]]
    events: int = 0
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """An entry that was read to its end without a fault, and can be read once more."""

    nature: Nature
    head: bytes
    size: int
    blocks: Callable[[], Iterator[bytes]]


class Budget:
    """How many bytes an archive may still expand to."""

    def __init__(self, left: int = MOST_ARCHIVE) -> None:
        self._left = left

    def spend(self, size: int) -> None:
        """Take `size` bytes from it; `BridgeError` if that is too much."""
        self._left -= size
        if self._left < 0:
            raise BridgeError("the archive is too large; unpack it and import the folder")


def nature_of(head: bytes) -> Nature:
    """What begins with these bytes."""
    if MANIFEST.search(head):
        return Nature.MANIFEST
    if TELEMETRY.search(head):
        return Nature.TELEMETRY
    return Nature.LITTER if head.startswith(LEFT_BY_MACS) else Nature.OTHER


def foreign(head: bytes) -> str:
    """What these bytes are, if they are nothing that telemetry could come in; else "" ."""
    for magic, name in PACKED:
        if head.startswith(magic):
            return f"{name}; unpack it first"
    if head[TAR_AT:].startswith(TAR):
        return "a tar archive; unpack it first"
    for magic, name in OTHERS:
        if head.startswith(magic):
            return f"not telemetry but {name}"
    text = head.lstrip()
    if head.startswith(LEFT_BY_MACS):
        return ""
    return "not telemetry but binary data" if b"\0" in text and text[:1] not in (b"{", b"[") else ""


def examine(read: Callable[[], Iterator[bytes]], packed: int, budget: Budget) -> Content:
    """Read an entry of `packed` bytes to its end without keeping much of it.

    `BridgeError`: damaged, cut off, empty, too large, another archive.
    """
    kept: list[bytes] = []
    head = b""
    size = 0
    for block in read():
        size += len(block)
        budget.spend(len(block))
        _require_modest(size, packed)
        if len(head) < HEAD:
            head += block[: HEAD - len(head)]
            if unwanted := foreign(head):
                raise BridgeError(unwanted)
        if size <= KEPT:
            kept.append(block)
    if not size:
        raise BridgeError("empty")
    blocks = kept.__iter__ if size <= KEPT else read
    return Content(nature_of(head), head, size, blocks)


def _require_modest(size: int, packed: int) -> None:
    if size > RATIO_FREE and size > RATIO * packed:
        raise BridgeError(f"it expands more than {RATIO} times, as zip bombs do")
    if size > MOST_ENTRY:
        raise BridgeError(f"longer than {MOST_ENTRY} bytes; unpack it and import the folder")
