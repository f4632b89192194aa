"""A strict PostHog capture on loopback: judges requests by `capture_rules`, stores what it took.

Faults are queued: each request takes the next one, which answers in its own way.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from posthog_capture_rules import Refused, Taken, judge_v0, judge_v1

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Capture", "Reply", "drip", "reset_after_acceptance", "running"]


@dataclass
class Reply:
    """An answer; `taken` is what the request would have been judged, if it was."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


@dataclass
class Request:
    """One request as it arrived, its body still encoded."""

    path: str
    headers: dict[str, str]
    body: bytes


class Capture:
    """The state of the server: what it is told to do, and what it has seen."""

    def __init__(self) -> None:
        self.url = ""
        self.offers_v1 = True
        self.delay = 0.0
        self.requests: list[Request] = []
        self.batches: list[Taken] = []
        self.refused: list[Refused] = []
        self.faults: deque[Callable[[Capture, Request, Handler], Reply | None]] = deque()
        self.overrule: Callable[[dict[str, Any]], dict[str, str] | None] | None = None
        self._lock = threading.Lock()

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event that was taken, repetitions included."""
        return [event for batch in self.batches for event in batch.events]

    @property
    def stored(self) -> dict[tuple[str, str, str, str], dict[str, Any]]:
        """What remains when PostHog has merged repetitions: by uuid, name, distinct id and day."""
        return {
            (event["uuid"], event["event"], event["distinct_id"], event["timestamp"][:10]): event
            for event in self.events
        }

    def answer(self, request: Request) -> Reply:
        """Judge a request and store its events."""
        protocol = {"/batch/": "v0", "/batch": "v0", "/i/v1/analytics/events": "v1"}.get(request.path)
        if protocol is None or (protocol == "v1" and not self.offers_v1):
            return Reply(404, b"not found", {"Content-Type": "text/plain"})
        try:
            taken = (
                judge_v1(request.body, request.headers)
                if protocol == "v1"
                else judge_v0(request.body, request.headers.get("content-encoding", ""))
            )
        except Refused as refused:
            self.refused.append(refused)
            return _refusal(protocol, refused)
        return self._taken(protocol, taken)

    def _taken(self, protocol: str, taken: Taken) -> Reply:
        if protocol == "v1" and self.overrule is not None:
            for event in taken.events:
                taken.verdicts[event["uuid"]] = self.overrule(event) or taken.verdicts[event["uuid"]]
        kept = [
            event
            for event in taken.events
            if protocol == "v0" or taken.verdicts[event["uuid"]].get("result") in {"ok", "warning"}
        ]
        with self._lock:
            self.batches.append(Taken(taken.token, kept, taken.verdicts, taken.historical))
        if protocol == "v0":
            return Reply(200, b'{"status":"Ok"}')
        headers = {"Content-Type": "application/json"}
        if any(verdict.get("result") == "retry" for verdict in taken.verdicts.values()):
            headers["Retry-After"] = "1"
        return Reply(200, json.dumps({"results": taken.verdicts}).encode(), headers)


def _refusal(protocol: str, refused: Refused) -> Reply:
    if protocol == "v0":
        return Reply(refused.status, str(refused).encode(), {"Content-Type": "text/plain"})
    return Reply(
        refused.status, json.dumps({"error": refused.error, "error_description": str(refused)}).encode()
    )


class Handler(BaseHTTPRequestHandler):
    """Reads a request, asks `Capture`, writes the reply."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        capture = self.server.capture
        capture.requests.append(request)
        if capture.delay:
            time.sleep(capture.delay)
        fault = capture.faults.popleft() if capture.faults else None
        reply = fault(capture, request, self) if fault else capture.answer(request)
        if reply is not None:
            self.reply(reply)

    def reply(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Threads that end with their connections."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, capture: Capture) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.capture = capture

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is part of the test."""


def reset_after_acceptance(capture: Capture, request: Request, handler: Handler) -> None:
    """Take the events, then reset the connection instead of answering."""
    capture.answer(request)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def drip(capture: Capture, request: Request, handler: Handler) -> None:
    """Answer a byte at a time, for longer than anybody should wait."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        time.sleep(0.05)
    handler.close_connection = True


@contextmanager
def running() -> Iterator[Capture]:
    """Run a capture on a free port of 127.0.0.1."""
    capture = Capture()
    server = Server(capture)
    capture.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield capture
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
