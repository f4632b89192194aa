"""A loopback server whose every byte is scripted, for faults that no real server makes on demand."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable


@dataclass
class Received:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def answer(status: int = 200, body: bytes = b"ok", headers: dict[str, str] | None = None) -> bytes:
    """A complete answer with a correct Content-Length."""
    lines = [f"HTTP/1.1 {status} Scripted", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Peer:
    """The server's end of one connection."""

    sock: socket.socket
    server: ScriptedServer
    buffer: bytes = b""

    def receive(self) -> Received | None:
        """Read one whole request; None when the client has closed."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        start, *rest = head.decode("latin-1").split("\r\n")
        method, target, _ = start.split(" ", 2)
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in rest)}
        length = int(headers.get("content-length", "0"))
        while len(self.buffer) < length and self._more():
            pass
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        received = Received(method, target, headers, body)
        self.server.requests.append(received)
        return received

    def _more(self) -> bool:
        data = self.sock.recv(65_536)
        self.buffer += data
        return bool(data)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, data: bytes, every: float = 0.02) -> None:
        """Send a byte at a time until the client gives up."""
        for byte in data:
            self.sock.sendall(bytes([byte]))
            if self.server.closing.wait(every):
                return

    def hang(self) -> None:
        """Do nothing until the test is over."""
        self.server.closing.wait(10)

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@dataclass
class ScriptedServer:
    """Runs `script(peer)` for each connection, or answers each request by `reply(received)`."""

    script: Callable[[Peer], None] | None = None
    reply: Callable[[Received], bytes] = field(default=lambda _: answer())
    tls: ssl.SSLContext | None = None
    requests: list[Received] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self.closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        self._peers: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._peers.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
            stack.callback(sock.close)
            if self.tls:
                sock = stack.enter_context(self.tls.wrap_socket(sock, server_side=True))
                self._peers.append(sock)
            peer = Peer(sock, self)
            if self.script:
                self.script(peer)
                return
            while received := peer.receive():
                peer.send(self.reply(received))

    def close(self) -> None:
        self.closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._peers):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()
        for sock in self._peers:
            sock.close()
