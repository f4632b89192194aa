"""Which events a sink wants: globs over eid, channel and producer, compiled once. Pure."""

from __future__ import annotations

import re
from fnmatch import translate
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.events import Event

__all__ = ["Router", "Rules"]

MAX_MEMORY = 10_000
FIELDS: dict[str, Callable[[Event], str]] = {
    "eids": attrgetter("eid"),
    "channels": attrgetter("context.channel"),
    "producers": attrgetter("context.pdata.id"),
}


class Patterns(Protocol):
    """Globs for each field of an event; an empty list says nothing about that field."""

    @property
    def eids(self) -> Sequence[str]:
        """Globs over `eid`."""

    @property
    def channels(self) -> Sequence[str]:
        """Globs over `context.channel`."""

    @property
    def producers(self) -> Sequence[str]:
        """Globs over `context.pdata.id`."""


class Rules(Patterns, Protocol):
    """What to take, and what to leave out of that."""

    @property
    def exclude(self) -> Patterns:
        """Events that match any of these are left out."""


class _Memory(dict[str, bool]):
    """Verdicts by value: telemetry repeats a few eids and channels for ever."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        super().__init__()
        self._wanted = _matcher(include) if include else None
        self._unwanted = _matcher(exclude) if exclude else None

    def __missing__(self, value: str) -> bool:
        wanted = self._wanted is None or bool(self._wanted(value))
        verdict = wanted and not (self._unwanted and self._unwanted(value))
        if len(self) < MAX_MEMORY:  # values come from devices, so their number has no bound
            self[value] = verdict
        return verdict


class Router:
    """The compiled rules of one sink."""

    def __init__(self, rules: Rules) -> None:
        self._tests: list[tuple[Callable[[Event], str], _Memory]] = []
        for name, read in FIELDS.items():
            include, exclude = getattr(rules, name), getattr(rules.exclude, name)
            if include or exclude:
                self._tests.append((read, _Memory(include, exclude)))

    def select(self, events: Sequence[Event]) -> list[bool] | None:
        """For each event whether the sink wants it; None when it wants all of them."""
        verdict: list[bool] | None = None
        for read, memory in self._tests:
            column = [memory[read(event)] for event in events]
            verdict = column if verdict is None else [a and b for a, b in zip(verdict, column, strict=True)]
        return None if verdict is None or all(verdict) else verdict


def _matcher(globs: Sequence[str]) -> Callable[[str], re.Match[str] | None]:
    return re.compile("|".join(translate(glob) for glob in globs)).match
