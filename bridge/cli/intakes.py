"""The intakes of `bridge run`: what listens and looks for new telemetry while the pipelines deliver."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from bridge.cli.output import say
from bridge.validation import Decoder, Level

if TYPE_CHECKING:
    from bridge.engine.supervisor import Supervisor
    from bridge.intake.status import IntakeStatus
    from bridge.settings import Settings

__all__ = ["Intakes"]


class _Intake(Protocol):
    def start(self) -> None: ...

    def stop(self, within: float) -> None: ...

    def join(self, timeout: float | None = None) -> bool: ...

    def status(self) -> IntakeStatus: ...


class Intakes:
    """Those of `[intake.http]` and `[intake.folder]` that are enabled.

    They append to the supervisor's journal, so they stop before it does.
    """

    def __init__(self, settings: Settings, supervisor: Supervisor) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._running: list[_Intake] = []

    def start(self) -> None:
        """Begin to take telemetry; `BridgeError` if an address is taken or the journal takes no events."""
        if self._settings.intake.http.enabled:
            self._listen()
        if self._settings.intake.folder.enabled:
            self._watch()

    def stop(self, within: float) -> None:
        """Take nothing more; what has begun gets so many seconds. Returns at once."""
        for intake in self._running:
            intake.stop(within)

    def join(self, timeout: float = 0.0) -> bool:
        """Wait for the end; False if it did not come within `timeout` seconds."""
        ends = time.monotonic() + timeout
        return all(intake.join(max(0.0, ends - time.monotonic())) for intake in self._running)

    def statuses(self) -> list[IntakeStatus]:
        """What each has done so far."""
        return [intake.status() for intake in self._running]

    def _listen(self) -> None:
        from bridge.intake.http import HttpIntake  # noqa: PLC0415 - most runs take nothing by HTTP
        from bridge.intake.http_imported import Imported  # noqa: PLC0415
        from bridge.intake.ledger import Ledger  # noqa: PLC0415

        imported = Imported(Ledger(self._supervisor.state), self._decoder())
        server = HttpIntake(
            self._settings.intake.http, self._supervisor.journal, self._supervisor.strays, imported
        )
        server.start()
        self._running.append(server)
        say(f"telemetry   {server.url}")

    def _watch(self) -> None:
        from bridge.intake.folder import FolderIntake  # noqa: PLC0415 - as above

        folder = FolderIntake(
            self._settings.intake.folder,
            self._supervisor.journal,
            self._decoder(),
            self._settings.validation.max_event_bytes,
        )
        folder.start()
        self._running.append(folder)
        say(f"inbox       {self._settings.intake.folder.path}")

    def _decoder(self) -> Decoder:
        """One for each intake, which judges as the pipelines do."""
        validation = self._settings.validation
        return Decoder(Level(validation.level), validation.max_event_bytes)
