"""A destination on loopback that answers as told: a real HTTP server, also for what goes wrong.

    with Destination() as destination:
        destination.answer = lambda request: Reply(200, b'{"stored": 1}')
        destination.queue(Reply(503, headers={"retry-after": "7"}), Fault.RESET)

The next requests get what is queued, all others what `answer` gives. Nothing is simulated: what
a client sees of a fault here is what it sees of one in the field.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import struct
import threading
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Self

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

__all__ = ["Destination", "Fault", "Reply", "Request"]

BLOCK = b" " * 65_536
DRIP_SECONDS = 0.02
NO_LINGER = struct.pack("ii", 1, 0)
NO_BODY = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer; `Content-Length` is added."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The bytes of the answer."""
        lines = [f"HTTP/1.1 {self.status} Scripted"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.status not in NO_BODY:
            lines.append(f"content-length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


class Fault(Enum):
    """What a destination can do instead of answering."""

    HANG = "says nothing for as long as the test lasts"
    CLOSE = "closes the connection without an answer"
    RESET = "resets the connection"
    HALF = "breaks off in the middle of its answer"
    DRIP = "answers one byte at a time and never gets to the end"
    ENDLESS = "answers 200 with a body that never ends"


Behaviour = Reply | Fault


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived; the names of `headers` are lower-case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> bytes:
        """The body without its `Content-Encoding` (gzip or zstd); `ValueError` if that is a lie."""
        encoding = self.headers.get("content-encoding", "identity")
        try:
            if encoding == "gzip":
                return gzip.decompress(self.body)
            if encoding == "zstd":
                return zstandard.ZstdDecompressor().decompressobj().decompress(self.body)
        except (OSError, EOFError, zstandard.ZstdError) as error:
            raise ValueError(f"the body is not {encoding}: {error}") from None
        return self.body

    def json(self) -> Any:
        """The content as JSON; `ValueError` if it is not."""
        return json.loads(self.content)


def accept(request: Request) -> Reply:  # noqa: ARG001 - a destination that likes everything
    """Answer 200 to everything."""
    return Reply(200, b"{}", {"content-type": "application/json"})


class Destination:
    """An HTTP/1.1 server on 127.0.0.1; enter it to start it. Every thread of it ends with it.

    `requests` holds what arrived, in order; `sent` counts the bytes it has written.
    """

    def __init__(self, answer: Callable[[Request], Behaviour] = accept) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.sent = 0
        self._queued: deque[Behaviour] = deque()
        self._closing = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def queue(self, *behaviours: Behaviour) -> None:
        """What the next requests get, one each."""
        self._queued.extend(behaviours)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept, self._listener)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, cut every connection, wait for every thread."""
        self._closing.set()
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for sock in list(self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(5.0)
        for sock in list(self._sockets):
            sock.close()

    def _start(self, work: Callable[[socket.socket], None], sock: socket.socket) -> None:
        thread = threading.Thread(target=work, args=(sock,), name="scripted-destination", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while not self._closing.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self._sockets.append(sock)
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), sock, sock.makefile("rb") as stream:
            while request := _read(stream):
                self.requests.append(request)
                behaviour = self._queued.popleft() if self._queued else self.answer(request)
                if isinstance(behaviour, Fault):
                    self._misbehave(sock, behaviour)
                    return
                self._write(sock, behaviour.encode())

    def _misbehave(self, sock: socket.socket, fault: Fault) -> None:
        match fault:
            case Fault.HANG:
                self._closing.wait()
            case Fault.RESET:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            case Fault.HALF:
                self._write(sock, b"HTTP/1.1 200 OK\r\ncontent-length: 4096\r\n\r\n{")
            case Fault.DRIP:
                self._drip(sock, b"HTTP/1.1 200 OK\r\ncontent-length: 4096\r\n\r\n" + b" " * 4_095)
            case Fault.ENDLESS:
                self._write(sock, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                while not self._closing.is_set():
                    self._write(sock, b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK))

    def _drip(self, sock: socket.socket, data: bytes) -> None:
        for byte in data:
            self._write(sock, bytes([byte]))
            if self._closing.wait(DRIP_SECONDS):
                return

    def _write(self, sock: socket.socket, data: bytes) -> None:
        sock.sendall(data)
        self.sent += len(data)


def _read(stream: Any) -> Request | None:
    """Read one whole request; None when the client has gone."""
    start = stream.readline().decode("latin-1").split()
    if len(start) < 2:  # noqa: PLR2004 - method and path
        return None
    headers: dict[str, str] = {}
    while line := stream.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Request(start[0], start[1], headers, _body(stream, headers))


def _body(stream: Any, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return bytes(stream.read(int(headers.get("content-length", "0"))))
    body = b""
    while size := int(stream.readline().split(b";")[0], 16):
        body += stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass
    return body
