"""One client's connection: bytes in, answers out in order, deadlines that no trickle of bytes moves.

At most one request of a connection is held at a time. While it is being settled, or its answer
waits for a slow reader, nothing more is read, and what a client sends meanwhile stays in the
kernel but for the one piece that came along with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Protocol, cast

from bridge.intake.http_answers import TELEMETRY, Answer, Refused, head, refusal
from bridge.intake.http_requests import END, Reader, Request

if TYPE_CHECKING:
    from bridge.configuration.intake import HttpLimits
    from bridge.intake.http_answers import Header
    from bridge.intake.http_bodies import Body
    from bridge.intake.http_requests import End

__all__ = ["Connection", "Host", "Service"]

log = logging.getLogger(__name__)

LINGER = 2.0  # a client still sends while it is refused, and would miss the answer if reset
SHORT_REST = 256 * 1024  # of a refused body: read over, to keep the connection
UNAVAILABLE = 503


class Service(Protocol):
    """What is behind the connections."""

    def admit(self, request: Request) -> Body | None:
        """Where the body goes (None: nowhere); `Refused` if the head says enough."""

    def handle(self, request: Request, body: bytes) -> Answer | asyncio.Future[Answer]:
        """The answer to a request, or when it will be there; `Refused` is an answer too."""

    def headers(self, request: Request) -> list[Header]:
        """What stands above every answer to this request."""

    def count(self, status: int, reason: str) -> None:
        """Hear of an answer that was sent."""


class Host(Protocol):
    """What the connections have in common."""

    limits: HttpLimits
    buffer: memoryview
    closing: bool

    @property
    def service(self) -> Service:
        """What answers."""

    def opened(self, connection: Connection) -> bool:
        """Hear of a new connection; False if there is no room for it, and it shall say so and go."""

    def closed(self, connection: Connection) -> None:
        """Hear that one has ended."""


class Connection(asyncio.BufferedProtocol):
    """See the module. `deadline` is the loop's time at which the host cuts the connection off."""

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        self.since = self.deadline = loop.time()
        self._host = host
        self._loop = loop
        self._reader = Reader(host.limits)
        self._transport: asyncio.Transport
        self._peer = ""
        self._request: Request | None = None
        self._body: Body | None = None
        self._held = b""
        self._settling = self._blocked = self._answered = self._lingering = self._ended = False
        self._fresh = True  # the first request has to be there in time from the connection's beginning

    @property
    def waiting(self) -> bool:
        """Whether it only waits for its client, so that ending it loses no work of ours."""
        return not self._settling

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio calls it."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""
        self._expect(self._host.limits.receive)
        if not self._host.opened(self):
            self._refuse(Refused(UNAVAILABLE, "too many connections; try again soon", after=1))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as asyncio calls it
        """As asyncio calls it."""
        self._lingering = True
        self._held = b""
        if not self._settling:
            self._release()
        self._host.closed(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - as asyncio calls it
        """One buffer serves all connections, since each is read out at once."""
        return self._host.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """As asyncio calls it."""
        if self._lingering:
            return
        data = bytes(self._host.buffer[:nbytes])
        if self._settling or self._blocked:
            self._hold(self._held + data)
        else:
            self._take(data)

    def eof_received(self) -> bool:
        """As asyncio calls it; a client may end its side and still wait for answers."""
        self._ended = True
        return self._settling

    def pause_writing(self) -> None:
        """As asyncio calls it: the client does not read its answers."""
        self._blocked = True
        self._transport.pause_reading()
        self._expect(self._host.limits.receive)

    def resume_writing(self) -> None:
        """As asyncio calls it."""
        self._blocked = False
        self._go_on()

    def shut(self) -> None:
        """End the connection if it is idle; the answer to a request that has begun will end it."""
        if not self._reader.begun and self.waiting:
            self._transport.close()

    def abort(self) -> None:
        """End the connection now."""
        self._transport.abort()

    def _take(self, data: bytes) -> None:
        while not (self._settling or self._blocked or self._lingering):
            if data and not self._reader.begun and not self._fresh:
                self._expect(self._host.limits.receive)
            try:
                found, data = self._reader.read(data)
                if found is None:
                    return
                self._react(found)
            except Refused as error:
                self._refuse(error)
        if data and not self._lingering:
            self._hold(data)

    def _hold(self, data: bytes) -> None:
        """Keep what came too early, and read no more of it."""
        self._held = data
        self._transport.pause_reading()

    def _react(self, found: Request | bytes | End) -> None:
        """One step of a request; `Refused` where HTTP itself is broken."""
        if isinstance(found, Request):
            self._begin(found)
        elif found is END:
            self._finish()
        elif self._body and not self._answered:
            try:
                self._body.feed(found)
            except Refused as error:
                self._answer_early(error)

    def _begin(self, request: Request) -> None:
        self._request = request
        request.peer = self._peer
        try:
            self._body = self._host.service.admit(request)
        except Refused as error:
            self._answer_early(error)
            return
        if request.headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _finish(self) -> None:
        if self._answered:
            self._done()
            return
        request = cast("Request", self._request)
        try:
            found = self._host.service.handle(request, self._body.close() if self._body else b"")
        except Refused as error:
            found = self._refusal(error)
        if isinstance(found, Answer):
            self._send(found)
            self._done()
            return
        self._settling = True
        self.deadline = float("inf")
        found.add_done_callback(self._settled)

    def _settled(self, future: asyncio.Future[Answer]) -> None:
        self._settling = False
        try:
            answer = future.result()
        except Refused as error:
            answer = self._refusal(error)
        except (Exception, asyncio.CancelledError):  # boundary: the client waits, whatever went wrong
            log.exception("a request failed")
            answer = self._refusal(Refused(UNAVAILABLE, "Request failed", after=5))
        if self._transport.is_closing():
            self._release()
            return
        self._send(answer)
        self._done()
        self._go_on()

    def _done(self) -> None:
        """A request is over; the next one may begin."""
        self._release()
        self._fresh = False
        closing = self._closes()
        self._request = None
        self._answered = False
        if closing:
            self._linger()
        else:
            limits = self._host.limits
            self._expect(limits.receive if self._blocked else limits.keep_alive)

    def _go_on(self) -> None:
        if self._lingering or self._settling or self._blocked:
            return
        self._transport.resume_reading()
        data, self._held = self._held, b""
        self._take(data)
        self._follow()

    def _follow(self) -> None:
        """End our side too, once a client that ended its own has its answers."""
        if self._ended and not (self._settling or self._lingering):
            self._linger()

    def _answer_early(self, error: Refused) -> None:
        """Refuse before the body is there; a short one is read over, a long one not."""
        request = cast("Request", self._request)
        self._answered = True
        self._release()
        if request.length is None or request.length > SHORT_REST or "expect" in request.headers:
            request.persistent = False
        self._send(self._refusal(error))
        if self._closes():
            self._linger()

    def _refuse(self, error: Refused) -> None:
        """Refuse what cannot be read on."""
        self._release()
        if not self._answered:
            self._reader.spoiled = True
            self._send(self._refusal(error))
        self._linger()

    def _send(self, answer: Answer) -> None:
        request = self._request
        more = self._host.service.headers(request) if request else []
        top = head(answer, more, time.time(), close=self._closes())
        bare = request is not None and request.method == "HEAD"
        self._transport.write(top if bare else top + answer.body)

    def _refusal(self, error: Refused) -> Answer:
        self._host.service.count(error.status, error.reason)
        return refusal(TELEMETRY, int(time.time() * 1000), error)

    def _closes(self) -> bool:
        request = self._request
        return self._reader.spoiled or self._host.closing or request is None or not request.persistent

    def _linger(self) -> None:
        """End our side and wait a little for the client to end its own."""
        self._lingering = True
        self._held = b""
        self._expect(min(LINGER, self._host.limits.receive))
        if self._transport.is_closing():
            return
        self._transport.resume_reading()
        with contextlib.suppress(OSError):  # the client may be gone already
            self._transport.write_eof()

    def _expect(self, seconds: float) -> None:
        self.since = self._loop.time()
        self.deadline = self.since + seconds

    def _release(self) -> None:
        body, self._body = self._body, None
        if body:
            body.release()
