"""One careful HTTP client for every sink that speaks HTTP.

Nothing is followed, nothing is unbounded: redirects are answers, an absolute deadline covers
the whole exchange (connecting and dripping answers included), the answer's size is capped,
proxies from the environment are ignored, nothing is remembered from one exchange to the next.
"""

from __future__ import annotations

import email.utils
import functools
import logging
import time
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Self, cast

import httpx

from bridge.connections import Connections
from bridge.egress import AddressPolicy
from bridge.errors import SetupError, ThrottledError, TransientError
from bridge.network import Backend, Deadline, Resolver, system_resolver
from bridge.tls import Tls, TlsConfig, TlsContexts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpcore

__all__ = ["AddressPolicy", "Answer", "HttpClient", "Tls", "TlsConfig", "raise_for_status", "retry_after"]

for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # at INFO they log whole URLs, tokens included

LONGEST_WAIT = 3_600.0
# An encoded answer could be a bomb; sinks that read bodies get what was sent, byte for byte.
DEFAULT_HEADERS = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "sunbird-bridge"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `status`, lower-case `headers`, at most `max_answer` bytes of `body`.

    `peer` says who answered: the address, the port and the version of TLS.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    peer: str = ""


class HttpClient:
    """A keep-alive HTTP/1.1 client; `request` may be called from many threads at a time."""

    def __init__(
        self,
        *,
        deadline: float = 60.0,
        connect_timeout: float = 5.0,
        max_answer: int = 64 * 1024,
        transport: httpx.BaseTransport | None = None,
        tls: Tls | None = None,
        guard: AddressPolicy | None = None,
        cut_long_answers: bool = False,
        max_connection_age: float = 300.0,
        resolver: Resolver = system_resolver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`deadline` seconds cover one exchange; `max_answer` bytes are read of an answer.

        A longer answer is a `TransientError`, or is cut off if `cut_long_answers`. `guard` is
        asked about every address before connecting to it. After `max_connection_age` seconds
        a connection is replaced by a new one, which resolves the host's name again.
        `transport` takes the place of the sockets in tests; `tls`, `guard` and `resolver` then mean
        nothing. `SetupError` if a file of `tls` cannot be used.
        """
        self._deadline_seconds = deadline
        self._connect_timeout = connect_timeout
        self._max_answer = max_answer
        self._cut = cut_long_answers
        self._deadline = Deadline(clock)
        contexts = TlsContexts(tls or Tls())
        if tls is not None:
            contexts.current()
        backend = Backend(
            self._deadline, contexts, guard=guard, resolver=resolver, max_age=max_connection_age
        )
        self._transport = transport or _Transport(backend)

    def request(
        self,
        method: str,
        url: str,
        *,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Answer:
        """Exchange one request, within `deadline` seconds if given.

        `TransientError` when there is no complete answer: refused, reset, timed out, broken off,
        too long. `SetupError` when there can be none: TLS, no such host, address not permitted.
        """
        request = self._request(method, url, content, headers)
        try:
            with self._deadline.within(deadline or self._deadline_seconds):
                return self._exchange(request)
        except httpx.UnsupportedProtocol:
            raise SetupError("not a web address: write one with http:// or https://") from None
        except httpx.LocalProtocolError:
            # its text would quote the header at fault, which may hold a credential
            raise SetupError("a method or header of the request is not valid in HTTP") from None
        except httpx.RemoteProtocolError as error:
            raise TransientError(f"not a complete HTTP answer ({error})"[:200]) from None
        except httpx.HTTPError as error:
            raise TransientError(type(error).__name__) from None

    def _request(
        self, method: str, url: str, content: bytes, headers: Mapping[str, str] | None
    ) -> httpx.Request:
        timeouts = {"connect": self._connect_timeout}
        merged = {**DEFAULT_HEADERS, **{name.lower(): value for name, value in (headers or {}).items()}}
        try:
            return httpx.Request(
                method, _parsed(url), headers=merged, content=content, extensions={"timeout": timeouts}
            )
        except httpx.InvalidURL:
            raise SetupError("the address of the destination is not a valid URL") from None
        except UnicodeEncodeError:
            raise SetupError("a header of the request is not ASCII") from None

    def _exchange(self, request: httpx.Request) -> Answer:
        response = self._transport.handle_request(request)
        try:
            if _about_stream(response, "heard") is False:
                # left over from the exchange before: its Content-Length was too small
                raise TransientError("the server answered before it was asked")
            body = self._body(response)
        finally:
            response.close()
        peer = str(_about_stream(response, "peer") or "")
        return Answer(response.status_code, dict(response.headers), body, peer)

    def _body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        for chunk in cast("httpx.SyncByteStream", response.stream):
            body += chunk
            if len(body) > self._max_answer:
                if self._cut:
                    break
                raise TransientError(f"the answer is longer than {self._max_answer} bytes")
            self._deadline.left()
        return bytes(body[: self._max_answer])

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Transport(httpx.HTTPTransport):
    """The transport of `httpx` over our connections.

    Its constructor takes none, so they are set here; `handle_request` is inherited, which keeps
    recorders such as vcrpy working.
    """

    def __init__(self, backend: Backend) -> None:
        self._pool = cast("httpcore.ConnectionPool", Connections(backend))


@functools.lru_cache(maxsize=64)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


def _about_stream(response: httpx.Response, info: str) -> object:
    stream = response.extensions.get("network_stream")
    return None if stream is None else stream.get_extra_info(info)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that `Retry-After` asks for at `now` (Unix time), 0 … 3600; None if absent or garbage."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_WAIT)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    # "-0000" and a missing zone both mean UTC here, never the zone of this machine
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return min(max(seconds - now, 0.0), LONGEST_WAIT)


def raise_for_status(answer: Answer, now: float) -> None:
    """Raise for the statuses that mean the same everywhere; leave 2xx and the data's 4xx to the sink.

    429, 503, and any other of these with a `Retry-After` → `ThrottledError`; 408, 425, 5xx →
    `TransientError`; 3xx, 401, 403, 407 → `SetupError`.
    """
    status = answer.status
    if status in {408, 425, 429} or status >= 500:  # noqa: PLR2004
        after = retry_after(answer.headers, now)
        if status in {429, 503} or after is not None:
            raise ThrottledError(f"HTTP {status}", after)
        raise TransientError(f"HTTP {status}")
    if status in {401, 403, 407}:
        raise SetupError(f"HTTP {status}: the destination does not let us in; check the credentials")
    if 300 <= status < 400:  # noqa: PLR2004
        raise SetupError(
            f"HTTP {status}: the destination redirects, which is never followed; write its final address"
        )
