"""Proof that an archive is complete: its plans cover a stream without gap, and every object is as planned."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge_s3.bucket import open_bucket
from bridge_s3.formats import format_of
from bridge_s3.keys import PLANS, plan_folder, plan_key, plan_start
from bridge_s3.planning import Fingerprint, Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge_s3.bucket import Bucket
    from bridge_s3.config import S3Config
    from bridge_s3.formats import Format
    from bridge_s3.planning import PlannedObject

__all__ = ["Coverage", "Report", "verify"]

MAX_PROBLEMS = 100


@dataclass(slots=True)
class Coverage:
    """What the plans of one stream cover: positions `start` … `end` - 1, and how much lies there."""

    stream: str
    start: int
    end: int
    ranges: int = 0
    objects: int = 0
    events: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)
    more: int = 0

    def note(self, problem: str) -> None:
        """Keep a problem; after the first hundred they are only counted."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)
        else:
            self.more += 1

    def add(self, plan: Plan) -> None:
        """Take the next plan of the stream, in ascending order of their starts."""
        if plan.start > self.end:
            self.note(f"gap: no plan covers {self.end}-{plan.start}")
        elif plan.start < self.end:
            self.note(f"overlap: {plan.start}-{min(self.end, plan.end)} is planned twice")
        self.end = max(self.end, plan.end)
        self.ranges += 1
        self.objects += len(plan.objects)
        self.events += plan.events
        self.bytes += sum(item.size for item in plan.objects)


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of `verify`: one `Coverage` a stream, and what could not be read as a plan."""

    url: str
    streams: tuple[Coverage, ...]
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the archive is complete: something is there, and nothing is wrong with it."""
        return bool(self.streams) and not self.problems and not any(found.problems for found in self.streams)

    def lines(self) -> list[str]:
        """The report for people: a line a stream, then a line a problem."""
        lines = [
            f"{'complete' if not found.problems else 'BROKEN'}  {found.stream}  {found.start}-{found.end}: "
            f"{found.events} events in {found.objects} objects of {found.ranges} ranges, {found.bytes} bytes"
            for found in self.streams
        ]
        lines += [f"{found.stream}: {problem}" for found in self.streams for problem in found.problems]
        lines += [f"{found.stream}: and {found.more} more" for found in self.streams if found.more]
        return [*lines, *self.problems] or [f"{self.url} holds no plans"]


def verify(
    config: S3Config,
    stream: str | None = None,
    *,
    start: int | None = None,
    end: int | None = None,
    deep: bool = True,
) -> Report:
    """Check one stream, or all; with `start` or `end`, that those positions are covered.

    Every object must exist with its planned size; if `deep`, each is read, and its SHA-256 and
    number of events are compared too. A check of everything also looks for data that no plan
    knows. Raises `DeliveryError` if the store cannot be read.
    """
    audit = _Audit(open_bucket(config), format_of(config), deep=deep)
    for key in audit.bucket.keys(plan_folder(stream) if stream else PLANS):
        plan = audit.plan(key)
        if plan is not None and not _outside(plan, start, end):
            audit.add(plan)
    for found in audit.streams.values():
        _check_ends(found, start, end)
    if stream is None and start is None and end is None and config.layout == "hive":
        audit.find_strays()
    return Report(config.url, tuple(audit.streams.values()), tuple(audit.problems))


def _outside(plan: Plan, start: int | None, end: int | None) -> bool:
    return (start is not None and plan.end <= start) or (end is not None and plan.start >= end)


def _check_ends(found: Coverage, start: int | None, end: int | None) -> None:
    if start is not None and found.start > start:
        found.note(f"gap: no plan covers {start}-{found.start}")
    if end is not None and found.end < end:
        found.note(f"gap: no plan covers {found.end}-{end}")


class _Audit:
    """One pass over an archive, a plan at a time."""

    def __init__(self, bucket: Bucket, form: Format, *, deep: bool) -> None:
        self.bucket = bucket
        self.streams: dict[str, Coverage] = {}
        self.problems: list[str] = []
        self._form = form
        self._deep = deep
        self._known: set[str] = set()

    def plan(self, key: str) -> Plan | None:
        """The plan stored under a key; None for other keys, and for what is noted as a problem."""
        if plan_start(key) is None:
            return None
        try:
            plan = Plan.decode(self.bucket.read(key) or b"")
        except ValueError:
            self.problems.append(f"{key} cannot be read as a plan")
            return None
        if plan_key(plan.stream, plan.start) != key:
            self.problems.append(f"{key} is the plan of another range: {plan.stream} from {plan.start}")
            return None
        return plan

    def add(self, plan: Plan) -> None:
        """Count a plan in and check its objects."""
        coverage = self.streams.setdefault(plan.stream, Coverage(plan.stream, plan.start, plan.start))
        coverage.add(plan)
        for item in plan.objects:
            self._known.add(item.key)
            problem = self._deeply(item) if self._deep else self._by_size(item)
            if problem:
                coverage.note(f"{item.key} {problem}")

    def find_strays(self) -> None:
        """Note data objects that no plan lists: whoever reads all objects would see events twice."""
        strays = [key for key in self.bucket.keys("data") if key not in self._known]
        self.problems += [f"{key} belongs to no plan" for key in strays[:MAX_PROBLEMS]]
        if len(strays) > MAX_PROBLEMS:
            self.problems.append(f"and {len(strays) - MAX_PROBLEMS} more objects belong to no plan")

    def _by_size(self, item: PlannedObject) -> str:
        size = self.bucket.size(item.key)
        if size is None:
            return "is missing"
        return "" if size == item.size else f"has {size} bytes instead of {item.size}"

    def _deeply(self, item: PlannedObject) -> str:
        pieces = self.bucket.stream(item.key)
        if pieces is None:
            return "is missing"
        measured = _Measured(pieces)
        try:
            events = self._form.count(measured)
        except ValueError as error:
            return f"cannot be unpacked: {error}"
        if measured.fingerprint() != (item.size, item.sha256):
            return "has another content than planned"
        return "" if events == item.events else f"holds {events} events instead of {item.events}"


class _Measured:
    """Pieces of an object, digested as they pass."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._size = 0
        self._sha256 = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._size += len(piece)
            self._sha256.update(piece)
            yield piece

    def fingerprint(self) -> Fingerprint:
        """Size and digest of what has passed."""
        return Fingerprint(self._size, self._sha256.hexdigest())
