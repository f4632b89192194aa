"""Share Telemetry archives of the mobile app: zip files with a manifest and one entry for each batch.

    zip entry ─► gzip, gzip as UTF-8, zstd or plain ─► read to its end once ─► telemetry? ─► a part

An entry is imported whole or not at all. Any zip file with telemetry in it is taken, with a
manifest or without. Nothing is ever unpacked to disk, so names do no harm; they are text.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from typing import TYPE_CHECKING

from bridge.errors import BridgeError
from bridge.intake.archive_content import Budget, Content, Nature, Part, examine
from bridge.intake.archive_manifest import MOST_BYTES, TELEMETRY, Item, read_manifest, shortfalls
from bridge.intake.opening import DAMAGE, expanded, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bridge.intake.files import FileReport

__all__ = ["parts"]

BLOCK = 64 * 1024
MOST_CONTENTS = 2 * 1024 * 1024  # bytes of the table of contents: about 25,000 entries named as the app does
END, END_SIZE, COUNT_AT = b"PK\x05\x06", 22, 10  # the record at the end, and its number of entries
MOST_COMMENT, UNCOUNTED = 0xFFFF, 0xFFFF
ENCRYPTED = 0x1
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ZIP_DAMAGE = (*DAMAGE, zipfile.BadZipFile, NotImplementedError, RuntimeError, struct.error)
LEADS_OUT = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:")


class _Modest(io.BufferedReader):
    """A file that refuses to be read in one go, as `zipfile` does with the table of contents."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MOST_CONTENTS:
            raise BridgeError("too many entries; unpack it and import the folder")
        return super().read(size)


class _Archive:
    """One archive while it is read."""

    def __init__(self, archive: zipfile.ZipFile, report: FileReport) -> None:
        self._archive = archive
        self._report = report
        self._budget = Budget()
        self._events: dict[str, int | None] = {}
        self._taken = 0
        self._announced: list[Item] = []
        self._others: list[str] = []

    def parts(self) -> Iterator[Part]:
        entries = [entry for entry in self._archive.infolist() if entry.file_size or not entry.is_dir()]
        self._report.parts = len(entries)
        for entry in entries:
            self._report.part += 1
            content = self._examined(entry)
            if content is not None and content.nature is Nature.TELEMETRY:
                part = Part(content.blocks)
                yield part
                self._events[entry.filename] = part.events
                self._taken += 1
            self._report.position += entry.compress_size
        self._conclude()

    def _examined(self, entry: zipfile.ZipInfo) -> Content | None:
        """The entry if it is in order, or else a complaint."""
        self._events[entry.filename] = None
        try:
            _require_readable(entry)
            content = examine(lambda: self._blocks(entry), entry.compress_size, self._budget)
            if content.nature is Nature.MANIFEST:
                self._announced += _announced(content, entry.filename)
        except BridgeError as error:
            self._report.fault(entry.filename, str(error))
            return None
        if content.nature is Nature.OTHER:
            self._others.append(entry.filename)
        return content

    def _blocks(self, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        try:
            with self._archive.open(entry) as file:
                yield from expanded(lambda: file.read(BLOCK))
        except ZIP_DAMAGE as error:
            raise BridgeError(f"damaged or cut off ({reason_of(error)})") from None

    def _conclude(self) -> None:
        """Tell what is missing, and what was left out because it is something else."""
        report = self._report
        report.position = report.total or report.position
        if not (self._taken or report.faulty or self._announced):
            raise BridgeError(self._nothing())
        named = {item.file: item.type for item in self._announced}
        for name in self._others:
            if named.get(name, TELEMETRY) == TELEMETRY:
                report.fault(name, "not telemetry")
        for name, reason in shortfalls(self._announced, self._events):
            report.fault(name, reason)

    def _nothing(self) -> str:
        if not self._others:
            return "a zip archive with nothing in it"
        return f"a zip archive without telemetry (its first entry is {self._others[0]})"


def parts(path: Path, report: FileReport) -> Iterator[Part]:
    """Every entry with telemetry in it, once all of it was read; faults are told to `report`.

    `BridgeError` if the archive itself cannot be used.
    """
    with _Modest(io.FileIO(path)) as file, _opened(file) as archive:
        if sum(entry.compress_size for entry in archive.infolist()) > path.stat().st_size:
            raise BridgeError("its entries overlap, as those of zip bombs do")
        found, promised = len(archive.infolist()), _promised(file)
        if promised not in {found, UNCOUNTED}:
            report.fail(f"damaged: its table of contents has {found:,} of {promised:,} entries")
        yield from _Archive(archive, report).parts()


def _opened(file: _Modest) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except ZIP_DAMAGE as error:
        reason = reason_of(error).replace("File is not a zip file", "its end is missing")
        raise BridgeError(f"a zip archive that is damaged or cut off ({reason})") from None


def _promised(file: _Modest) -> int:
    """How many entries there should be, which `zipfile` does not look at."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - END_SIZE - MOST_COMMENT))
    tail = file.read()
    at = tail.rfind(END) + COUNT_AT
    return int.from_bytes(tail[at : at + 2], "little")


def _require_readable(entry: zipfile.ZipInfo) -> None:
    if LEADS_OUT.search(entry.orig_filename):
        raise BridgeError("a name that leads out of the archive")
    if entry.flag_bits & ENCRYPTED:
        raise BridgeError("encrypted; have it packed without a password")
    if entry.compress_type not in METHODS:
        raise BridgeError("packed by a method that is not read here; have it packed by deflate")


def _announced(content: Content, name: str) -> list[Item]:
    if content.size > MOST_BYTES:
        raise BridgeError("a manifest too long to be one")
    return read_manifest(b"".join(content.blocks()), name)
