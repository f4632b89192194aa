"""Connections that are kept between requests.

The pool of `httpcore` asks the system about every connection it keeps, twice for each request:
beside sixteen senders that costs more than the request itself. Here a request asks about the one
that it takes.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, cast

import httpcore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from bridge.network import Backend

__all__ = ["Connections"]

IDLE_SECONDS = 30.0
MAX_IDLE = 32
SCHEMES = frozenset({b"http", b"https"})


class Connections:
    """Takes the place of the pool in `httpx.HTTPTransport`; as many as there are threads that ask."""

    def __init__(self, backend: Backend, clock: Callable[[], float] = time.monotonic) -> None:
        self._backend = backend
        self._clock = clock
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # unused: the backend has its own
        self._turn = threading.Lock()
        self._idle: deque[tuple[float, httpcore.HTTPConnection]] = deque()
        self._most = MAX_IDLE

    def __len__(self) -> int:
        """How many are open and wait for a request."""
        return len(self._idle)

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Exchange one request; its connection is free again once the response is closed."""
        if request.url.scheme not in SCHEMES:
            raise httpcore.UnsupportedProtocol("neither http nor https")
        connection = self._kept(request.url.origin) or self._new(request.url.origin)
        response = connection.handle_request(request)
        stream = cast("httpx.SyncByteStream", response.stream)
        response.stream = _Content(stream, partial(self._give_back, connection))
        return response

    def close(self) -> None:
        """Close what is idle now, and what is in use as soon as it is given back."""
        self._most = 0
        self._close_old()

    def _new(self, origin: httpcore.Origin) -> httpcore.HTTPConnection:
        return httpcore.HTTPConnection(
            origin, self._context, keepalive_expiry=IDLE_SECONDS, network_backend=self._backend
        )

    def _kept(self, origin: httpcore.Origin) -> httpcore.HTTPConnection | None:
        """One that can still be used; the one used last, so that those too many grow old."""
        while (connection := self._last(origin)) is not None:
            if not connection.has_expired():
                return connection
            connection.close()
        return None

    def _last(self, origin: httpcore.Origin) -> httpcore.HTTPConnection | None:
        with self._turn:
            found = next((one for one in reversed(self._idle) if one[1].can_handle_request(origin)), None)
            if found is None:
                return None
            self._idle.remove(found)
            return found[1]

    def _give_back(self, connection: httpcore.HTTPConnection) -> None:
        if connection.is_idle():
            with self._turn:
                self._idle.append((self._clock(), connection))
            self._close_old()

    def _close_old(self) -> None:
        """Close what nobody has used for long, and what is too many."""
        limit = self._clock() - IDLE_SECONDS
        with self._turn:
            while self._idle and (len(self._idle) > self._most or self._idle[0][0] < limit):
                self._idle.popleft()[1].close()


class _Content:
    """The body of an answer, which says when it is done with."""

    def __init__(self, stream: httpx.SyncByteStream, done: Callable[[], None]) -> None:
        self._stream = stream
        self._done = done

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        self._stream.close()
        self._done()
