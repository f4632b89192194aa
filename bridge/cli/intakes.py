"""The intakes of `bridge run`: what listens and looks for new telemetry while the pipelines deliver."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from bridge.cli.output import say
from bridge.validation import Decoder, Level

if TYPE_CHECKING:
    from bridge.engine.supervisor import Supervisor
    from bridge.settings import Settings

__all__ = ["Intakes"]


class Intakes:
    """Those of `[intake.http]` and `[intake.folder]` that are enabled.

    They append to the supervisor's journal, so they stop before it does.
    """

    def __init__(self, settings: Settings, supervisor: Supervisor) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._open = ExitStack()

    def start(self) -> None:
        """Begin to take telemetry; `BridgeError` if an address is taken or the journal takes no events."""
        intake = self._settings.intake
        if intake.http.enabled:
            self._listen()
        if intake.folder.enabled:
            self._watch()

    def close(self) -> None:
        """Answer and import what has begun, and take nothing more."""
        self._open.close()

    def _listen(self) -> None:
        from bridge.intake.http import HttpIntake  # noqa: PLC0415 - most runs take nothing by HTTP

        server = HttpIntake(
            self._settings.intake.http, self._supervisor.journal, self._supervisor.dead_letters
        )
        server.start()
        self._open.callback(server.close)
        say(f"telemetry   {server.url}")

    def _watch(self) -> None:
        from bridge.intake.folder import FolderIntake  # noqa: PLC0415 - as above

        validation = self._settings.validation
        decoder = Decoder(Level(validation.level), validation.max_event_bytes)
        folder = FolderIntake(
            self._settings.intake.folder, self._supervisor.journal, decoder, validation.max_event_bytes
        )
        folder.start()
        self._open.callback(folder.join)
        self._open.callback(folder.stop)
        say(f"inbox       {self._settings.intake.folder.path}")
