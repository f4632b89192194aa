"""Which batches were taken lately, so that one sent again is answered and not kept twice."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

import xxhash

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

__all__ = ["Recent"]


class Recent:
    """Remembers the last `size` batches that became durable, and those that are on the way there.

    A batch is known by its sender, its id and its events. The id alone would not do: in real
    data ids repeat with other content, and what was never stored must not be taken for stored.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._durable: OrderedDict[bytes, None] = OrderedDict()
        self._pending: dict[bytes, asyncio.Future[int]] = {}
        self._seed = secrets.randbits(64)  # so that nobody can prepare two batches with one key

    def __contains__(self, key: bytes | None) -> bool:
        return key in self._durable

    def key(self, sender: str, identifier: str, events: Iterable[bytes]) -> bytes:
        """What tells this batch from all others."""
        state = xxhash.xxh3_128(seed=self._seed)
        for part in (sender.encode(), identifier.encode("utf-8", "surrogatepass"), *events):
            state.update(len(part).to_bytes(8, "big"))
            state.update(part)
        return state.digest()

    def pending(self, key: bytes | None) -> asyncio.Future[int] | None:
        """The storing of this very batch, if it is under way."""
        return None if key is None else self._pending.get(key)

    def follow(self, key: bytes | None, stored: asyncio.Future[int]) -> None:
        """Remember a batch that is being stored, for good once it is."""
        if key is None or not self._size:
            return
        self._pending[key] = stored
        stored.add_done_callback(lambda future: self._settle(key, future))

    def _settle(self, key: bytes, future: asyncio.Future[int]) -> None:
        self._pending.pop(key, None)
        if future.cancelled() or future.exception() is not None:
            return
        self._durable[key] = None
        if len(self._durable) > self._size:
            self._durable.popitem(last=False)
