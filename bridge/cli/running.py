"""One run of the bridge: start everything, watch it, stop in order, say what became of the events."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from contextlib import ExitStack
from enum import Enum, auto
from typing import TYPE_CHECKING, NoReturn, Self

import click

from bridge.cli.background import BackgroundImport, report_files
from bridge.cli.intakes import Intakes
from bridge.cli.live import screen_for, summarise
from bridge.cli.output import counted, say
from bridge.deadletters import REJECTS, Filter
from bridge.engine.supervisor import Supervisor, open_journal
from bridge.intake.files import require_writable
from bridge.journals.cursors import all_cursors
from bridge.native import FOUND
from bridge.ops.server import OpsServer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from types import FrameType, TracebackType

    from bridge.cli.host import Host
    from bridge.cli.live import Screen
    from bridge.intake.status import IntakeStatus
    from bridge.state import State

__all__ = ["Run", "Signals", "orphans"]

log = logging.getLogger(__name__)

TICK = 0.1
QUIET = 1.5  # seconds without work after which an import counts as delivered
INTAKE_SHARE = 0.1  # of the grace period, for requests that have begun; the pipelines' own share comes after
SHOW_CURSOR = b"\x1b[?25h"
SECOND_SIGNAL = 130


class Outcome(Enum):
    """Why watching ended."""

    ENDED = auto()
    IMPORTED = auto()
    LATE = auto()
    BROKEN = auto()


class Signals:
    """SIGTERM and SIGINT: the first asks to stop, the second ends the process at once."""

    def __init__(self) -> None:
        self.received: float | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # it is what signal() returned

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as Python calls it
        if self.received is None:
            self.received = time.monotonic()
            return
        if sys.stdout.isatty():
            os.write(sys.stdout.fileno(), SHOW_CURSOR)
        os._exit(SECOND_SIGNAL)  # nothing is lost: what was not acknowledged is read again


class Run:
    """Everything that lives as long as one `bridge run`."""

    def __init__(
        self, host: Host, state: State, *, only: Collection[str], until_idle: bool, imports: Sequence[str]
    ) -> None:
        self._settings = host.settings
        self._state = state
        self._until_idle = until_idle
        if imports:
            require_writable(open_journal(host.settings, host.registry, state))
        self._supervisor = Supervisor(
            host.settings,
            host.registry,
            state,
            host.plugins.notify,
            only=only or None,
            until_idle=until_idle and not imports,
        )
        self._import = (
            BackgroundImport(host, self._supervisor.journal, imports, patient=True) if imports else None
        )
        self._intakes = Intakes(host.settings, self._supervisor)
        self._started = time.monotonic()
        self._quiet_since: float | None = None
        self._stopped = self._told = self._complained = False
        self._url = ""

    def to_the_end(self) -> int:
        """Run until told to stop, or until idle; the exit code."""
        if FOUND.flawed:
            log.warning("events cost more than they need to: %s", FOUND.text)
        for pipeline in orphans(self._state, self._settings.sinks):
            log.warning(
                "%s is not configured any more and its cursor keeps the journal from being trimmed; "
                "`bridge cursors remove %s`", pipeline, pipeline,
            )  # fmt: skip
        with ExitStack() as stack, Signals() as signals:
            self._serve(stack)
            stack.callback(self._close_intakes)
            self._intakes.start()
            self._supervisor.start()
            stack.callback(self._supervisor.stop)
            if self._import:
                self._import.start()
            outcome = self._watch_and_tell(signals)
            if outcome is Outcome.BROKEN:
                click.echo(f"bridge: {self._state.broken}", err=True)
                _leave(1)
            self._url = ""  # it ends with us
            self._report()
            if outcome is Outcome.LATE:
                _leave(self._code(signals))
            self._supervisor.join()
            return self._code(signals)

    def _serve(self, stack: ExitStack) -> None:
        ops = self._settings.ops
        if ops.enabled:
            server = OpsServer(self._supervisor, ops.host, ops.port, self._statuses)
            server.start()
            stack.callback(server.close)
            self._url = server.url
            say(f"status page {self._url}")

    def _watch_and_tell(self, signals: Signals) -> Outcome:
        while True:
            with screen_for(self._settings.log) as screen:
                outcome = self._watch(screen, signals)
            if outcome is not Outcome.IMPORTED:
                return outcome
            self._report()
            say("everything imported is delivered; the bridge goes on until Ctrl-C")

    def _watch(self, screen: Screen, signals: Signals) -> Outcome:
        while self._supervisor.running():
            screen.show(self._supervisor.snapshots(), self._notes())
            if self._state.broken:
                return Outcome.BROKEN
            if signals.received is not None:
                if self._leaving(time.monotonic() - signals.received):
                    return Outcome.LATE
            elif self._import and self._import.done and self._imported():
                return Outcome.IMPORTED
            if self._import and self._import.error and not self._complained:
                self._complained = True
                log.error("the import has ended: %s", self._import.error)
            time.sleep(TICK)
        return Outcome.BROKEN if self._state.broken else Outcome.ENDED

    def _leaving(self, seconds: float) -> bool:
        """Stop what gives events, then what delivers them; whether the time for both is over."""
        grace = self._settings.shutdown.grace
        self._take_no_more()
        if self._intakes.join() or seconds > INTAKE_SHARE * grace:
            self._supervisor.stop()
        return seconds > grace

    def _take_no_more(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._intakes.stop(INTAKE_SHARE * self._settings.shutdown.grace)
            if self._import:
                self._import.stop()

    def _close_intakes(self) -> None:
        self._take_no_more()
        self._intakes.join(INTAKE_SHARE * self._settings.shutdown.grace)

    def _statuses(self) -> list[IntakeStatus]:
        return [*self._intakes.statuses(), *([self._import.status()] if self._import else [])]

    def _imported(self) -> bool:
        """The files are in the journal: end when idle, or tell once that all of it is delivered."""
        if self._until_idle:
            self._supervisor.finish()
            return False
        now = time.monotonic()
        if not self._at_rest():
            self._quiet_since = None
        elif self._quiet_since is None:
            self._quiet_since = now
        elif not self._told and now - self._quiet_since >= QUIET:
            self._told = True
            return True
        return False

    def _at_rest(self) -> bool:
        return not any(
            s.counts.outstanding or s.lag_records or s.lag_bytes or s.state == "starting"
            for s in self._supervisor.snapshots()
        )

    def _notes(self) -> list[str]:
        notes = [f"{one.intake}: {one.trouble}" for one in self._intakes.statuses() if one.trouble]
        if self._import is not None and not self._import.done:
            notes.append(self._import.note())
        return notes

    def _report(self) -> None:
        """Say what became of every event, and where to look."""
        elapsed = time.monotonic() - self._started
        if self._import:
            report_files(self._import.reports)
            say()
        summarise(self._supervisor.snapshots(), elapsed)
        say()
        for name, place in self._supervisor.places():
            say(f"{name:<13} {place}")
        say(f"data          {self._settings.data_dir}")
        if self._url:
            say(f"status page   {self._url}")
        command = f"{_command(self._settings.origin)} dead-letters list"
        for letters in self._letters():
            say(f"dead letters  {letters}: {command}")

    def _letters(self) -> Iterator[str]:
        """How many there are in the state file; of a topic, which may be large, those that this run wrote."""
        topic = getattr(self._supervisor.letters, "topic", "")
        written = sum(s.counts.dead_lettered for s in self._supervisor.snapshots())
        if topic and written:
            yield f"{counted(written, 'event')} of this run, in the topic {topic}"
        kept = sum(self._supervisor.dead_letters.count(Filter()).values())
        if kept:
            yield counted(kept, "event")

    def _code(self, signals: Signals) -> int:
        if self._supervisor.failures():
            return 1
        incomplete = self._import is not None and self._import.problem()
        return 1 if incomplete and signals.received is None else 0


def orphans(state: State, configured: Collection[str]) -> list[str]:
    """Pipelines that have a cursor and are no longer configured."""
    known = {REJECTS, *configured}
    return sorted({pipeline for pipeline, *_ in all_cursors(state)} - known)


def _command(origin: str) -> str:
    return "bridge" if origin == "config.toml" else f"bridge --config {origin}"


def _leave(code: int) -> NoReturn:
    """End without waiting for threads that wait for their destination."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
