"""The plan chain on a store without conditional writes: look, write, and look again. Pure.

Without `If-None-Match` the store cannot decide between two owners that write in the same moment.
One owner at a time, however often it dies and is followed by another, is all that this needs:
what was planned is found and adopted, as on any other store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bridge_s3.keys import PLANS
from bridge_s3.planning import ChunkStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge_s3.planning import Fingerprint

__all__ = ["LookingStore", "PlainStore"]


class PlainStore(Protocol):
    """What any store can do; each call may raise a `DeliveryError`."""

    def replace(self, key: str, parts: Sequence[bytes]) -> None:
        """Write the joined parts, whatever was there."""

    def read(self, key: str) -> bytes | None:
        """The object's bytes, None if absent."""

    def size(self, key: str) -> int | None:
        """The object's size in bytes without reading it, None if absent."""

    def fingerprint(self, key: str) -> Fingerprint | None:
        """The object's size and digest, None if absent."""


class LookingStore(ChunkStore):
    """Makes `create` of looking and replacing."""

    def __init__(self, store: PlainStore) -> None:
        self._store = store

    def create(self, key: str, parts: Sequence[bytes]) -> bool:
        """See `ChunkStore.create`; a plan is read again, for another owner's may have come after it."""
        if self._store.size(key) is not None:
            return False
        self._store.replace(key, parts)
        return not key.startswith(f"{PLANS}/") or self._store.read(key) == b"".join(parts)

    def read(self, key: str) -> bytes | None:
        """See `ChunkStore.read`."""
        return self._store.read(key)

    def fingerprint(self, key: str) -> Fingerprint | None:
        """See `ChunkStore.fingerprint`."""
        return self._store.fingerprint(key)
