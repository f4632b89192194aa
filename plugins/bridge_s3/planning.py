"""The plan chain: the store decides, once and for all, where each range of a stream ends. Pure.

    PUT plan(start) if absent ── created ─────────────────────────────► our end stands
                              └─ exists ─► GET it ─ same end, objects ─► adopt it
                                                  ├ another end ───────► RecutError(its end)
                                                  └ other objects ─────► SetupError
    then PUT every object if absent; one that exists must have the planned size and SHA-256.

There is at most one plan per start, and every range starts where another ends, so the plans
divide the stream without gap or overlap, whoever else believes to own it. The same code runs
in the sink and in the model check (`tests/plugins/s3/model.py`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Protocol

import msgspec

from bridge.errors import RecutError, SetupError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "ChunkStore",
    "Fingerprint",
    "Neighbours",
    "Plan",
    "PlannedObject",
    "Receipt",
    "check_place",
    "write_chunk",
]

Count = Annotated[int, msgspec.Meta(ge=0)]

IGNORES_CONDITIONS = (
    "the store ignores If-None-Match, so exactly-once cannot be kept here: "
    'set guarantee = "single-owner", or use a store with conditional writes'
)


class PlannedObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One object of a range: its key below the archive's URL, bytes, SHA-256 (hex) and events."""

    key: str
    size: Count
    sha256: str
    events: Count


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a range of a stream becomes: `start` ≤ position < `end` as these objects.

    `generation` tells which settings named and wrote the objects; `events` is their sum.
    """

    stream: str
    start: Count
    end: Count
    events: Count
    generation: str
    objects: tuple[PlannedObject, ...]
    v: Literal[1] = 1

    def encode(self) -> bytes:
        """The plan as JSON; equal plans have equal bytes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> Plan:
        """Read a stored plan; `ValueError` if it is none."""
        plan = msgspec.json.decode(data, type=cls)
        if plan.end <= plan.start or plan.events != sum(item.events for item in plan.objects):
            raise ValueError("the plan contradicts itself")
        return plan


class Fingerprint(NamedTuple):
    """What is stored under a key: its size in bytes and SHA-256 in hex."""

    size: int
    sha256: str


class ChunkStore(Protocol):
    """What the plan chain asks of a store; each call may raise a `DeliveryError`."""

    def create(self, key: str, parts: Sequence[bytes]) -> bool:
        """Write the joined parts if the key is absent; False if it exists, which changes nothing."""

    def read(self, key: str) -> bytes | None:
        """The object's bytes, None if absent."""

    def fingerprint(self, key: str) -> Fingerprint | None:
        """The object's size and digest, None if absent."""


class Receipt(NamedTuple):
    """What `write_chunk` found to do: whether the plan is ours, and how many objects it wrote."""

    planned: bool
    written: int


class Neighbours(NamedTuple):
    """Around a start without a known plan: the plan before it, and the next start at or after it."""

    before: Plan | None
    after: int | None


def one_by_one(tasks: list[Callable[[], bool]]) -> list[bool]:
    """Carry out tasks in their order, up to the first fault."""
    return [task() for task in tasks]


def write_chunk(
    store: ChunkStore,
    key: str,
    plan: Plan,
    bodies: Mapping[str, Sequence[bytes]],
    *,
    proven: bool = True,
    run: Callable[[list[Callable[[], bool]]], list[bool]] = one_by_one,
) -> Receipt:
    """Write one range under the plan chain; `key` is the plan's, `bodies` the objects' bytes by key.

    Once the plan stands, its objects may be written in any order, or at once: `run` does that.
    Unless the store is `proven` to honour conditions, a new plan is put a second time: a store
    that takes it twice is found out before any data is written.
    """
    body = [plan.encode()]
    planned = store.create(key, body)
    if planned and not proven and store.create(key, body):
        raise SetupError(IGNORES_CONDITIONS)
    if not planned:
        _adopt(plan, key, store.read(key))
    written = run([partial(_put, store, item, bodies[item.key]) for item in plan.objects])
    return Receipt(planned, sum(written))


def _put(store: ChunkStore, item: PlannedObject, parts: Sequence[bytes]) -> bool:
    """Whether the object had to be written; one that is there must be as planned."""
    if store.create(item.key, parts):
        return True
    _compare(item, store.fingerprint(item.key))
    return False


def check_place(plan: Plan, around: Neighbours) -> None:
    """Refuse a range that starts inside another, and end one where the next begins.

    Cursors that operators set, or a journal that has lost its oldest events, can start
    anywhere; the chain itself never does.
    """
    before, after = around
    if before is not None and before.end > plan.start:
        raise SetupError(
            f"position {plan.start} of {plan.stream} lies inside the archived range "
            f"{before.start}-{before.end}: set the sink's cursor to one of these"
        )
    if after is not None and plan.start < after < plan.end:
        raise RecutError(after)


def _adopt(mine: Plan, key: str, stored: bytes | None) -> None:
    if stored is None:
        raise TransientError(f"the plan {key} is being written by another owner")
    try:
        plan = Plan.decode(stored)
    except ValueError:
        raise SetupError(f"{key} is not a plan of this archive") from None
    if (plan.stream, plan.start) != (mine.stream, mine.start):
        raise SetupError(f"{key} is the plan of another range: {plan.stream} from {plan.start}")
    if plan.end != mine.end:
        raise RecutError(plan.end)
    if plan.objects != mine.objects:
        raise SetupError(_difference(mine, plan, key))


def _difference(mine: Plan, plan: Plan, key: str) -> str:
    if plan.generation != mine.generation:
        return (
            f"{key} was planned with other settings (generation {plan.generation}, now {mine.generation}): "
            "run once with the settings of then, or set the sink's cursor behind that range if it is complete"
        )
    return (
        f"{key} was planned with other events ({plan.events}, now {mine.events}): another journal, other "
        "routes or other stages write to this url; give each its own"
    )


def _compare(item: PlannedObject, found: Fingerprint | None) -> None:
    if found is None:
        raise TransientError(f"{item.key} is being written by another owner")
    if found != (item.size, item.sha256):
        raise SetupError(f"{item.key} exists with other content; it was kept, so find out who wrote it")
