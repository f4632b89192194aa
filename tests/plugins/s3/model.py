"""A model of the plan chain: owners that overlap, crash and read stale cursors, and a store with memory.

The owners run the sink's own `write_chunk`; only the journal, the store and the coordinator are
models. Every request is one atomic step, so all interleavings of the owners' requests are
explored. Two naming schemes that do not work are kept beside it: the checker has to find them out.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from bridge.errors import RecutError, SetupError, TransientError
from bridge_s3.keys import plan_key
from bridge_s3.looking import LookingStore
from bridge_s3.planning import Fingerprint, Plan, PlannedObject, write_chunk

STREAM = "t[0]"


class Content(NamedTuple):
    """What the journal holds: `length` events, divided into `groups`; one may be filtered out by the sink."""

    length: int
    groups: int = 2
    filtered: int | None = 2

    def bodies(self, start: int, end: int) -> dict[int, bytes]:
        """What a range holds: position p belongs to group p modulo `groups`."""
        found: dict[int, bytes] = {}
        for position in range(start, end):
            if position != self.filtered:
                group = position % self.groups
                found[group] = found.get(group, b"") + b"%d\n" % position
        return found


class Request(NamedTuple):
    """One call of an owner to the store."""

    verb: str
    key: str
    body: bytes = b""


class Pause(Exception):  # noqa: N818 - it is no error
    """The owner waits for the answer to this request."""

    def __init__(self, request: Request) -> None:
        self.request = request


class Replay:
    """A store that gives the answers so far, then stops the owner at its next request."""

    def __init__(self, answers: tuple[Any, ...]) -> None:
        self._answers = iter(answers)

    def _ask(self, request: Request) -> Any:
        for answer in self._answers:
            return answer
        raise Pause(request)

    def create(self, key, parts):
        return self._ask(Request("create", key, b"".join(parts)))

    def replace(self, key, parts):
        return self._ask(Request("replace", key, b"".join(parts)))

    def read(self, key):
        return self._ask(Request("read", key))

    def size(self, key):
        return self._ask(Request("size", key))

    def fingerprint(self, key):
        return self._ask(Request("fingerprint", key))


@lru_cache(None)
def chunk(content: Content, start: int, end: int) -> tuple[Plan, dict[str, list[bytes]]]:
    bodies = {f"g{group}-{start}-{end}": [body] for group, body in content.bodies(start, end).items()}
    objects = tuple(
        PlannedObject(key, len(body), hashlib.sha256(body).hexdigest(), body.count(b"\n"))
        for key, [body] in sorted(bodies.items())
    )
    return Plan(STREAM, start, end, sum(item.events for item in objects), "model", objects), bodies


def plan_chain(store, content, start, end):
    plan, bodies = chunk(content, start, end)
    write_chunk(store, plan_key(STREAM, start), plan, bodies, proven=True)


def plan_chain_unproven(store, content, start, end):
    """The same, each plan put twice: as every process does with its first one."""
    plan, bodies = chunk(content, start, end)
    write_chunk(store, plan_key(STREAM, start), plan, bodies, proven=False)


def plan_chain_in_any_order(store, content, start, end):
    """The same, the objects of every other range written from the last to the first."""
    plan, bodies = chunk(content, start, end)
    order = -1 if end % 2 else 1
    run = lambda tasks: [task() for task in tasks[::order]]  # noqa: E731 - it is passed on
    write_chunk(store, plan_key(STREAM, start), plan, bodies, run=run)


def plan_chain_looking(store, content, start, end):
    """For stores without conditions: right for one owner at a time, and for that only."""
    plan, bodies = chunk(content, start, end)
    write_chunk(LookingStore(store), plan_key(STREAM, start), plan, bodies)


def start_keys(store, content, start, end):
    """Wrong under a wall clock: a shorter range takes the place of a longer one."""
    for group, body in content.bodies(start, end).items():
        store.replace(f"g{group}-{start}", [body])


def range_keys(store, content, start, end):
    """Wrong for exactly-once: another cut of the same events is another object."""
    for group, body in content.bodies(start, end).items():
        store.replace(f"g{group}-{start}-{end}", [body])


Write = Callable[[Any, Content, int, int], None]


class Owner(NamedTuple):
    """One process: where it stands, the range it writes (None: still reading), and the answers so far.

    `due` is where a `RecutError` told it to end.
    """

    start: int
    end: int | None = None
    answers: tuple[Any, ...] = ()
    due: int | None = None


class World(NamedTuple):
    """Everything durable, and every owner's memory. `objects` maps keys to bodies, sorted."""

    committed: int
    objects: tuple[tuple[str, bytes], ...]
    owners: tuple[Owner, ...]


class BrokenPromiseError(AssertionError):
    """The archive lost events, holds them twice, or an owner is stuck."""


Next = tuple[str, Any]


def stepper(write: Write, content: Content) -> Callable[[int, int, tuple[Any, ...]], Next]:
    """What an owner does next: ("ask", request), ("done", None) or ("recut", end)."""

    @lru_cache(None)
    def step(start: int, end: int, answers: tuple[Any, ...]) -> Next:
        try:
            write(Replay(answers), content, start, end)
        except Pause as pause:
            return "ask", pause.request
        except RecutError as error:
            return "recut", error.end
        except TransientError:
            return "again", None
        except SetupError as error:
            return "stuck", str(error)
        return "done", None

    return step


