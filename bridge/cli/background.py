"""An import in a thread of its own, so that it can be watched, stopped, and run beside pipelines."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.cli.output import counted, say, table
from bridge.errors import BridgeError
from bridge.intake.files import FileImport
from bridge.intake.folder import reports_of
from bridge.intake.ledger import Ledger
from bridge.intake.status import IntakeStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.cli.host import Host
    from bridge.intake.files import FileReport
    from bridge.journals.base import Journal, JournalFullError

__all__ = ["BackgroundImport", "report_files"]

log = logging.getLogger(__name__)

LONGEST_WAIT = 1.0


class BackgroundImport(threading.Thread):
    """Imports files one after the other; every attribute may be read meanwhile.

    `total` is the bytes there are to read (None: unknown), `error` what kept the journal from
    taking events.
    """

    def __init__(
        self, host: Host, journal: Journal, names: Sequence[str], *, patient: bool, again: bool = False
    ) -> None:
        """`patient` waits while the journal is full, for pipelines beside us to make room.

        `again` imports what was imported before, too.
        """
        super().__init__(name="import", daemon=True)
        self.reports = reports_of(names)
        self._names = tuple(names)
        self.total = _bytes([report.name for report in self.reports])
        self.error: BridgeError | None = None
        self.done = False
        self._journal = journal
        self._patient = patient
        self._waiting = ""
        self._stuck_at = -1
        self._stopping = threading.Event()
        self._import = FileImport(
            journal,
            host.decoder(),
            host.settings.validation.max_event_bytes,
            self._wait_or_give_up,
            self._stopping.is_set,
            ledger=Ledger(journal.context.state),
            again=again,
        )

    def run(self) -> None:
        """Import every file."""
        try:
            for report in self.reports:
                if not self._stopping.is_set() and not report.done:
                    self._import.run(report)
        except BridgeError as error:
            self.error = error
        except BaseException as error:
            self.error = BridgeError(f"the import broke with {type(error).__name__}, which is a bug")
            raise
        finally:
            self.done = True

    def stop(self) -> None:
        """End at the next opportunity; what is in the journal stays there."""
        self._stopping.set()

    @property
    def events(self) -> int:
        """Events put into the journal so far."""
        return sum(report.events for report in self.reports)

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return sum(report.position for report in self.reports)

    @property
    def waits(self) -> str:
        """What it waits for, "" while it gets on."""
        return "" if self.done or self._stopping.is_set() or self.events != self._stuck_at else self._waiting

    def status(self) -> IntakeStatus:
        """The same for the metrics and the status page."""
        rejected = sum(report.rejected.total() for report in self.reports)
        done = [report for report in self.reports if report.done]
        failed = sum(bool(report.problem) for report in done)
        return IntakeStatus(
            "import",
            self._names[0]
            if len(self._names) == 1
            else f"{self._names[0]} and {len(self._names) - 1:,} more",
            str(self.error) if self.error else self.waits,
            ended=self.done,
            events={
                "accepted": self.events - rejected,
                "duplicate": sum(report.duplicate for report in self.reports),
                "rejected": rejected,
            },
            files={"done": len(done) - failed, "failed": failed},
        )

    def problem(self) -> str:
        """Why not everything was imported, "" if it was."""
        if self.error:
            return str(self.error)
        return next(
            (f"{r.name}: {r.problem or 'not begun'}" for r in self.reports if r.problem or not r.done), ""
        )

    def note(self) -> str:
        """How far it is, in one line."""
        rejected = sum(report.rejected.total() for report in self.reports)
        duplicate = sum(report.duplicate for report in self.reports)
        parts = [counted(self.events, "event"), f"{rejected:,} rejected"]
        parts += [f"{duplicate:,} duplicate"] if duplicate else []
        parts += [f"{100 * self.position / self.total:.0f} %"] if self.total else []
        parts += [f"entry {r.part:,} of {r.parts:,}" for r in self.reports if r.parts and not r.done][:1]
        parts[-1] += f"; waits: {self.waits}" if self.waits else ""
        return f"import: {', '.join(parts)}"

    def _wait_or_give_up(self, error: JournalFullError) -> bool:
        if not self._patient:
            if self._journal.trim():
                return True
            raise BridgeError(f"{error}; `bridge run --import` delivers while it imports") from None
        if not self._waiting:
            log.warning("the import waits: %s", error)
        self._waiting, self._stuck_at = str(error), self.events
        return not self._stopping.wait(min(error.after, LONGEST_WAIT))


def report_files(reports: Sequence[FileReport]) -> None:
    """Print what became of each file, refused events by code and entries of archives by name."""
    copies = any(report.duplicate for report in reports)
    extra = ("duplicate",) if copies else ()
    rows = [
        (
            report.name,
            report.accepted,
            *((report.duplicate,) if copies else ()),
            report.rejected.total(),
            report.problem or report.remark,
        )
        for report in reports
    ]
    table(("file", "accepted", *extra, "rejected", ""), rows)
    for report in reports:
        for line in report.details():
            say(f"{report.name}: {line}")


def _bytes(names: Sequence[str]) -> int | None:
    files = [Path(name) for name in names]
    return sum(file.stat().st_size for file in files) if all(map(Path.is_file, files)) else None
