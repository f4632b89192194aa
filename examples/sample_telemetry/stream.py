"""When telemetry arrives: sessions side by side, in uploads of up to 20 events, some of them twice.

A device keeps its events until it has 20 of them, or the session ends; without a network it keeps
them for days. An upload whose answer is lost is sent again. What arrives is ordered by arrival.
"""

from __future__ import annotations

from datetime import UTC, datetime
from heapq import heappop, heappush
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from .faults import encode, spoil
from .manifest import DAY_MS, Record
from .mobile import mobile_session
from .people import populate
from .portal import editor_session, portal_session
from .recorder import token
from .services import job_run, requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .people import Learner
    from .recorder import Json

    Flow = Callable[[Random, int, Learner], list[Json]]

UPLOAD_EVENTS = 20
FLOWS = (*[mobile_session] * 8, *[portal_session] * 6, editor_session, *[requests] * 8, job_run)
SECONDS_BETWEEN_FLOWS = 15
FAULT_RATE = 0.02
FAULT_RATES = {"ERROR": 0.15, "START": 0.03}  # error handlers are the least tested code of all
RESEND_RATE = 0.10
ODD_CLOCK_EVERY = 40


class Upload(NamedTuple):
    """What one device sends at once, received at `at` (ms since the epoch); `serial` breaks ties."""

    at: int
    serial: int
    msgid: str
    did: str
    records: list[Record]


class Traffic:
    """An endless stream of uploads, fixed by its arguments.

    `clean` leaves out what is invalid, sent twice or without an official schema; `stamped` adds
    to six uploads in ten what a pipeline adds on receipt (`syncts`, `@timestamp`, `flags`).
    """

    def __init__(self, seed: int, start_ms: int, *, clean: bool, stamped: bool) -> None:
        self.rng = Random(seed)
        self.now = start_ms
        self.clean = clean
        self.stamped = stamped
        self.flows = [flow for flow in FLOWS if not (clean and flow is job_run)]
        self.deck: list[Flow] = []
        self.learners = populate(self.rng)
        self.phones = 0
        self.serial = 0
        self.waiting: list[Upload] = []

    def __iter__(self) -> Iterator[Upload]:
        while True:
            self._begin_flow()
            self.now += int(self.rng.expovariate(1 / (1000 * SECONDS_BETWEEN_FLOWS)))
            while self.waiting and self.waiting[0].at <= self.now:
                yield heappop(self.waiting)

    def _begin_flow(self) -> None:
        """Play one session to its end, and put its uploads in the queue of arrivals."""
        if not self.deck:
            self.deck = self.rng.sample(self.flows, len(self.flows))
        flow = self.deck.pop()
        learner = self.rng.choice(self.learners)
        ago, skew = self._device_clock() if flow is mobile_session else (0, 0)
        events = flow(self.rng, self.now - ago + skew, learner)
        at = self.now
        for first in range(0, len(events), UPLOAD_EVENTS):
            part = events[first : first + UPLOAD_EVENTS]
            at = max(at, part[-1]["ets"] - skew) + self.rng.randrange(200, 4000)
            self._upload(part, at)

    def _device_clock(self) -> tuple[int, int]:
        """Say how long ago a phone's session was held, and how far its clock is ahead (ms)."""
        self.phones += 1
        # By turns rather than by chance, so that short streams have both kinds, too.
        turn = self.phones % ODD_CLOCK_EVERY
        if turn == ODD_CLOCK_EVERY // 4:
            return int(DAY_MS * self.rng.uniform(1.1, 9)), 0
        if turn == ODD_CLOCK_EVERY // 2:
            return 0, int(DAY_MS * self.rng.choice((0.01, 0.23, 1, 365)))
        return 0, 0

    def _upload(self, events: list[Json], at: int) -> None:
        """Queue one upload, and perhaps its last events once more."""
        # Drawn in either case, so that stamped and plain streams hold the same events.
        stamps = _stamps(at) if self.rng.random() < 0.6 and self.stamped else {}
        records = [self._record(event, stamps, at) for event in events]
        did = events[0]["context"].get("did", "")
        self._queue(at, did, records)
        if not self.clean and self.rng.random() < RESEND_RATE:
            good = [record._replace(again=True) for record in records if not record.fault]
            again = good[-self.rng.randrange(1, 5) :]
            self._queue(at + self.rng.randrange(2_000, 120_000), did, again)

    def _record(self, event: Json, stamps: Json, at: int) -> Record:
        delay = at - event["ets"]
        event.update(stamps)
        if not self.clean and self.rng.random() < FAULT_RATES.get(event["eid"], FAULT_RATE):
            fault, line = spoil(event, self.rng)
            return Record(line, event["eid"], fault, again=False, delay=delay)
        return Record(encode(event), event["eid"], "", again=False, delay=delay)

    def _queue(self, at: int, did: str, records: list[Record]) -> None:
        self.serial += 1
        heappush(self.waiting, Upload(at, self.serial, token(self.rng, 32), did, records))


def _stamps(at: int) -> Json:
    """Say what the pipeline adds to an event that it received at `at`."""
    arrival = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
    return {
        "syncts": at,
        "@timestamp": arrival.replace("+00:00", "Z"),
        "flags": {"tv_processed": True, "dd_processed": True},
        "type": "events",
    }