def answer(objects: dict[str, bytes], request: Request) -> Any:
    """Carry out a request on the store."""
    found = objects.get(request.key)
    if request.verb == "read":
        return found
    if request.verb == "size":
        return None if found is None else len(found)
    if request.verb == "fingerprint":
        return None if found is None else Fingerprint(len(found), hashlib.sha256(found).hexdigest())
    if request.verb == "create" and found is not None:
        return False
    objects[request.key] = request.body
    return True


class Model:
    """All moves of all owners over a stream; `strict` also forbids duplicates, not only loss."""

    def __init__(self, write: Write, content: Content, *, strict: bool = True) -> None:
        self._content = content
        self._strict = strict
        self._step = stepper(write, content)

    def begin(self, owners: int) -> World:
        return World(0, (), (Owner(0),) * owners)

    def moves(self, world: World) -> Iterator[World]:
        """Every world one atomic step away."""
        for index, owner in enumerate(world.owners):
            yield from self._owner_moves(world, index, owner)
            yield self._with(world, index, Owner(world.committed))  # crash and restart

    def _owner_moves(self, world: World, index: int, owner: Owner) -> Iterator[World]:
        if owner.end is None:
            ends = range(owner.start + 1, self._content.length + 1) if owner.due is None else [owner.due]
            for end in ends:
                yield self._with(world, index, Owner(owner.start, end))
            return
        kind, detail = self._next(owner)
        if kind == "ask":
            yield from self._store_moves(world, index, owner, detail)
        elif kind == "recut":
            yield self._with(world, index, Owner(owner.start, due=detail))
        elif kind == "again":
            yield self._with(world, index, Owner(owner.start, owner.end))
        elif kind == "done":
            # The coordinator is switched off: it takes commits from anybody, backwards too.
            yield self._with(world._replace(committed=owner.end), index, Owner(owner.end))
            yield self._with(world, index, Owner(owner.end))  # or the commit is lost
        else:
            raise BrokenPromiseError(f"stuck: {detail}")

    def _store_moves(self, world: World, index: int, owner: Owner, request: Request) -> Iterator[World]:
        objects = dict(world.objects)
        found = answer(objects, request)
        after = world._replace(objects=tuple(sorted(objects.items())))
        yield self._with(after, index, self._answered(owner, found))
        if request.verb in {
            "create",
            "replace",
        }:  # it was carried out, but the owner saw a time-out and tries again
            yield self._with(after, index, Owner(owner.start, owner.end))

    def _answered(self, owner: Owner, found: Any) -> Owner:
        """The owner after this answer, in its simplest form.

        To find that an object is there already, and as it should be, ends like writing it.
        """
        after = owner._replace(answers=(*owner.answers, found))
        simple = owner._replace(answers=(*owner.answers[:-1], True))
        if owner.answers[-1:] == (False,) and self._next(after) == self._next(simple):
            return simple
        return after

    def _next(self, owner: Owner) -> Next:
        return self._step(owner.start, owner.end, owner.answers)

    @staticmethod
    def _with(world: World, index: int, owner: Owner) -> World:
        owners = [*world.owners[:index], owner, *world.owners[index + 1 :]]
        return world._replace(owners=tuple(sorted(owners, key=hash)))  # owners are alike: order means nothing

    def check(self, world: World) -> None:
        """Nothing twice, anywhere; nothing missing before the committed cursor."""
        times = [0] * self._content.length
        for key, body in world.objects:
            if key.startswith("g"):
                for line in body.split():
                    times[int(line)] += 1
        if self._strict and max(times) > 1:
            raise BrokenPromiseError(f"duplicate: position {times.index(max(times))} in {world.objects}")
        for position in range(world.committed):
            if times[position] == 0 and position != self._content.filtered:
                raise BrokenPromiseError(f"loss: position {position} is committed and not stored")


def explore(write: Write, content: Content, owners: int = 2, *, strict: bool = True) -> int:
    """Visit every reachable world; returns how many there are. Raises `BrokenPromiseError`."""
    model = Model(write, content, strict=strict)
    first = model.begin(owners)
    seen = {first}
    front = [first]
    while front:
        following: list[World] = []
        for world in front:
            model.check(world)
            for after in model.moves(world):
                if after not in seen:
                    seen.add(after)
                    following.append(after)
        front = following
    return len(seen)


def wander(
    write: Write, content: Content, owners: int, steps: int, seed: int, *, strict: bool = True
) -> World:
    """Take random steps, then let one owner finish alone; returns where that ended."""
    model = Model(write, content, strict=strict)
    chance = random.Random(seed)
    world = model.begin(owners)
    for _ in range(steps):
        world = chance.choice(list(model.moves(world)))
    model.check(world)
    world = world._replace(owners=(Owner(world.committed),))
    while world.committed < content.length:
        world = next(model.moves(world))  # the first move is the one in which nothing goes wrong
    model.check(world)
    return world
