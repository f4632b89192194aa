"""Sockets for HTTP that keep one absolute deadline and only go where they may.

Timeouts of sockets start anew with every read, so a server that sends a byte a second
holds a request for ever. Here every wait on a socket is cut to what is left of the exchange.
Faults are classified where they are seen: `SetupError` or `TransientError`.
"""

from __future__ import annotations

import ipaddress
import queue
import select
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import httpcore

from bridge.errors import SetupError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bridge.egress import AddressPolicy
    from bridge.errors import DeliveryError
    from bridge.tls import TlsContexts

__all__ = ["Backend", "Deadline", "Resolver", "system_resolver"]

Resolver = Callable[[str, int], Sequence[str]]
"""From a host name and a port to numeric addresses, best first; raises `socket.gaierror`."""

Result = TypeVar("Result")

_NO_SUCH_HOST = {socket.EAI_NONAME, socket.EAI_NODATA}
# Faults that OpenSSL also reports when the other side simply went away.
_TLS_GONE = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


class Deadline(threading.local):
    """When the exchange that runs on this thread must be over; each thread has its own."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._seconds = self._ends = float("inf")

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Give the exchange in this block so many seconds."""
        self._seconds, self._ends = seconds, self.clock() + seconds
        try:
            yield
        finally:
            self._seconds = self._ends = float("inf")

    def left(self) -> float | None:
        """Seconds left, None for no limit; `TransientError` once there are none."""
        left = self._ends - self.clock()
        if left <= 0:
            raise self.passed()
        return left if left < float("inf") else None

    def passed(self) -> TransientError:
        """The error that says so."""
        return TransientError(f"no complete answer within {self._seconds:g} s")


