"""The few things the archive asks of a store, and how to open one."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from bridge.errors import PluginError
from bridge_s3.keys import PLANS, plan_folder, plan_key, plan_start
from bridge_s3.planning import Fingerprint, Neighbours, Plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge_s3.config import S3Config
__all__ = ["Bucket", "digest", "neighbours", "open_bucket"]

STRIDE = 1_024
GROWTH = 32


class Bucket(ABC):
    """Objects by key, below the archive's URL. Every method may raise a `DeliveryError`."""

    @abstractmethod
    def create(self, key: str, parts: Sequence[bytes]) -> bool:
        """Write the joined parts if the key is absent; False if it exists, which changes nothing."""

    @abstractmethod
    def replace(self, key: str, parts: Sequence[bytes]) -> None:
        """Write the joined parts, whatever was there."""

    @abstractmethod
    def stream(self, key: str) -> Iterator[bytes] | None:
        """The object's bytes in pieces, None if absent."""

    def read(self, key: str) -> bytes | None:
        """The object's bytes, None if absent."""
        pieces = self.stream(key)
        return None if pieces is None else b"".join(pieces)

    def fingerprint(self, key: str) -> Fingerprint | None:
        """The object's size and SHA-256, read in pieces; None if absent."""
        pieces = self.stream(key)
        return None if pieces is None else digest(pieces)

    @abstractmethod
    def size(self, key: str) -> int | None:
        """The object's size in bytes without reading it, None if absent."""

    @abstractmethod
    def keys(self, folder: str, after: str = "") -> Iterator[str]:
        """The keys below a folder that sort behind `after`, in ascending order."""

    def probe(self) -> bool:
        """Whether any plan exists; finds out whether the store can be reached, and changes nothing."""
        return next(iter(self.keys(PLANS)), None) is not None


def digest(pieces: Iterator[bytes]) -> Fingerprint:
    """Size and SHA-256 of bytes that come in pieces."""
    size, sha256 = 0, hashlib.sha256()
    for piece in pieces:
        size += len(piece)
        sha256.update(piece)
    return Fingerprint(size, sha256.hexdigest())


def open_bucket(config: S3Config) -> Bucket:
    """The store a configuration names; `PluginError` if obstore is not installed."""
    if config.place.scheme == "file":
        from bridge_s3.folder import Folder  # noqa: PLC0415 - as below

        return Folder(config.place.path)
    try:
        from bridge_s3.remote import open_remote  # noqa: PLC0415 - needs an extra that file:// does without
    except ModuleNotFoundError as error:
        if error.name != "obstore":
            raise
        raise PluginError("this url needs obstore: pip install 'sunbird-bridge[s3]'") from None
    return open_remote(config)


def neighbours(bucket: Bucket, stream: str, start: int) -> Neighbours:
    """The plan before `start`, and the first planned start at or after it.

    Stores list upwards only, so this looks back in growing strides until a plan comes in sight.
    """
    stride, before = STRIDE, None
    while True:
        begin = max(0, start - stride)
        before, after = _around(bucket, stream, begin, start)
        if before is not None or begin == 0:
            break
        stride *= GROWTH
    stored = bucket.read(plan_key(stream, before)) if before is not None else None
    return Neighbours(_plan(stored), after)


def _around(bucket: Bucket, stream: str, begin: int, start: int) -> tuple[int | None, int | None]:
    """The last planned start in `begin` … `start` - 1, and the first one behind."""
    before = None
    behind = plan_key(stream, begin - 1) if begin else ""
    for key in bucket.keys(plan_folder(stream), behind):
        position = plan_start(key)
        if position is None:
            continue
        if position >= start:
            return before, position
        before = position
    return before, None


def _plan(stored: bytes | None) -> Plan | None:
    try:
        return None if stored is None else Plan.decode(stored)
    except ValueError:
        return None
