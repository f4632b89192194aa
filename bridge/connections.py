"""HTTP/1.1 over connections that are kept between requests.

`httpcore` spends most of a request's time on what is not needed here: its pool asks the system
about every connection it keeps, twice a request, and head and body are written apart. Every such
call lets another thread take Python's lock, and the way back to it is long where a pipeline is at
work. So a request looks at the one connection it takes, and leaves in one call.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import h11
import httpcore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from bridge.network import Backend

__all__ = ["Connections"]

IDLE_SECONDS = 30.0
MAX_IDLE = 32
MAX_HEAD = 100 * 1024
PIECE = 64 * 1024
TOGETHER = 256 * 1024
DEFAULT_PORTS = {b"http": 80, b"https": 443}

_Place = tuple[bytes, bytes, int]
_unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the streams have their own


class Connections:
    """Takes the place of the pool in `httpx.HTTPTransport`; as many as there are threads that ask."""

    def __init__(self, backend: Backend, clock: Callable[[], float] = time.monotonic) -> None:
        self._backend = backend
        self._clock = clock
        self._turn = threading.Lock()
        self._idle: deque[_Connection] = deque()
        self._most = MAX_IDLE

    def __len__(self) -> int:
        """How many are open and wait for a request."""
        return len(self._idle)

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Exchange one request; its connection is free again once the response is closed."""
        url = request.url
        if url.scheme not in DEFAULT_PORTS:
            raise httpcore.UnsupportedProtocol("neither http nor https")
        place = (url.scheme, url.host, url.port or DEFAULT_PORTS[url.scheme])
        connection = self._kept(place) or self._new(place, request.extensions["timeout"]["connect"])
        try:
            return connection.exchange(request)
        except BaseException:
            connection.shut()
            raise

    def close(self) -> None:
        """Close what is idle now, and what is in use as soon as it is given back."""
        self._most = 0
        self._shut_old()

    def _new(self, place: _Place, timeout: float | None) -> _Connection:
        scheme, host, port = place
        name = host.decode("ascii")
        stream = self._backend.connect_tcp(name, port, timeout)
        if scheme == b"https":
            stream = stream.start_tls(_unused, name, timeout)
        return _Connection(place, stream, self._give_back)

    def _kept(self, place: _Place) -> _Connection | None:
        """One that can still be used; the one used last, so that those too many grow old."""
        while (connection := self._last(place)) is not None:
            if self._clock() - connection.used < IDLE_SECONDS and not connection.stale:
                return connection
            connection.shut()
        return None

    def _last(self, place: _Place) -> _Connection | None:
        with self._turn:
            found = next((one for one in reversed(self._idle) if one.place == place), None)
            if found is not None:
                self._idle.remove(found)
            return found

    def _give_back(self, connection: _Connection) -> None:
        connection.used = self._clock()
        with self._turn:
            self._idle.append(connection)
        self._shut_old()

    def _shut_old(self) -> None:
        """Close what nobody has used for long, and what is too many."""
        limit = self._clock() - IDLE_SECONDS
        with self._turn:
            while self._idle and (len(self._idle) > self._most or self._idle[0].used < limit):
                self._idle.popleft().shut()


class _Connection:
    """One connection and, while there is one, its answer's body: iterate, then close."""

    def __init__(
        self, place: _Place, stream: httpcore.NetworkStream, done: Callable[[_Connection], None]
    ) -> None:
        self.place = place
        self.used = 0.0
        self._stream = stream
        self._done = done
        self._sent = False
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)

    @property
    def stale(self) -> bool:
        """Whether the other side has closed it, or it is too old."""
        return bool(self._stream.get_extra_info("is_readable"))

    def shut(self) -> None:
        """Close the connection itself."""
        self._stream.close()

    def exchange(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request and read the head of its answer."""
        parts = self._framed(request)
        self._sent = False
        with suppress(httpcore.WriteError):  # the server may have answered before it hung up
            for part in [b"".join(parts)] if sum(map(len, parts)) <= TOGETHER else parts:
                self._stream.write(part)
            self._sent = True
        while not isinstance(head := self._event(), h11.Response):
            pass  # a 1xx; the answer is yet to come
        return httpcore.Response(
            head.status_code,
            headers=head.headers.raw_items(),
            content=self,
            extensions={"http_version": b"HTTP/" + head.http_version, "network_stream": self._stream},
        )

    def __iter__(self) -> Iterator[bytes]:
        while isinstance(event := self._event(), h11.Data):
            yield bytes(event.data)

    def close(self) -> None:
        """Be done with the answer: keep the connection if all was sent, and all was read."""
        if self._sent and self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._done(self)
        else:
            self.shut()

    def _framed(self, request: httpcore.Request) -> list[bytes]:
        content: Iterable[bytes] = request.stream  # type: ignore[assignment]
        try:
            head = h11.Request(method=request.method, target=request.url.target, headers=request.headers)
            events = [head, *(h11.Data(part) for part in content if part), h11.EndOfMessage()]
            return [self._http.send(event) or b"" for event in events]
        except h11.LocalProtocolError as error:
            raise httpcore.LocalProtocolError(str(error)) from None

    def _event(self) -> Any:
        """The next event of the answer, read from the stream as needed."""
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                data = self._stream.read(PIECE)
                if not data and self._http.their_state is h11.SEND_RESPONSE:
                    raise httpcore.RemoteProtocolError("Server disconnected without sending a response.")
                self._http.receive_data(data)
        except h11.RemoteProtocolError as error:
            raise httpcore.RemoteProtocolError(str(error)) from None
        return event