def system_resolver(host: str, port: int) -> list[str]:
    """Ask the operating system for the addresses of a host."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Backend(httpcore.NetworkBackend):
    """Opens connections: resolves, asks `guard` about each address, connects to that address."""

    def __init__(
        self,
        deadline: Deadline,
        tls: TlsContexts,
        *,
        guard: AddressPolicy | None,
        resolver: Resolver,
        max_age: float,
    ) -> None:
        """A connection older than `max_age` seconds is not used for another exchange."""
        self._deadline = deadline
        self._tls = tls
        self._guard = guard
        self._resolver = resolver
        self._max_age = max_age

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - part of the interface
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers; at most `timeout` seconds for each."""
        fault: DeliveryError = SetupError(f"{host} has no address")
        for address in self._permitted(host, port):
            try:
                sock = self._connect(address, port, timeout)
            except OSError as error:
                fault = _connect_fault(error, f"{host}:{port}")
            else:
                expires = self._deadline.clock() + self._max_age
                return _Stream(sock, self._deadline, self._tls, expires)
        raise fault

    def _permitted(self, host: str, port: int) -> Sequence[str]:
        addresses = self._resolve(host, port)
        if self._guard is None:
            return addresses
        verdicts = [(address, self._guard.refusal(address, port)) for address in addresses]
        permitted = [address for address, refusal in verdicts if refusal is None]
        if verdicts and not permitted:
            raise SetupError(f"no connection to {host}: {verdicts[0][1]}")
        return permitted

    def _resolve(self, host: str, port: int) -> Sequence[str]:
        if _is_numeric(host):
            return [host]
        try:
            host.encode("idna")  # as TLS will do, which leaks a socket if this fails
            return _in_time(lambda: self._resolver(host, port), self._deadline)
        except socket.gaierror as error:
            if error.errno in _NO_SUCH_HOST:
                raise SetupError(f"there is no host named {host} (DNS)") from None
            raise TransientError(f"cannot resolve {host} ({error.strerror})") from None
        except UnicodeError:
            raise SetupError(f"{host!r} cannot be a host name") from None

    def _connect(self, address: str, port: int, timeout: float | None) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(_shorter(self._deadline.left(), timeout))
            sock.connect((address, port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            sock.close()
            raise
        return sock


class _Stream(httpcore.NetworkStream):
    """One connection; every wait ends with the deadline of the thread that waits."""

    def __init__(self, sock: socket.socket, deadline: Deadline, tls: TlsContexts, expires: float) -> None:
        sock.settimeout(0.0)  # waiting is done here: a socket that does it sets itself up anew each time
        self._sock = sock
        self._deadline = deadline
        self._tls = tls
        self._expires = expires
        self._peer = _peer(sock)
        self._heard = False
        self._poll = select.poll()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        """Read what has come, up to `max_bytes`; b"" once the other side has closed."""
        self._heard = True
        try:
            if not _has_data(self._sock):
                self._wait(select.POLLIN)  # an answer takes its time: trying first would be in vain
            return self._when(select.POLLIN, partial(self._sock.recv, max_bytes))
        except OSError as error:
            raise _read_fault(error) from None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """Write everything."""
        self._heard = False
        rest = memoryview(buffer)
        try:
            while rest:
                rest = rest[self._when(select.POLLOUT, partial(self._sock.send, rest)) :]
        except OSError as error:
            # the answer is then still read: the server may have answered before it hung up
            raise httpcore.WriteError(_short(error)) from None

    def _when(self, ready: int, call: Callable[[], Result]) -> Result:
        """Do `call` at once, or as soon as the socket is `ready` for it."""
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)
            except BlockingIOError:
                self._wait(ready)

    def _wait(self, ready: int) -> None:
        left = self._deadline.left()
        self._poll.register(self._sock, ready)
        if not self._poll.poll(None if left is None else left * 1_000):
            raise self._deadline.passed()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,  # noqa: ARG002 - ours follows the files on disk
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Shake hands; the certificate must be valid for `server_hostname`."""
        try:
            self._sock.settimeout(_shorter(self._deadline.left(), timeout))
            sock = self._tls.current().wrap_socket(self._sock, server_hostname=server_hostname)
        except OSError as error:
            self.close()
            raise _handshake_fault(error, str(server_hostname)) from None
        except BaseException:
            self.close()
            raise
        return _Stream(sock, self._deadline, self._tls, self._expires)

    def get_extra_info(self, info: str) -> object:
        """Answer `is_readable`: an idle connection that is readable must not be used again.

        `heard`: something was read since the last write, so an answer answers that. `peer`: who is there.
        """
        if info == "is_readable":
            return self._deadline.clock() >= self._expires or self._is_readable()
        return {"peer": self._peer, "heard": self._heard}.get(info)

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    def _is_readable(self) -> bool:
        if self._sock.fileno() < 0:
            return True
        self._poll.register(self._sock, select.POLLIN)
        return bool(self._poll.poll(0))


def _in_time(task: Callable[[], Sequence[str]], deadline: Deadline) -> Sequence[str]:
    """Run a task that has no timeout of its own; it is left behind when time is up."""
    result: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            result.put(task())
        except Exception as error:  # noqa: BLE001 - carried over to the waiting thread
            result.put(error)

    threading.Thread(target=run, name="resolve", daemon=True).start()
    try:
        found = result.get(timeout=deadline.left())
    except queue.Empty:
        raise deadline.passed() from None
    if isinstance(found, Exception):
        raise found
    return found


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _has_data(sock: socket.socket) -> bool:
    """Whether bytes were received and decrypted that nobody has read; the system does not know of them."""
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


def _peer(sock: socket.socket) -> str:
    try:
        address, port = sock.getpeername()[:2]
    except OSError:  # already gone; the next read says so
        return ""
    version = sock.version() if isinstance(sock, ssl.SSLSocket) else "no TLS"
    return f"{address} port {port}, {version}"


def _shorter(left: float | None, limit: float | None) -> float | None:
    return min((value for value in (left, limit) if value is not None), default=None)


def _short(error: OSError) -> str:
    reason = (
        error.reason.lower().replace("_", " ") if isinstance(error, ssl.SSLError) and error.reason else None
    )
    return reason or error.strerror or type(error).__name__


def _connect_fault(error: OSError, place: str) -> DeliveryError:
    reason = "timed out" if isinstance(error, TimeoutError) else _short(error)
    return TransientError(f"cannot connect to {place} ({reason})")


def _handshake_fault(error: OSError, host: str) -> DeliveryError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return SetupError(f"TLS: the certificate of {host} is refused: {error.verify_message}")
    if isinstance(error, ssl.SSLError) and not isinstance(error, _TLS_GONE):
        return SetupError(f"TLS: no handshake with {host} ({_short(error)})")
    reason = "timed out" if isinstance(error, TimeoutError) else _short(error)
    return TransientError(f"TLS: the handshake with {host} broke off ({reason})")


def _read_fault(error: OSError) -> DeliveryError:
    # an alert in TLS 1.3 arrives after the handshake: the server refuses our certificate
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
        return SetupError(f"TLS: refused by the server ({_short(error)})")
    return TransientError(f"the connection broke off ({_short(error)})")
