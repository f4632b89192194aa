"""Folders of files: those on the command line, and the drop folder that a running bridge looks into.

    inbox/file ─► size and time at rest ─► import ─┬─► inbox/done/file
                                                   └─► inbox/failed/file, with file.txt that says why

Nothing is remembered here: a file that is still in the folder after a crash is imported again,
and the ledger sees to it that nothing of it is there twice.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bridge.errors import BridgeError
from bridge.intake.files import FileImport, FileReport, require_writable
from bridge.intake.ledger import Ledger
from bridge.intake.status import IntakeStatus
from bridge.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bridge.configuration.intake_folder import FolderIntakeSettings
    from bridge.journals.base import Journal, JournalFullError
    from bridge.validation import Decoder

__all__ = ["FolderIntake", "FolderTally", "reports_of"]

log = logging.getLogger(__name__)

DONE, FAILED = "done", "failed"
UNFINISHED = (".part", ".partial", ".filepart", ".crdownload", ".download", ".tmp")
AFTER_TROUBLE = 30.0


class _Look(NamedTuple):
    """What tells whether a file is still being written."""

    inode: int
    size: int
    changed: int


@dataclass(slots=True)
class FolderTally:
    """What the drop folder gave since the start."""

    done: int = 0
    failed: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0


class FolderIntake:
    """Imports what is put into a folder, in a thread of its own. `start` once, `stop`, then `join`."""

    def __init__(
        self,
        settings: FolderIntakeSettings,
        journal: Journal,
        decoder: Decoder,
        max_event_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`BridgeError` if the journal takes no events or the folder cannot be used."""
        require_writable(journal)
        self.tally = FolderTally()
        self.trouble = ""
        self._folder = Path(settings.path)
        self._settings = settings
        self._clock = clock
        self._stopping = threading.Event()
        self._import = FileImport(
            journal,
            decoder,
            max_event_bytes,
            self._wait,
            self._stopping.is_set,
            ledger=Ledger(journal.context.state),
        )
        self._seen: dict[Path, tuple[_Look, float]] = {}
        self._left: dict[Path, _Look] = {}
        self._told: set[Path] = set()
        self._thread = threading.Thread(target=self._run, name="folder", daemon=True)
        self._prepare()

    def status(self) -> IntakeStatus:
        """What it did so far and how it is, for people and metrics."""
        tally = self.tally
        return IntakeStatus(
            "folder",
            str(self._folder),
            self.trouble,
            ended=self._stopping.is_set(),
            events={
                "accepted": tally.accepted,
                "duplicate": tally.duplicate,
                "rejected": tally.rejected,
            },
            files={"done": tally.done, "failed": tally.failed},
        )

    def start(self) -> None:
        """Begin to look into the folder."""
        self._thread.start()

    def stop(self, within: float = 0.0) -> None:  # noqa: ARG002 - as an HTTP intake
        """End at the next opportunity; a file that is under way stays in the folder."""
        self._stopping.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end; False if it did not come within `timeout` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def look(self) -> None:
        """Import what has come to rest; `BridgeError` if the journal cannot take it now."""
        now = self._clock()
        looks = dict(self._files())
        self._seen = {path: self._since(path, look, now) for path, look in looks.items()}
        self._left = {path: look for path, look in self._left.items() if looks.get(path) == look}
        for path, (look, since) in sorted(self._seen.items()):
            if self._stopping.is_set():
                return
            if now - since >= self._settings.settle and path not in self._left:
                self._take(path, look)

    def _prepare(self) -> None:
        try:
            for folder in (self._folder, self._folder / DONE, self._folder / FAILED):
                folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self._folder, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(0, "no permission")
        except OSError as error:
            raise BridgeError(
                f"intake.folder.path: {self._folder} cannot be used ({error.strerror})"
            ) from None

    def _run(self) -> None:
        pause = self._settings.every
        while not self._stopping.wait(pause):
            pause = self._settings.every
            try:
                self.look()
            except (BridgeError, OSError) as error:
                pause = max(pause, AFTER_TROUBLE)
                self._tell(str(error))
            else:
                self.trouble = ""

    def _files(self) -> Iterator[tuple[Path, _Look]]:
        """Regular files, never what a link leads to: who may write here may not be allowed to read there."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.endswith(UNFINISHED):
                    continue
                path = self._folder / entry.name
                if (look := _look(path)) is not None:
                    yield path, look
                elif entry.name not in {DONE, FAILED} and path not in self._told:
                    self._told.add(path)
                    log.warning("%s is no file; put files into the folder itself", printable(str(path)))

    def _since(self, path: Path, look: _Look, now: float) -> tuple[_Look, float]:
        before = self._seen.get(path)
        return before if before is not None and before[0] == look else (look, now)

    def _take(self, path: Path, look: _Look) -> None:
        report = FileReport(str(path), found=True)
        try:
            self._import.run(report)
        except Exception as error:
            if isinstance(error, BridgeError):  # the journal's trouble, not the file's
                raise
            log.exception("%s broke the import, which is a bug; the file stays where it is", path)
            self._left[path] = look
            return
        if self._stopping.is_set() and report.problem:
            return
        if _look(path) == look:
            self._put_away(path, look, report)

    def _put_away(self, path: Path, look: _Look, report: FileReport) -> None:
        failed = bool(report.problem)
        try:
            target = _free(self._folder / (FAILED if failed else DONE) / path.name)
            if failed:
                target.with_name(f"{target.name}.txt").write_text(_account(report), encoding="utf-8")
            path.rename(target)
        except OSError as error:
            self._left[path] = look
            log.error("%s was imported, but cannot be put away (%s)", path, error.strerror)  # noqa: TRY400 - all is said
        self._count(report, failed=failed)
        facts = {
            "accepted": report.accepted,
            "duplicate": report.duplicate,
            "rejected": report.rejected.total(),
        }
        outcome = f"failed: {report.problem}" if failed else "imported"
        level = logging.WARNING if failed else logging.INFO
        log.log(level, "%s %s", printable(str(path)), printable(outcome), extra=facts)

    def _count(self, report: FileReport, *, failed: bool) -> None:
        self.tally.failed += failed
        self.tally.done += not failed
        self.tally.accepted += report.accepted
        self.tally.duplicate += report.duplicate
        self.tally.rejected += report.rejected.total()

    def _wait(self, error: JournalFullError) -> bool:
        self._tell(str(error))
        return not self._stopping.wait(error.after)

    def _tell(self, trouble: str) -> None:
        if trouble != self.trouble:
            log.warning("the drop folder waits: %s", trouble)
        self.trouble = trouble


def reports_of(names: Sequence[str]) -> list[FileReport]:
    """A report for each file that is named, and for each one below a folder that is named."""
    return [report for name in names for report in _named(name)]


def _named(name: str) -> list[FileReport]:
    if not Path(name).is_dir():
        return [FileReport(name)]
    found = sorted(_below(name))
    return [FileReport(path, found=True) for path in found] or [
        FileReport(name, failure="there is no file in this folder", done=True)
    ]


def _below(folder: str) -> Iterator[str]:
    """Every file in a folder and the folders in it, but for hidden ones."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(place, name)
            if not name.startswith(".") and path.is_file():
                yield str(path)


def _look(path: Path) -> _Look | None:
    """How a file looks now; None if it is gone, or no regular file."""
    try:
        found = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return _Look(found.st_ino, found.st_size, found.st_mtime_ns)


def _free(target: Path) -> Path:
    """A name that is not taken: `file.zip`, else `file-2.zip` and so on."""
    number = 1
    place = target
    while place.exists() or place.with_name(f"{place.name}.txt").exists():
        number += 1
        place = target.with_stem(f"{target.stem}-{number}")
    return place


def _account(report: FileReport) -> str:
    """What became of a file with faults, for whoever finds it in failed/."""
    counts = f"{report.accepted:,} events imported now, {report.duplicate:,} before"
    lines = [
        f"{Path(report.name).name}: {report.problem}",
        *(f"  {line}" for line in report.details()),
        f"{counts}, {report.rejected.total():,} rejected.",
        "Put a better copy into the folder above, or this file once it is mended.",
        "Nothing is imported twice.",
    ]
    return "".join(f"{printable(line)}\n" for line in lines)
