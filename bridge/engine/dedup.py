"""A bounded memory of identities: an event seen twice within the window is sent once.

Dropping the later copy is safe without any durable memory, because cursors are contiguous
prefixes: the first copy is either settled, or it is read again. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from bridge import native

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PlainWindow", "Window", "window"]


class Window(Protocol):
    """Remembers at least the last `size` identities (of 16 bytes) and at most twice as many."""

    size: int

    def fresh(self, identities: list[bytes], /) -> list[bool] | None:
        """For each identity whether it is new, remembering it; None when all of them are."""
        ...


def window(size: int, module: Any = native.FOUND.module) -> Window:
    """The compiled window if there is one, else the one in Python."""
    made: Window = PlainWindow(size) if module is None else module.Window(size)
    return made


class PlainWindow:
    """The window in Python."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def fresh(self, identities: Sequence[bytes], /) -> list[bool] | None:
        """See `Window`."""
        distinct = set(identities)
        if (
            len(distinct) == len(identities)
            and distinct.isdisjoint(self._young)
            and distinct.isdisjoint(self._old)
        ):
            self._young |= distinct
            self._rotate()
            return None
        verdict = [self._remember(identity) for identity in identities]
        self._rotate()
        return verdict

    def _remember(self, identity: bytes) -> bool:
        if identity in self._young or identity in self._old:
            return False
        self._young.add(identity)
        return True

    def _rotate(self) -> None:
        if len(self._young) >= self.size:
            self._old, self._young = self._young, set()
