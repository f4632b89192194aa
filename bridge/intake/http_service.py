"""What the intake does with a request: where it goes, whose it is, what becomes of its events.

    admit (head) ─► route ─► origin ─► sender ─► rate ─► type ─► a body to fill
    handle (body) ─► open the envelope ─► seen before? ─► stamp ─► own channels? ─► journal ─► 200

200 means that every event is durable: in the journal, or in the dead letters where its sender
may not send for its channel. Whether an event is valid is judged behind the journal, once for
all sinks, so one bad event never holds up the batch it came in.
"""

from __future__ import annotations

import logging
import os
import re
import time
from typing import TYPE_CHECKING

from bridge.intake.http_answers import HEALTH, TELEMETRY, Answer, Refused, done, refusal
from bridge.intake.http_bodies import Body, Budget, GzipBody
from bridge.intake.http_envelope import divide, open_envelope, stamp
from bridge.intake.http_letters import foreign_letters
from bridge.intake.http_openapi import description
from bridge.intake.http_rates import Rates
from bridge.intake.http_recent import Recent
from bridge.intake.http_tally import Tally
from bridge.journals.base import JournalFullError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from bridge.configuration.intake import HttpIntakeSettings
    from bridge.intake.auth import Gate
    from bridge.intake.http_answers import Header
    from bridge.intake.http_appending import Store
    from bridge.intake.http_envelope import Envelope
    from bridge.intake.http_requests import Request

__all__ = ["TelemetryService"]

log = logging.getLogger(__name__)

JSON = re.compile(r"application/(?:[\w.+-]+\+)?json")
CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]*)")
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
SDK_HEADERS = (
    "Authorization, Content-Encoding, Content-Type, dataType, X-Api-Key, X-App-Id, X-Authenticated-For,"
    " X-Authenticated-User-Token, X-Channel-Id, X-Device-Id, X-Request-Id"
)
GUESSES_PER_SECOND, GUESSES = 1.0, 50
HEALTH_KEPT = 1.0
BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, NOT_ALLOWED = 400, 401, 403, 404, 405
TOO_LONG, WRONG_TYPE, TOO_MANY, UNAVAILABLE = 413, 415, 429, 503


