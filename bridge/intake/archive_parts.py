"""What a file holds: one run of telemetry, or an archive of many."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from bridge.errors import BridgeError
from bridge.intake import archive, gsa
from bridge.intake.archive_content import Nature, Part, foreign, nature_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.intake.files import FileReport
    from bridge.intake.opening import Input

__all__ = ["parts_of"]

MOST_PIPED = 1024**3


def parts_of(source: Input, report: FileReport) -> Iterator[Part]:
    """Every run of telemetry in `source`; what is wrong with the rest is told to `report`."""
    try:
        if source.kind == "zip":
            yield from archive.parts(source.place(MOST_PIPED), report)
        elif source.kind == "sqlite":
            yield from gsa.parts(source.place(MOST_PIPED), report)
        else:
            yield from _text(source, report)
    except BridgeError as error:
        report.fail(str(error))


def _text(source: Input, report: FileReport) -> Iterator[Part]:
    blocks = source.blocks()
    head = next(blocks, b"")
    reason = _unfit(head, report)
    if reason:
        raise BridgeError(f"{source}: {reason}")
    if not head:
        report.remark = "empty"
        return

    def moving() -> Iterator[bytes]:
        for block in chain([head], blocks):
            yield block
            report.position = source.position

    if nature_of(head) in {Nature.LITTER, Nature.MANIFEST}:
        report.remark = "nothing to import"
    else:
        yield Part(moving)


def _unfit(head: bytes, report: FileReport) -> str:
    """Why no line of a file is worth a look; one that was named may hold broken lines as well."""
    if reason := foreign(head):
        return reason
    nature = nature_of(head)
    if nature is Nature.MANIFEST and not report.found:
        return "the manifest of an archive, in which there are no events"
    if report.found and not head:
        return "empty"
    return "not telemetry" if report.found and nature is Nature.OTHER else ""
