"""The small HTTP server for operators: /livez, /readyz, /metrics, /status.json and the status page.

It answers reads only, carries no event content, and listens on loopback unless told otherwise.
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from bridge.errors import BridgeError
from bridge.metrics import exposition

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.intake.status import IntakeStatus
    from bridge.reports import RunInfo, Snapshot

    Intakes = Callable[[], list[IntakeStatus]]

__all__ = ["OpsServer", "Overview"]

log = logging.getLogger(__name__)

REQUEST_DEADLINE = 5.0
Answer = tuple[HTTPStatus, str, bytes]


class Overview(Protocol):
    """What the server shows: the supervisor, or anything shaped like it."""

    started: float

    @property
    def info(self) -> RunInfo:
        """What is running."""

    def snapshots(self) -> list[Snapshot]:
        """Every pipeline as it is now."""

    def running(self) -> bool:
        """Whether any pipeline runs."""

    def failures(self) -> list[tuple[str, BaseException]]:
        """Pipelines that broke."""


def _no_intakes() -> list[IntakeStatus]:
    return []


class OpsServer:
    """Serves `overview` and `intakes` on `host`:`port` (0: any free port) until closed."""

    def __init__(self, overview: Overview, host: str, port: int, intakes: Intakes = _no_intakes) -> None:
        handler = type("Handler", (_Handler,), {"routes": _routes(overview, intakes)})
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            raise BridgeError(
                f"cannot listen on {host}:{port} ({error.strerror}); write another [ops] port, or port = 0"
            ) from None
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="ops", daemon=True
        )

    @property
    def url(self) -> str:
        """Where the status page is."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    routes: ClassVar[dict[str, Callable[[], Answer]]]
    timeout = REQUEST_DEADLINE
    protocol_version = "HTTP/1.1"
    server_version = "sunbird-bridge"
    sys_version = ""

    def do_GET(self) -> None:
        route = self.routes.get(self.path.partition("?")[0])
        status, kind, body = route() if route else (HTTPStatus.NOT_FOUND, "text/plain", b"not here\n")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; "
                         "script-src 'unsafe-inline'; connect-src 'self'; img-src data:")  # fmt: skip
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the base class names it

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        log.debug("ops: %s", format % args)


def _routes(overview: Overview, intakes: Intakes) -> dict[str, Callable[[], Answer]]:
    page = resources.files("bridge.ops").joinpath("status.html").read_bytes()
    return {
        "/": lambda: (HTTPStatus.OK, "text/html", page),
        "/status.json": lambda: (HTTPStatus.OK, "application/json", _status(overview, intakes())),
        "/metrics": lambda: (
            HTTPStatus.OK,
            "text/plain; version=0.0.4",
            exposition(overview.snapshots(), intakes()),
        ),
        "/livez": lambda: _live(overview),
        "/readyz": lambda: _ready(overview),
    }


def _live(overview: Overview) -> Answer:
    """Alive means that no pipeline broke; a sick destination is not our death."""
    failures = overview.failures()
    if failures:
        return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"failed: {failures[0][0]}\n".encode()
    return HTTPStatus.OK, "text/plain", b"ok\n"


def _ready(overview: Overview) -> Answer:
    """Ready means that every pipeline has started; a destination on hold leaves us ready."""
    waiting = [s.pipeline for s in overview.snapshots() if s.state == "starting"]
    if waiting or not overview.running():
        reason = f"starting: {', '.join(waiting)}" if waiting else "stopped"
        return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{reason}\n".encode()
    return HTTPStatus.OK, "text/plain", b"ok\n"


def _status(overview: Overview, intakes: list[IntakeStatus]) -> bytes:
    info = overview.info
    pipelines = [{**asdict(s), "conserved": s.counts.conserved} for s in overview.snapshots()]
    document = {
        "instance": info.instance,
        "journal": info.journal,
        "started": overview.started,
        "pipelines": pipelines,
        "intakes": [asdict(status) for status in intakes],
    }
    return json.dumps(document).encode()
