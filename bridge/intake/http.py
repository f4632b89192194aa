"""The HTTP intake: a telemetry service as Sunbird's, whose 200 says that every event is durable.

    client ─► Connection ─► TelemetryService ─► Appender ─► journal
              (limits)      (senders, stamps)   (groups)

It runs on one event loop in a thread of its own, beside the pipelines.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import TYPE_CHECKING

from bridge.errors import BridgeError
from bridge.intake.auth import Gate
from bridge.intake.auth_tokens import Tokens
from bridge.intake.http_appending import Appender
from bridge.intake.http_connection import Connection
from bridge.intake.http_service import TelemetryService
from bridge.intake.status import IntakeStatus
from bridge.journals.base import Journal

if TYPE_CHECKING:
    from bridge.configuration.intake import HttpIntakeSettings
    from bridge.deadletters import DeadLetters
    from bridge.intake.http_imported import Imported
    from bridge.intake.http_tally import Tally

__all__ = ["HttpIntake"]

log = logging.getLogger(__name__)

BUFFER = 64 * 1024
BACKLOG = 1024
SWEEP = 0.25
TELL = 60.0
LEAVING = 64  # clients that are being sent away, beyond those that are served
EVICTABLE = 1.0  # seconds after which an idle or dawdling client makes room for a new one
DRAIN = 5.0
TURNS = 8  # of the loop, after which a connection that was accepted is one of ours


class HttpIntake:
    """Listens as `settings` say and appends to `journal` until closed.

        intake = HttpIntake(settings.intake.http, journal, dead_letters)
        intake.start()    # returns once it listens
        intake.close()    # answers what has begun

    What was `imported` from files before is left out. `BridgeError` if the journal takes no events,
    a key is none, or the address is taken.
    """

    def __init__(
        self,
        settings: HttpIntakeSettings,
        journal: Journal,
        dead_letters: DeadLetters,
        imported: Imported | None = None,
    ) -> None:
        if type(journal).append is Journal.append:
            journal.append([], "")  # it takes no events, and says so
        self.limits = settings.limits
        self.buffer = memoryview(bytearray(BUFFER))
        self.closing = False
        self._settings = settings
        self._tokens = Tokens(settings.issuers) if settings.issuers else None
        self._appender = Appender(journal, dead_letters, imported)
        self.service = TelemetryService(settings, self._appender, Gate(settings, self._tokens))
        self._connections: dict[Connection, None] = {}
        self._leaving: dict[Connection, None] = {}  # told that there is no room, in order of arrival
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Event
        self._listening = threading.Event()
        self._failure: OSError | None = None
        self._port = 0
        self._patience = DRAIN
        self._thread = threading.Thread(target=self._run, name="http-intake", daemon=True)

    @property
    def url(self) -> str:
        """Where batches are posted."""
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"http://{host}:{self._port}{self._settings.paths[0]}"

    @property
    def tally(self) -> Tally:
        """What it did so far."""
        return self.service.tally

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    def status(self) -> IntakeStatus:
        """What it did so far and how it is, for people and metrics."""
        tally = self.tally
        return IntakeStatus(
            "http",
            self.url,
            self._appender.trouble,
            ended=self.closing,
            events={
                "accepted": tally.events,
                "duplicate": tally.duplicate,
                "dead_lettered": tally.foreign,
            },
            batches={"accepted": tally.batches, "duplicate": tally.repeated},
            refusals={str(status): times for status, times in sorted(dict(tally.answers).items())},
            connections=self.connections,
            held_bytes=self.service.budget.used,
        )

    def start(self) -> None:
        """Begin to listen; `BridgeError` if the address cannot be had."""
        self._thread.start()
        self._listening.wait()
        if self._failure:
            self._thread.join()
            host, port = self._settings.host, self._settings.port
            raise BridgeError(
                f"cannot listen on {host}:{port} ({self._failure.strerror}); write another [intake.http] port"
            )

    def stop(self, within: float = DRAIN) -> None:
        """Take no more requests; those that have begun get so many seconds. Returns at once."""
        if self._thread.is_alive() and not self.closing:
            self._patience = within
            with contextlib.suppress(RuntimeError):  # it ended meanwhile
                self._loop.call_soon_threadsafe(self._ended.set)

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end; False if it did not come within `timeout` seconds."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Stop, and return once all is answered or five seconds are over."""
        self.stop()
        self.join()
        self._forget()

    def opened(self, connection: Connection) -> bool:
        """See `http_connection.Host`."""
        full = len(self._connections) >= self.limits.connections
        if full and not self._make_room():
            self._leaving[connection] = None
            if len(self._leaving) > LEAVING:
                self._end(next(iter(self._leaving)))
            return False
        self._connections[connection] = None
        return True

    def closed(self, connection: Connection) -> None:
        """See `http_connection.Host`."""
        self._connections.pop(connection, None)
        self._leaving.pop(connection, None)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        try:
            server = await self._loop.create_server(
                lambda: Connection(self, self._loop),
                self._settings.host,
                self._settings.port,
                backlog=BACKLOG,
            )
        except OSError as error:
            self._failure = error
            self._listening.set()
            return
        self._port = server.sockets[0].getsockname()[1]
        self._appender.start()
        self._listening.set()
        sweeper = asyncio.create_task(self._sweep())
        await self._ended.wait()
        await self._stop_listening(server)
        await self._drain()
        sweeper.cancel()
        await asyncio.to_thread(self._appender.close)
        await asyncio.to_thread(self._forget)

    def _forget(self) -> None:
        if self._tokens:
            self._tokens.close()

    async def _sweep(self) -> None:
        told = self._loop.time()
        while True:
            await asyncio.sleep(SWEEP)
            now = self._loop.time()
            for connection in [c for c in (*self._connections, *self._leaving) if c.deadline < now]:
                connection.abort()
            if now - told >= TELL:
                told = now
                self.tally.tell()
                if self._appender.trouble:  # senders may have given up, so that nothing else would end it
                    self._appender.submit(()).add_done_callback(asyncio.Future.exception)

    async def _stop_listening(self, server: asyncio.Server) -> None:
        """Accept nobody any more. Closed at once, asyncio would lose whom it has just accepted."""
        for listening in server.sockets:
            self._loop.remove_reader(listening.fileno())
        for _ in range(TURNS):
            await asyncio.sleep(0)
        server.close()

    async def _drain(self) -> None:
        """Let every request that is being stored get its answer, for a while."""
        self.closing = self.service.closing = True
        ends = self._loop.time() + self._patience
        for connection in list(self._connections):
            connection.shut()
        while self._connections and self._loop.time() < ends:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.01)
        for connection in (*self._connections, *self._leaving):
            connection.abort()
        await asyncio.sleep(0)  # aborted connections say goodbye in the next turn of the loop
        self.tally.tell()

    def _make_room(self) -> bool:
        """End the client that has been slow or idle for longest, if that was long enough."""
        now = self._loop.time()
        slow = [c for c in self._connections if c.waiting and now - c.since >= EVICTABLE]
        if not slow:
            return False
        self._end(min(slow, key=lambda connection: connection.since))
        return True

    def _end(self, connection: Connection) -> None:
        """Cut a connection off, and count it out at once: asyncio tells of it later."""
        self.closed(connection)
        connection.abort()
