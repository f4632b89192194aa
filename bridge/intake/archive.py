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
from bridge.intake.archive_content import KEPT, Budget, Content, Nature, Part, examine
from bridge.intake.archive_manifest import MOST_BYTES, Item, read_manifest, shortfalls
from bridge.intake.opening import DAMAGE, expanded, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bridge.intake.files import FileReport

__all__ = ["parts"]

BLOCK = 64 * 1024
MOST_CONTENTS = 2 * 1024 * 1024  # bytes of the table of contents: about 25,000 entries named as the app does
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
        self._announced: list[Item] = []
        self._others: list[str] = []

    def parts(self) -> Iterator[Part]:
        entries = [entry for entry in self._archive.infolist() if not entry.is_dir()]
        self._report.parts = len(entries)
        for entry in entries:
            self._report.part += 1
            content = self._examined(entry)
            if content is not None and content.nature is Nature.TELEMETRY:
                part = Part(content.blocks)
                yield part
                self._events[entry.filename] = part.events
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
        expected = {item.file for item in self._announced if item.type != "telemetry"}
        others = [name for name in self._others if name not in expected]
        if not self._report.faulty and not any(self._events.values()) and not self._announced:
            ...
        for name in others:
            self._report.fault(name, "not telemetry")
        for name, reason in shortfalls(self._announced, self._events):
            self._report.fault(name, reason)


