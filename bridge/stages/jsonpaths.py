"""Paths into an event as operators write them, `edata.items.*.id`, and an automaton of many. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "ChangedPath",
    "ChangedPaths",
    "Node",
    "ReadPath",
    "Step",
    "Wild",
    "automaton",
    "needle",
    "parse",
    "plain",
]

MOST_NODES = 4096
MOST_STEPS = 32
FIXED = ("eid", "ets", "mid")  # what tells events apart, so no stage of ours touches them

_STEP = re.compile(r'"((?:[^"\\]|\\.)+)"|([^.\s"\[\]]+)')
_SPELT_ONE_WAY = re.compile(r'[^"\\/\x00-\x1f\x7f]+')  # but for \u escapes
_EXAMPLE = 'write keys with dots between them, for example "edata.resvalues"'


class Wild(Enum):
    """The steps that are no key: `*` is any one key or item, `**` any number of them."""

    ANY = "*"
    DEEP = "**"


Step = str | Wild


def parse(text: str) -> tuple[Step, ...]:
    """The steps of a path; ValueError says what to write instead.

    A list stands for its items: a key behind a list is looked for in each of them.
    """
    rest = text.removeprefix("$.")
    steps: list[Step] = []
    while found := _STEP.match(rest):
        steps.append(_step(*found.groups()))
        rest = rest[found.end() :]
        if not rest:
            return _checked(steps)
        if not rest.startswith("."):
            break
        rest = rest[1:]
    if "[" in rest:
        raise ValueError("leave out brackets: * is any item of a list, as in context.cdata.*.id")
    raise ValueError(_EXAMPLE)


def plain(text: str) -> tuple[str, ...]:
    """The keys of a path without wildcards; ValueError says what to write instead."""
    steps = [step for step in parse(text) if isinstance(step, str)]
    if len(steps) < len(parse(text)):
        raise ValueError("name one place, without * and **")
    return tuple(steps)


def _changes(text: str) -> str:
    if parse(text)[0] in FIXED:
        raise ValueError(f"{parse(text)[0]} tells events apart and stays as it is; name another path")
    return text


def _is_plain(text: str) -> str:
    plain(text)
    return text


ReadPath = Annotated[str, AfterValidator(_is_plain)]
"""In a configuration: one place that is read, as text."""

ChangedPath = Annotated[str, AfterValidator(_changes), AfterValidator(_is_plain)]
"""In a configuration: one place that is written."""

ChangedPaths = Annotated[str, AfterValidator(_changes)]
"""In a configuration: places that are written, wildcards allowed."""


def needle(steps: Sequence[Step]) -> bytes | None:
    r"""Bytes that an event with this path must contain unless it spells keys with `\u`; None if unknown."""
    keys = [step for step in steps if isinstance(step, str)]
    if not keys or not _SPELT_ONE_WAY.fullmatch(keys[-1]):
        return None
    return json.dumps(keys[-1], ensure_ascii=False).encode()


@dataclass(eq=False, slots=True)
class Node:
    """A place that paths lead to or through: where its keys lead, and the numbers of the paths that end here.

    `keys` has the keys that paths name, `other` is for any other one, `item` for the items of a list.
    """

    keys: dict[str, Node | None] = field(default_factory=dict)
    other: Node | None = None
    item: Node | None = None
    ends: tuple[int, ...] = ()


def automaton(paths: Sequence[tuple[Step, ...]]) -> Node:
    """The root of one automaton for all paths, which never leads to `eid`, `ets` or `mid`.

    Raises:
        ValueError: together, the wildcards of these paths need too many nodes.
    """
    root = _Builder(paths).root()
    return Node({**root.keys, **dict.fromkeys(FIXED)}, root.other)


_Place = tuple[int, int]  # the number of a path, and how many of its steps are behind us


class _Builder:
    """The subset construction: a node is the set of places that the paths may have come to."""

    def __init__(self, paths: Sequence[tuple[Step, ...]]) -> None:
        self._paths = paths
        self._nodes: dict[frozenset[_Place], Node] = {}
        self._bare: list[tuple[Node, frozenset[_Place]]] = []

    def root(self) -> Node:
        root = self._node((number, 0) for number in range(len(self._paths))) or Node()
        while self._bare:
            self._fill(*self._bare.pop())
        return root

    def _node(self, places: Iterable[_Place]) -> Node | None:
        reached = frozenset(self._reached(places))
        if not reached:
            return None
        if reached not in self._nodes:
            if len(self._nodes) == MOST_NODES:
                raise ValueError("use fewer * and **: together these paths are too much to follow")
            self._nodes[reached] = Node()
            self._bare.append((self._nodes[reached], reached))
        return self._nodes[reached]

    def _fill(self, node: Node, reached: frozenset[_Place]) -> None:
        steps = {(number, place): self._paths[number][place] for number, place in self._open(reached)}
        wild = {self._next(place, step) for place, step in steps.items() if isinstance(step, Wild)}
        node.ends = tuple(sorted({number for number, place in reached if place == len(self._paths[number])}))
        node.other = self._node(wild)
        for key in sorted({step for step in steps.values() if isinstance(step, str)}):
            node.keys[key] = self._node(
                {self._next(place, key) for place in steps if steps[place] == key} | wild
            )
        # a key is looked for in every item, so a path that waits for one waits on
        node.item = self._node(
            self._next(place, step) if step is Wild.ANY else place for place, step in steps.items()
        )

    def _open(self, reached: Iterable[_Place]) -> Iterable[_Place]:
        return (place for place in reached if place[1] < len(self._paths[place[0]]))

    def _reached(self, places: Iterable[_Place]) -> Iterable[_Place]:
        """The places and those behind a `**`, which may be no step at all."""
        for number, place in places:
            yield number, place
            while place < len(self._paths[number]) and self._paths[number][place] is Wild.DEEP:
                place += 1  # noqa: PLW2901 - it walks on
                yield number, place

    @staticmethod
    def _next(place: _Place, step: Step) -> _Place:
        number, position = place
        return (number, position) if step is Wild.DEEP else (number, position + 1)


def _step(quoted: str | None, bare: str) -> Step:
    if quoted is None:
        if bare.strip("*") == "" and bare not in {"*", "**"}:
            raise ValueError("write * for one key or item, and ** for any number of them")
        return Wild(bare) if bare in {"*", "**"} else bare
    try:
        return str(json.loads(f'"{quoted}"'))
    except ValueError:
        raise ValueError('write a key in quotes as JSON does, for example edata."a.b"') from None


def _checked(steps: list[Step]) -> tuple[Step, ...]:
    if len(steps) > MOST_STEPS:
        raise ValueError(f"use at most {MOST_STEPS} steps")
    if steps[-1] is Wild.DEEP:
        raise ValueError("leave out the ** at the end: whatever is below a path belongs to it")
    return tuple(steps)