class TelemetryService:
    """Answers requests, on one event loop. `store` makes events durable, `gate` knows the senders."""

    def __init__(
        self,
        settings: HttpIntakeSettings,
        store: Store,
        gate: Gate,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.closing = False
        self.tally = Tally()
        self.budget = Budget(settings.limits.in_flight_bytes)
        self._settings = settings
        self._limits = settings.limits
        self._store = store
        self._gate = gate
        self._clock = clock
        self._rates = Rates(self._limits.rate, self._limits.burst)
        self._guesses = Rates(GUESSES_PER_SECOND, GUESSES)
        self._recent = Recent(settings.idempotency_window)
        self._origins = frozenset(settings.cors_origins)
        self._healthy: tuple[float, asyncio.Future[Answer]] | None = None
        self._openapi = Answer(200, description(settings))
        posting = {"POST": self._receive}
        reading = {"/health": self._health, "/openapi.json": self._describe}
        self._routes = dict.fromkeys(settings.paths, posting) | {
            path: {"GET": handler, "HEAD": handler} for path, handler in reading.items()
        }

    def admit(self, request: Request) -> Body | None:
        """See `http_connection.Service`."""
        given = request.headers.get("x-request-id", "")
        request.id = given if REQUEST_ID.fullmatch(given) else os.urandom(8).hex()
        if self.closing and request.path != "/health":
            raise Refused(UNAVAILABLE, "the bridge is stopping", after=5)
        methods = self._routes.get(request.path)
        if methods is None:
            raise Refused(NOT_FOUND, f"there is nothing here; post telemetry to {self._settings.paths[0]}")
        if request.method == "OPTIONS":
            return None
        if request.method not in methods:
            allowed = ", ".join([*methods, "OPTIONS"])
            raise Refused(NOT_ALLOWED, f"this path takes {allowed}", headers=[("Allow", allowed)])
        return self._admit_batch(request) if request.method == "POST" else None

    def handle(self, request: Request, body: bytes) -> Answer | asyncio.Future[Answer]:
        """See `http_connection.Service`."""
        if request.method == "OPTIONS":
            return self._preflight(request)
        return self._routes[request.path][request.method](request, body)

    def headers(self, request: Request) -> list[Header]:
        """See `http_connection.Service`."""
        found = [("X-Request-Id", request.id)] if request.id else []
        if self._origins:
            found.append(("Vary", "Origin"))
            if (origin := request.headers.get("origin")) in self._origins:
                found.append(("Access-Control-Allow-Origin", str(origin)))
                found.append(("Access-Control-Expose-Headers", "Retry-After, X-Request-Id"))
        return found

    def count(self, status: int, reason: str) -> None:
        """See `http_connection.Service`."""
        self.tally.refused(status, reason)

    def _admit_batch(self, request: Request) -> Body:
        self._check_origin(request)
        self._identify(request)
        self._check_type(request)
        encoding = request.headers.get("content-encoding", "").lower()
        if encoding not in {"", "identity", "gzip", "x-gzip"}:
            raise Refused(
                WRONG_TYPE, "the only Content-Encoding is gzip", headers=[("Accept-Encoding", "gzip")]
            )
        compressed = "gzip" in encoding
        most = self._limits.compressed_bytes if compressed else self._limits.body_bytes
        if request.length is not None and request.length > most:
            raise Refused(TOO_LONG, f"send at most {most} bytes at once")
        return (GzipBody if compressed else Body)(self._limits, self.budget)

    def _check_origin(self, request: Request) -> None:
        """Where nobody is asked who they are, no web page may send but those that were named."""
        origin = request.headers.get("origin")
        if self._settings.open and origin is not None and origin not in self._origins:
            raise Refused(FORBIDDEN, "pages of this origin may not send; add it to intake.http.cors_origins")

    def _identify(self, request: Request) -> None:
        now = self._clock()
        try:
            sender = self._gate.sender(request.headers, now)
        except Refused as error:
            if error.status == UNAUTHORIZED and (wait := self._guesses.wait(request.peer, now)):
                raise Refused(TOO_MANY, "too many attempts without a good key", after=wait) from None
            raise
        request.sender, request.channels = sender.name, sender.channels
        # without keys only this machine can send, often a proxy for everybody
        if not self._settings.open and (wait := self._rates.wait(sender.name, now)):
            raise Refused(TOO_MANY, f"send at most {self._limits.rate:g} requests a second", after=wait)

    def _check_type(self, request: Request) -> None:
        kind, *parameters = request.headers.get("content-type", "application/json").lower().split(";", 1)
        charset = CHARSET.search(f";{parameters[0]}") if parameters else None
        if not JSON.fullmatch(kind.strip()) or (charset and charset[1] not in {"utf-8", "utf8", "us-ascii"}):
            raise Refused(WRONG_TYPE, "send application/json in UTF-8")

    def _receive(self, request: Request, body: bytes) -> Answer | asyncio.Future[Answer]:
        envelope = open_envelope(body, self._limits.events)
        key = self._recent.key(request.sender, envelope.id, envelope.events) if envelope.id else None
        now_ms = int(self._clock() * 1000)
        if key in self._recent:
            self._repeated(envelope)
            return done(TELEMETRY, now_ms)
        pending = self._recent.pending(key)
        if pending is None:
            own, foreign = divide(envelope.events, request.channels)
            letters = foreign_letters(foreign, request.sender, now_ms)
            known_by = envelope.id if self._settings.idempotency_window else ""
            pending = self._store.submit(stamp(own, now_ms), letters, known_by)
            pending.add_done_callback(lambda future: self._stored(future, len(own), len(foreign)))
            self._recent.follow(key, pending)
        else:
            self._repeated(envelope)
        return self._answered(pending, lambda: done(TELEMETRY, int(self._clock() * 1000)))

    def _repeated(self, envelope: Envelope) -> None:
        self.tally.repeated += 1
        self.tally.duplicate += len(envelope.events)

    def _stored(self, future: asyncio.Future[int], own: int, foreign: int) -> None:
        if future.cancelled() or future.exception() is not None:
            return
        new = future.result()
        self.tally.batches += 1
        self.tally.events += new
        self.tally.duplicate += own - new
        self.tally.foreign += foreign

    def _answered(self, stored: asyncio.Future[int], answer: Callable[[], Answer]) -> asyncio.Future[Answer]:
        """What to answer once it is known whether everything is durable."""
        answered: asyncio.Future[Answer] = stored.get_loop().create_future()

        def settle(future: asyncio.Future[int]) -> None:
            if answered.cancelled():
                return
            if (error := future.exception()) is None:
                answered.set_result(answer())
            else:
                answered.set_exception(_unavailable(error))

        stored.add_done_callback(settle)
        return answered

    def _health(self, request: Request, body: bytes) -> Answer | asyncio.Future[Answer]:  # noqa: ARG002 - as all handlers
        """Well as long as the journal takes events; asked at most once a second, however often we are."""
        now = self._clock()
        if self.closing:
            return _unwell(now)
        if self._healthy is None or now - self._healthy[0] > HEALTH_KEPT:
            probe = self._store.submit(())
            answered: asyncio.Future[Answer] = probe.get_loop().create_future()
            well, unwell = done(HEALTH, int(now * 1000)), _unwell(now)
            probe.add_done_callback(
                lambda future: answered.set_result(unwell if future.exception() else well)
            )
            self._healthy = now, answered
        kept = self._healthy[1]
        return kept.result() if kept.done() else kept

    def _describe(self, request: Request, body: bytes) -> Answer:  # noqa: ARG002 - as all handlers
        return self._openapi

    def _preflight(self, request: Request) -> Answer:
        methods = ", ".join([*self._routes[request.path], "OPTIONS"])
        if request.headers.get("origin") not in self._origins:
            return Answer(204, b"", (("Allow", methods),))
        return Answer(
            204,
            b"",
            (
                ("Allow", methods),
                ("Access-Control-Allow-Methods", methods),
                ("Access-Control-Allow-Headers", SDK_HEADERS),
                ("Access-Control-Max-Age", "600"),
            ),
        )


def _unwell(now: float) -> Answer:
    error = Refused(UNAVAILABLE, "Telemetry API is unhealthy", after=HEALTH_KEPT)
    return refusal(HEALTH, int(now * 1000), error)


def _unavailable(error: BaseException) -> Refused:
    """What a sender is told when its events could not be stored; the log says more."""
    if isinstance(error, JournalFullError):
        return Refused(UNAVAILABLE, "the journal is full; try again later", after=error.after)
    return Refused(UNAVAILABLE, "Request failed", after=5)
